"""From deflections and keys to what a hand asks for: signs, speed, enabling key and gripper, alike for every device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardware.teleop import TeleopInput
from hardware.teleop_devices.enabling_key import EnablingKey
from hardware.teleop_devices.speed import SpeedOptions, is_twist
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import FloatArray

AXES = ("x", "y", "z", "roll", "pitch", "yaw")
"""Order of deflections and twists, in the base frame: x ahead, y to the left, z up, turns right-handed about them."""

GRIPPER_MODES = ("toggle", "hold")

RESUME = "resume"
"""Button that asks to let the policy drive again."""

STOP = "stop"
"""Button that asks for a stop that latches."""


@dataclass(frozen=True)
class HandOptions(SpeedOptions):
    """What all devices that a hand deflects have in common.

    Attributes:
        gripper: toggle (each press turns it round) or hold (closed while the key is down).
        gripper_opening: where the gripper is before anybody has told, 0 closed .. 1 open.
        invert: axes whose sign is turned round, names from `AXES`.
        operator_yaw_rad: where the operator looks, about the base's z; 0 is along its x, pi against it.
    """

    gripper: str = "toggle"
    gripper_opening: float = 1.0
    invert: tuple[str, ...] = ()
    operator_yaw_rad: float = 0.0

    def __post_init__(self) -> None:
        """Refuse names and numbers that no hand can have."""
        super().__post_init__()
        if self.gripper not in GRIPPER_MODES:
            raise UnknownNameError("gripper mode", self.gripper, GRIPPER_MODES)
        if not 0.0 <= self.gripper_opening <= 1.0:
            raise ConfigurationError(f"gripper_opening must be in [0, 1], got {self.gripper_opening}")
        for axis in self.invert:
            if axis not in AXES:
                raise UnknownNameError("axis", axis, AXES, "invert")
        if not math.isfinite(self.operator_yaw_rad):
            raise ConfigurationError(f"operator_yaw_rad must be finite, got {self.operator_yaw_rad}")


class Hand:
    """Takes the keys in the order in which they went up and down, and is asked once for each reading."""

    def __init__(self, options: HandOptions) -> None:
        """Start with nothing held."""
        self._options = options
        self._signs = np.array([-1.0 if axis in options.invert else 1.0 for axis in AXES])
        self._key = EnablingKey()
        self._opening = options.gripper_opening
        self._gripper_down = False
        self._closed_by_hold = False

    @property
    def held(self) -> bool:
        """Whether the enabling key is held."""
        return self._key.held

    def see(self, *, enabling: bool, gripper: bool) -> None:
        """Take the state of the enabling key and of the gripper's key; the latter counts only under the former."""
        self._key.see(enabling)
        if not self._key.held:
            self._closed_by_hold = False  # a hand that lets go of everything drops nothing
        elif gripper and not self._gripper_down:
            self._closed_by_hold = self._options.gripper == "hold"
            self._opening = 0.0 if self._closed_by_hold or self._opening > 0.5 else 1.0
        elif self._closed_by_hold and not gripper:
            self._closed_by_hold = False
            self._opening = 1.0
        self._gripper_down = gripper

    def doubt(self) -> None:
        """Let go of everything until the enabling key is pressed afresh."""
        self._key.doubt()
        self._closed_by_hold = False

    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open), so that taking over does not move it."""
        if not self._key.held and math.isfinite(opening):
            self._opening = min(max(opening, 0.0), 1.0)

    def ask(self, deflection: FloatArray, buttons: frozenset[str]) -> TeleopInput:
        """Return what the hand asks for.

        Args:
            deflection: in the order of `AXES`, shape (6,), each -1..1; what is beyond is cut, what is not finite is
                doubt.
            buttons: names of the pressed buttons.
        """
        if not is_twist(deflection):
            self.doubt()
        if not self._key.take():
            return TeleopInput(np.zeros(6), self._opening, deadman=False, buttons=buttons)
        options = self._options
        share = np.clip(deflection, -1.0, 1.0) * self._signs
        cos, sin = math.cos(options.operator_yaw_rad), math.sin(options.operator_yaw_rad)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        twist = np.concatenate([turn @ share[:3] * options.max_speed_m_s, turn @ share[3:] * options.max_turn_rad_s])
        return TeleopInput(options.limited(twist), self._opening, deadman=True, buttons=buttons)


def shaped(value: float, dead_zone: float, expo: float) -> float:
    """Return a deflection (-1..1), none within `dead_zone` (0..1) and finer near the middle by `expo` (0..1)."""
    size = max(0.0, min(abs(value), 1.0) - dead_zone) / (1.0 - dead_zone)
    return math.copysign((1.0 - expo) * size + expo * size**3, value)
