"""The way home between two episodes, and to the start of another attempt, in steps that the SafetyGate lets through."""

from __future__ import annotations

import numpy as np

from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import quaternion_xyzw_to_matrix, step_between
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


LET_GO = 5
"""Control periods in which the gripper opens and nothing else happens."""

DRAW_BACK_M = 0.06
"""So far the hand draws back along its fingers from what it has let go [m]."""


OPEN = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
"""The step that opens the gripper and does nothing else."""

MOST_DRAWING_BACK = 30
"""Control periods after which the hand has drawn back as far as it can."""


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

    def step(self, measured: Pose) -> FloatArray | None:
        """Return the next step, shape (7,) [m, rad, 0..1], from the measured pose; None once the TCP is home."""
        if self.arrived(measured):
            return None
        way = step_between(measured, self._home)
        if way[2] > ARRIVED_M and np.linalg.norm(way[:2]) > OVER_M:
            way[:2] = 0.0
        way *= GAIN
        return np.concatenate([_shorten(way[:3], self._max_step_m), _shorten(way[3:], self._max_step_rad), [1.0]])


class WayBack:
    """From wherever an attempt has left the hand to where the next one begins: let go, draw back, then home.

    A hand that has hold of a handle must not swing: it opens, goes back along its own fingers, and only then up.
    """

    def __init__(self, start: Pose, limits: SafetyLimits) -> None:
        """Lead to `start` (base frame) in steps of at most half of `limits`."""
        self._path = HomingPath(start, limits)
        self._longest_m = SHARE * limits.max_step_m
        self._periods = 0
        self._let_go: Pose | None = None
        self._is_clear = False

    def step(self, measured: Pose) -> FloatArray | None:
        """Return the next step, shape (7,) [m, rad, 0..1], from the measured pose; None once the hand is there."""
        self._periods += 1
        if self._periods <= LET_GO:
            return OPEN.copy()
        self._let_go = self._let_go or measured
        if not self._is_clear:
            back = -quaternion_xyzw_to_matrix(self._let_go.quaternion_xyzw)[:, 2]
            left_m = DRAW_BACK_M - float(back @ (measured.position - self._let_go.position))
            self._is_clear = left_m <= ARRIVED_M or self._periods > LET_GO + MOST_DRAWING_BACK
            if not self._is_clear:
                step = OPEN.copy()
                step[:3] = min(GAIN * left_m, self._longest_m) * back
                return step
        return self._path.step(measured)


def _shorten(part: FloatArray, longest: float) -> FloatArray:
    length = float(np.linalg.norm(part))
    return part if length <= longest else part * (longest / length)
