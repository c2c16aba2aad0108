"""The way home between two episodes: up first, then across, in steps that the SafetyGate lets through."""

from __future__ import annotations

import numpy as np

from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import step_between
from tutelage_core.types import FloatArray, Pose

ARRIVED_M = 0.005
ARRIVED_RAD = 0.03
"""So near to its home the TCP is at home [m, rad]."""

SHARE = 0.5
"""Of the longest legal step that a step of the way takes: homing is nobody's race."""

GAIN = 0.25
"""Of the way that is left, that a step takes at most. The gate adds steps to the last target, and the arm follows that
late: with two periods of lag, all of the way at once would swing about home for ever (the limit is 0.6)."""

OVER_M = 0.03
"""Within this distance of the home's axis the arm may come down on it; elsewhere it goes up first [m]."""


class HomingPath:
    """Steps from wherever the TCP is to its home: straight up to home's height, then level, opening the gripper first.

    A person stands beside the arm while it goes: it moves at half of what the contract allows, and through the same
    gate as everything else.
    """

    def __init__(self, home: Pose, limits: SafetyLimits) -> None:
        """Lead to `home` (base frame) in steps of at most half of `limits`."""
        self._home = home
        self._max_step_m, self._max_step_rad = SHARE * limits.max_step_m, SHARE * limits.max_step_rad

    def arrived(self, measured: Pose) -> bool:
        """Return whether `measured` is home."""
        way = step_between(measured, self._home)
        return bool(np.linalg.norm(way[:3]) <= ARRIVED_M and np.linalg.norm(way[3:]) <= ARRIVED_RAD)

    def step(self, measured: Pose) -> FloatArray:
        """Return the next step from the measured pose, shape (7,) [m, rad, 0..1]."""
        way = step_between(measured, self._home)
        if way[2] > ARRIVED_M and np.linalg.norm(way[:2]) > OVER_M:
            way[:2] = 0.0
        way *= GAIN
        return np.concatenate([_shorten(way[:3], self._max_step_m), _shorten(way[3:], self._max_step_rad), [1.0]])


def _shorten(part: FloatArray, longest: float) -> FloatArray:
    length = float(np.linalg.norm(part))
    return part if length <= longest else part * (longest / length)
