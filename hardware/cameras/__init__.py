"""Camera drivers, chosen by the name that a contract gives."""

from __future__ import annotations

from hardware.camera import Camera
from hardware.cameras.capture import CaptureCamera, FileCamera, UvcCamera
from tutelage_core.clock import Clock
from tutelage_core.config import from_mapping
from tutelage_core.contract import CameraContract
from tutelage_core.errors import UnknownNameError

__all__ = ["CaptureCamera", "FileCamera", "UvcCamera", "camera_driver_names", "make_camera"]

_DRIVERS = {"file": FileCamera, "uvc": UvcCamera}


def camera_driver_names() -> tuple[str, ...]:
    """Return the names of the drivers that `make_camera` knows."""
    return tuple(sorted(_DRIVERS))


def make_camera(name: str, contract: CameraContract, clock: Clock) -> Camera:
    """Return the driver of camera `name`, not yet started.

    Raises:
        UnknownNameError: the driver or one of its options is unknown.
        ConfigurationError: an option does not fit.
    """
    driver = _DRIVERS.get(contract.driver)
    if driver is None:
        raise UnknownNameError("camera driver", contract.driver, _DRIVERS, f"camera {name}")
    options = from_mapping(dict(contract.options), driver.Options, f"camera {name}: options")
    return driver(name, contract, options, clock)  # type: ignore[arg-type]
