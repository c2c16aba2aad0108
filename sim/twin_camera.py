"""The twin's cameras behind the `Camera` protocol, in the same process as the twin."""

from __future__ import annotations

from hardware.camera import Intrinsics
from sim.twin import Twin
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CameraError, UnknownNameError
from tutelage_core.types import Frame


class TwinCamera:
    """Draws a frame when one is due in simulated time. It never waits: time stands still while it is asked."""

    def __init__(self, twin: Twin, name: str) -> None:
        """Stand for camera `name` of the twin's contract.

        Raises:
            UnknownNameError: the contract has no such camera.
        """
        cameras = twin.contract.cameras
        if name not in cameras:
            raise UnknownNameError("camera", name, cameras, f"robot '{twin.contract.name}'")
        self._twin = twin
        self._name = name
        self._period_ns = round(NS_PER_S / cameras[name].rate_hz)
        self._started = False
        self._sequence = 0
        self._last: tuple[int, int] | None = None

    def start(self) -> None:
        """Start; the first frame is due at once and has sequence 0."""
        if not self._started:
            self._started = True
            self._sequence = 0
            self._last = None

    def read(self, timeout_s: float) -> Frame:
        """Return the frame of this instant.

        Args:
            timeout_s: accepted for the protocol; simulated time does not pass while waiting [s].

        Raises:
            CameraError: not started, or no frame is due yet.
        """
        if not self._started:
            raise CameraError(f"camera '{self._name}' is not started; call start() first")
        now_ns, episode = self._twin.time_ns, self._twin.resets
        if self._last is not None and self._last[0] == episode and now_ns - self._last[1] < self._period_ns:
            raise CameraError(
                f"camera '{self._name}': no frame within {timeout_s} s; the next one is due at "
                f"{self._last[1] + self._period_ns} ns, the twin's time is {now_ns} ns: advance it"
            )
        frame = Frame(self._twin.render(self._name), now_ns, self._sequence)
        self._sequence += 1
        self._last = (episode, now_ns)
        return frame

    def intrinsics(self) -> Intrinsics:
        """Return how the camera projects; its lens does not distort."""
        return self._twin.intrinsics(self._name)

    def stop(self) -> None:
        """Stop. May be called twice."""
        self._started = False
