"""How fast an arm may go, by name: more than the reduced speed is never a number in passing, but asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tutelage_core.errors import UnknownNameError


@dataclass(frozen=True)
class SpeedProfile:
    """Bounds on how commands may follow each other.

    Attributes:
        name: what it is asked by.
        max_speed_m_s: TCP speed that steps may ask for [m/s].
        max_speed_rad_s: the same for its rotation [rad/s].
        max_acceleration_m_s2: how fast that speed may rise [m/s2]; it may always fall.
        first_motion_factor: share of a step's limits in the first motion after arming.
        first_motion_s: how long that lasts [s]; 0 for not at all.
    """

    name: str
    max_speed_m_s: float
    max_speed_rad_s: float
    max_acceleration_m_s2: float
    first_motion_factor: float = 0.1
    first_motion_s: float = 1.0


SPEED_PROFILES: Mapping[str, SpeedProfile] = {
    profile.name: profile
    for profile in (
        # 0.25 m/s is what ISO 10218-1 calls manual reduced speed
        SpeedProfile("reduced", 0.25, 1.0, 2.5),
        SpeedProfile("fast", 0.5, 2.0, 5.0),
        SpeedProfile("simulation", 2.0, 8.0, 50.0, first_motion_factor=1.0, first_motion_s=0.0),
    )
}
"""Profiles by name; `reduced` is the default of every contract."""


def find_profile(name: str) -> SpeedProfile:
    """Return the profile of this name.

    Raises:
        UnknownNameError: there is none; the legal ones are listed.
    """
    if name not in SPEED_PROFILES:
        raise UnknownNameError("speed profile", name, SPEED_PROFILES)
    return SPEED_PROFILES[name]
