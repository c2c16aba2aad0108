"""The plug point of a camera driver."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from tutelage_core.types import Frame


@runtime_checkable
class Camera(Protocol):
    """A colour camera. Every implementation passes `tests/contract/test_camera.py`."""

    def start(self) -> None:
        """Open the device.

        Raises:
            CameraError: the device is missing or does not give the contract's size.
        """
        ...

    def read(self, timeout_s: float) -> Frame:
        """Return the next frame not yet read, waiting for at most `timeout_s` [s].

        Raises:
            CameraError: not started, or no frame came in time.
        """
        ...

    def stop(self) -> None:
        """Close the device. May be called twice."""
        ...
