"""Teleoperation devices, chosen by name."""

from __future__ import annotations

from collections.abc import Mapping

from hardware.teleop_devices.device import HandDevice
from hardware.teleop_devices.gamepad import Gamepad
from hardware.teleop_devices.keyboard import Keyboard
from hardware.teleop_devices.spacemouse import SpaceMouse
from hardware.teleop_devices.stream import StreamDevice
from tutelage_core.clock import Clock
from tutelage_core.config import from_mapping
from tutelage_core.errors import UnknownNameError

__all__ = [
    "Gamepad",
    "HandDevice",
    "Keyboard",
    "SpaceMouse",
    "StreamDevice",
    "make_teleop_device",
    "teleop_device_names",
]

_DEVICES = {"gamepad": Gamepad, "keyboard": Keyboard, "spacemouse": SpaceMouse, "stream": StreamDevice}


def teleop_device_names() -> tuple[str, ...]:
    """Return the names of the devices that `make_teleop_device` knows."""
    return tuple(sorted(_DEVICES))


def make_teleop_device(name: str, options: Mapping[str, object], clock: Clock) -> HandDevice:
    """Open the device of this name.

    Args:
        name: keyboard, gamepad, spacemouse or stream.
        options: the device's own settings.
        clock: for time-outs; a steady one, since a jump of the clock counts as doubt.

    Raises:
        UnknownNameError: the device or one of its options is unknown.
        ConfigurationError: an option does not fit, or the package that the device needs is not installed.
        ArmError: the device is not there.
    """
    device = _DEVICES.get(name)
    if device is None:
        raise UnknownNameError("teleoperation device", name, _DEVICES)
    chosen = from_mapping(dict(options), device.Options, f"teleoperation device {name}: options")
    return device(chosen, clock)  # type: ignore[arg-type]
