"""Looks after the cameras that a policy sees through: the session is paused when one is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rclpy.node import Node
from tutelage_interfaces.srv import Command

from tutelage_core.camera_watch import CameraWatch, CameraWatchSettings
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.session import DriveEvent
from tutelage_core.types import FloatArray, ImageArray
from tutelage_nodes import topics

LOOK_S = 0.01
"""How often the cameras are looked after [s]."""

STALL_S = 0.05
"""Between two looks so far apart this node itself stood still: pictures may wait in its queue [s]."""


class CameraLookout:
    """Pauses the session when a camera is silent or frozen, and ends the episode when it stays so."""

    def __init__(
        self,
        node: Node,
        cameras: Iterable[str],
        patience: CameraWatchSettings,
        clock: Clock,
        *,
        watches: bool,
        is_active: Callable[[], bool],
    ) -> None:
        """Look after `cameras` on `node`.

        Args:
            node: whose they are.
            cameras: their names.
            patience: when a camera counts as lost.
            clock: steady clock.
            watches: whether anything is done about it; not in lock-step, where time waits for a camera.
            is_active: returns whether an episode runs.
        """
        self._node, self._clock, self._is_active = node, clock, is_active
        self._looked_ns, self._let_pass = clock.now_ns(), False
        self._watches = {camera: CameraWatch(camera, patience, self._looked_ns) for camera in cameras}
        self._session = node.create_client(Command, topics.SESSION_EVENT)
        self._reported = ""
        self.trouble = ""
        """Which camera is lost, empty if none is."""
        if watches:
            node.create_timer(LOOK_S, self._look)

    @property
    def has_reported(self) -> bool:
        """Whether the session was told of a loss in this episode."""
        return bool(self._reported)

    def see(self, camera: str, image: ImageArray) -> None:
        """Take a picture."""
        self._watches[camera].see(image, self._clock.now_ns())

    def move(self, position: FloatArray) -> None:
        """Take the place of the TCP, shape (3,) [m]."""
        for watch in self._watches.values():
            watch.move(position)

    def restart(self) -> None:
        """Begin an episode, or go on with it: what was before does not count."""
        self._reported = ""
        for watch in self._watches.values():
            watch.restart(self._clock.now_ns())

    def _look(self) -> None:
        now_ns = self._clock.now_ns()
        stalled, self._looked_ns = now_ns - self._looked_ns > STALL_S * NS_PER_S, now_ns
        self._let_pass = stalled and not self._let_pass
        if self._let_pass:
            return  # what came meanwhile is seen first; but not twice in a row, or a busy node would never look
        troubles = [watch.trouble(now_ns) for watch in self._watches.values()]
        self.trouble = next((said for said, _ in troubles if said), "")
        if not self._is_active() or not self.trouble:
            return
        event = DriveEvent.EPISODE_ENDED if any(ends for _, ends in troubles) else DriveEvent.PAUSE
        if event != self._reported:
            self._reported = event
            self._node.get_logger().error(self.trouble)
            request = Command.Request(event=event, reason=self.trouble, sender=self._node.get_name())
            self._session.call_async(request)
