"""How fast a hand may ask the arm to go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hardware.safety.profiles import find_profile
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray


@dataclass(frozen=True)
class SpeedOptions:
    """Bounds on the velocity that a device gives.

    Attributes:
        max_speed_m_s: TCP speed at full deflection [m/s].
        max_turn_rad_s: rate of turn at full deflection [rad/s].
        speed_scale: share of both that is used, 0..1.
        speed_profile: profile (`hardware.safety.profiles`) whose speeds the two may not exceed.
    """

    max_speed_m_s: float = 0.1
    max_turn_rad_s: float = 0.5
    speed_scale: float = 1.0
    speed_profile: str = "reduced"

    def __post_init__(self) -> None:
        """Refuse speeds that the profile does not allow; NaN is one of them."""
        profile = find_profile(self.speed_profile)
        for name, bound in (
            ("max_speed_m_s", profile.max_speed_m_s),
            ("max_turn_rad_s", profile.max_speed_rad_s),
        ):
            value = getattr(self, name)
            if not 0.0 < value <= bound:
                raise ConfigurationError(f"{name} must be in (0, {bound:g}] with profile {profile.name}, got {value}")
        if not 0.0 <= self.speed_scale <= 1.0:
            raise ConfigurationError(f"speed_scale must be in [0, 1], got {self.speed_scale}")

    def limited(self, twist: FloatArray) -> FloatArray:
        """Scale a finite twist, shape (6,) [m/s, rad/s], and shorten what is still too fast; its direction stays."""
        scaled = twist * self.speed_scale
        for part, bound in ((slice(0, 3), self.max_speed_m_s), (slice(3, 6), self.max_turn_rad_s)):
            length = math.hypot(*scaled[part])
            most = bound * self.speed_scale
            if length > most:
                scaled[part] *= most / length if math.isfinite(length) else 0.0
        return scaled


def is_twist(values: FloatArray) -> bool:
    """Tell whether `values` are six finite numbers."""
    return values.shape == (6,) and values.dtype == np.float64 and bool(np.all(np.isfinite(values)))
