"""The plug point of a camera driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tutelage_core.errors import CameraError
from tutelage_core.types import Frame


class CameraEndedError(CameraError):
    """A recording is over. Opening it again would play it from its start: that is the user's choice, not a remedy."""


@dataclass(frozen=True)
class Intrinsics:
    """How a camera projects: u = fx x / z + cx, v = fy y / z + cy, pixel centres at whole numbers.

    Attributes:
        fx_px, fy_px: focal lengths [px].
        cx_px, cy_px: principal point [px].
        distortion: coefficients of the lens, in the order of `distortion_model`.
        distortion_model: as in `sensor_msgs/CameraInfo`, or the vendor's own name where ROS has none for it.
    """

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    distortion: tuple[float, ...] = (0.0,) * 5
    distortion_model: str = "plumb_bob"


@runtime_checkable
class Camera(Protocol):
    """A colour camera. Every implementation passes `tests/contract/test_camera.py`."""

    def start(self) -> None:
        """Open the device. Frames count from 0 again.

        Raises:
            CameraError: the device is missing or does not give what the contract asks for.
        """
        ...

    def read(self, timeout_s: float) -> Frame:
        """Return the next frame not yet read, waiting for at most `timeout_s` [s].

        Raises:
            CameraError: not started, or no frame came in time.
            CameraEndedError: none will come any more: the source was a recording.
        """
        ...

    def intrinsics(self) -> Intrinsics | None:
        """Return how the frames' pixels project; None as long as the camera does not know it."""
        ...

    def stop(self) -> None:
        """Close the device. May be called twice."""
        ...
