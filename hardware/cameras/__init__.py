"""Camera drivers, chosen by the name that a contract gives. The twin's live where the twin does."""

from __future__ import annotations

from hardware.camera import Camera
from hardware.cameras.file import FileCamera, FileOptions
from hardware.cameras.freshness import FreshnessSettings
from hardware.cameras.realsense import RealSenseCamera
from hardware.cameras.realsense_options import RealSenseOptions
from hardware.cameras.uvc import UvcCamera, UvcOptions
from tutelage_core.clock import Clock
from tutelage_core.config import from_mapping
from tutelage_core.contract import CameraContract
from tutelage_core.errors import UnknownNameError

__all__ = [
    "FileCamera",
    "RealSenseCamera",
    "UvcCamera",
    "camera_driver_names",
    "freshness_settings",
    "make_camera",
]

_DRIVERS = {"file": FileCamera, "realsense": RealSenseCamera, "uvc": UvcCamera}


def camera_driver_names() -> tuple[str, ...]:
    """Return the names of the drivers that `make_camera` knows."""
    return tuple(sorted(_DRIVERS))


def make_camera(name: str, contract: CameraContract, clock: Clock) -> Camera:
    """Return the driver of camera `name`, not yet started.

    Raises:
        UnknownNameError: the driver or one of its options is unknown.
        ConfigurationError: an option does not fit.
    """
    driver = _driver(name, contract)
    return driver(name, contract, _options(name, contract), clock)  # type: ignore[arg-type]


def freshness_settings(name: str, contract: CameraContract) -> FreshnessSettings:
    """Return when frames of camera `name` are late, stale or frozen: the defaults, at the contract's rate.

    How many equal pictures mean that it is frozen is an option of its driver, `frozen_frames`.

    Raises:
        UnknownNameError: the driver or one of its options is unknown.
        ConfigurationError: an option does not fit.
    """
    frozen_frames = _options(name, contract).frozen_frames
    return FreshnessSettings(frozen_frames=frozen_frames).at_rate(contract.rate_hz)


def _driver(name: str, contract: CameraContract) -> type[FileCamera] | type[RealSenseCamera] | type[UvcCamera]:
    driver = _DRIVERS.get(contract.driver)
    if driver is None:
        raise UnknownNameError("camera driver", contract.driver, _DRIVERS, f"camera {name}")
    return driver


def _options(name: str, contract: CameraContract) -> FileOptions | RealSenseOptions | UvcOptions:
    return from_mapping(dict(contract.options), _driver(name, contract).Options, f"camera {name}: options")
