"""The wait for messages that are still on their way when an episode closes: a service call may overtake them."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node
from rclpy.task import Future

from tutelage_core.episodes.intake import Intake
from tutelage_nodes import topics

DRAIN_S = 2.0
"""How long a closing episode waits for messages that are still on their way [s]."""


class Drain:
    """Knows when everything of an episode has been taken in: all of its steps, and images as new as the last one."""

    def __init__(self, node: Node, intake: Intake, images: Sequence[str]) -> None:
        """Watch what `intake` takes, on the topics `images` and that of steps; `node` keeps the time."""
        self._node, self._intake, self._images = node, intake, images
        self._awaited_steps = 0
        self._drained: Future | None = None

    async def wait(self, steps: int) -> None:
        """Wait until `steps` steps are there and the images that go with them, for at most `DRAIN_S`."""
        self._drained, self._awaited_steps = Future(), steps
        timer = self._node.create_timer(DRAIN_S, self._give_up)
        self.look()
        await self._drained
        self._node.destroy_timer(timer)
        self._drained = None

    def look(self) -> None:
        """End the wait if everything is there; call it after each message."""
        intake = self._intake
        if self._drained is None or self._drained.done() or intake.count(topics.ARM_EXECUTED) < self._awaited_steps:
            return
        last_ns = intake.last_ns(topics.ARM_EXECUTED)
        if all(intake.last_ns(topic) >= last_ns for topic in self._images):
            self._drained.set_result(True)

    def _give_up(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(False)
