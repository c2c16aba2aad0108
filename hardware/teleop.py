"""The plug point of a teleoperation device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tutelage_core.types import FloatArray


@dataclass(frozen=True)
class TeleopInput:
    """What a hand asks for.

    Attributes:
        twist: TCP velocity in the base frame, shape (6,) [m/s, rad/s].
        gripper_opening: 0 closed .. 1 open.
        deadman: whether the enabling key is held; without it nothing moves.
        buttons: names of the pressed buttons.
    """

    twist: FloatArray
    gripper_opening: float
    deadman: bool
    buttons: frozenset[str] = frozenset()


@runtime_checkable
class TeleopDevice(Protocol):
    """A keyboard, gamepad, SpaceMouse or leader arm."""

    def read(self) -> TeleopInput:
        """Return the newest input without waiting.

        Raises:
            ArmError: the device is gone.
        """
        ...
