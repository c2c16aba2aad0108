"""Whether what an arm measures can be true."""

from __future__ import annotations

import math

from tutelage_core.types import ArmState, Pose

FARTHEST_M = 100.0
"""No arm reaches this far from its base [m]; a measured position beyond it is nonsense."""

UNIT_TOLERANCE = 0.01
"""A measured quaternion may differ this much from unit length; more is no rotation."""


def opening_of(state: ArmState) -> float:
    """Return the measured opening, 0 closed .. 1 open; 1 if it is no number."""
    return min(max(state.gripper_opening, 0.0), 1.0) if math.isfinite(state.gripper_opening) else 1.0


def is_plausible(pose: Pose) -> bool:
    """Return whether a measured pose can be one: numbers within any arm's reach, and a unit quaternion."""
    x, y, z, w = (float(v) for v in pose.quaternion_xyzw)
    length = math.sqrt(x * x + y * y + z * z + w * w)
    # written so that NaN fails
    return abs(length - 1.0) <= UNIT_TOLERANCE and all(abs(float(v)) <= FARTHEST_M for v in pose.position)
