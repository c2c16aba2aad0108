"""The library behind a RealSense camera: loading it, finding a device, choosing its streams, setting its options."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from hardware.camera import Intrinsics
from hardware.cameras.realsense_options import RealSenseOptions
from tutelage_core.errors import CameraError, UnknownNameError

PACKAGE = "pyrealsense2==2.59.1.11053"
"""What is to be installed, and what the tests run with."""

DISTORTION_MODELS = {"none": "plumb_bob", "brown_conrady": "plumb_bob", "modified_brown_conrady": "plumb_bob"}
"""Names that ROS has for librealsense's lens models; the others keep the vendor's."""


def load_realsense() -> Any:
    """Return the package `pyrealsense2`.

    Raises:
        CameraError: it, or the system library that it needs, is not installed.
    """
    try:
        return importlib.import_module("pyrealsense2")
    except ImportError as error:
        raise CameraError(
            f"the RealSense driver needs pyrealsense2, which cannot be imported ({error}); "
            f"run: pip install --no-deps {PACKAGE}, and: apt-get install libusb-1.0-0"
        ) from error


def attached_devices() -> list[Any]:
    """Return the RealSense devices at this machine's USB ports."""
    return list(load_realsense().context().query_devices())


def find_device(rs: Any, options: RealSenseOptions, find_devices: Callable[[], Iterable[Any]]) -> Any:
    """Return the device or recording that `options` name.

    Args:
        rs: the package.
        options: say which one.
        find_devices: returns the devices to choose from.

    Raises:
        CameraError: it is not there; what is there is listed.
    """
    if options.file:
        if not Path(options.file).is_file():
            raise CameraError("no such file")
        return rs.context().load_device(options.file)
    devices = {str(device.get_info(rs.camera_info.serial_number)): device for device in find_devices()}
    attached = f"this machine has: {', '.join(sorted(devices)) or 'none'}"
    if options.serial:
        if options.serial not in devices:
            raise CameraError(
                f"no device with serial {options.serial}; {attached}. Is it plugged in, do the udev rules of "
                "librealsense let you use it?"
            )
        return devices[options.serial]
    if len(devices) != 1:
        raise CameraError(f"without option `serial` exactly one RealSense must be attached; {attached}")
    return next(iter(devices.values()))


def choose_profile(
    sensors: Iterable[Any], stream: Any, pixel_format: Any, mode: tuple[int, int, int]
) -> tuple[int, Any]:
    """Return the place of the sensor that gives a stream, and the profile of it.

    Args:
        sensors: of the device.
        stream: kind of picture.
        pixel_format: how its pixels are stored.
        mode: width, height [px] and rate [Hz].

    Raises:
        CameraError: no sensor gives it; what they give is listed.
    """
    legal: set[tuple[int, int, int]] = set()
    for index, sensor in enumerate(sensors):
        for profile in sensor.get_stream_profiles():
            if profile.stream_type() == stream and profile.format() == pixel_format:
                video = profile.as_video_stream_profile()
                given = (video.width(), video.height(), video.fps())
                if given == mode:
                    return index, profile
                legal.add(given)
    names = ", ".join(f"{width}x{height} at {rate} Hz" for width, height, rate in sorted(legal)) or "nothing"
    raise CameraError(f"no {stream.name} pictures of {mode[0]}x{mode[1]} px at {mode[2]} Hz; it gives: {names}")


def set_options(rs: Any, sensor: Any, options: Mapping[str, float]) -> None:
    """Set librealsense's options of a sensor, in its own units.

    Raises:
        CameraError: the sensor has no such option, or not with this value.
    """
    known = {name: option for name, option in rs.option.__members__.items() if sensor.supports(option)}
    for name, value in options.items():
        if name not in known:
            raise CameraError(str(UnknownNameError("RealSense option", name, known)))
        legal = sensor.get_option_range(known[name])
        if not legal.min <= value <= legal.max:
            raise CameraError(f"RealSense option {name} must be in [{legal.min:g}, {legal.max:g}], got {value:g}")
        sensor.set_option(known[name], float(value))
    if "global_time_enabled" in known:  # the device's own clock is steadier than librealsense's guess at ours
        sensor.set_option(known["global_time_enabled"], 0.0)


def intrinsics_of(profile: Any) -> Intrinsics:
    """Return the intrinsics of the whole pictures of a stream."""
    given = profile.as_video_stream_profile().get_intrinsics()
    coefficients = tuple(float(value) for value in given.coeffs)
    model = str(given.model.name) if any(coefficients) else "none"
    return Intrinsics(given.fx, given.fy, given.ppx, given.ppy, coefficients, DISTORTION_MODELS.get(model, model))
