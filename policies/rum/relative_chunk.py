"""Steps in the axes of the hand that takes them: what a policy can tell that sees through the wrist alone (RUM, 1.2).

A TCP step is told in the robot's base frame; one wrist picture does not show where that is. So a chunk's step i is
turned into the axes that the TCP has when step i begins: those of the observation, turned by the steps before it. The
gripper's opening is absolute and stays as it is.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from tutelage_core.types import STEP_SIZE, FloatArray

MOTION = 6
"""Numbers of a step without the gripper."""


def to_relative(steps: FloatArray, R_base_tcp: FloatArray) -> FloatArray:
    """Return steps of the base frame in the axes of the hand that takes them; the inverse of `to_base`.

    Args:
        steps: TCP steps in the base frame, shape (n, 7) [m, rad, 0..1].
        R_base_tcp: rotation of the TCP in the observation, shape (3, 3).

    Raises:
        ValueError: a shape is another one, or a number is not finite.
    """
    return _carried(steps, R_base_tcp, to_hand=True)


def to_base(steps: FloatArray, R_base_tcp: FloatArray) -> FloatArray:
    """Return steps of the hand's own axes in the base frame; the inverse of `to_relative`.

    Args:
        steps: shape (n, 7) [m, rad, 0..1], step i in the axes that the TCP has when it begins.
        R_base_tcp: rotation of the TCP in the observation that the chunk answers, shape (3, 3).

    Raises:
        ValueError: a shape is another one, or a number is not finite.
    """
    return _carried(steps, R_base_tcp, to_hand=False)


def _carried(steps: FloatArray, R_base_tcp: FloatArray, *, to_hand: bool) -> FloatArray:
    steps, rotation = np.asarray(steps, np.float64), np.asarray(R_base_tcp, np.float64)
    if steps.ndim != 2 or steps.shape[1] != STEP_SIZE or rotation.shape != (3, 3):
        raise ValueError(f"steps must have shape (n, {STEP_SIZE}) and R (3, 3), got {steps.shape}, {rotation.shape}")
    if not (np.isfinite(steps).all() and np.isfinite(rotation).all()):
        raise ValueError("steps and rotation must be finite")
    carried = steps.copy()
    for number, step in enumerate(steps):
        turn = rotation.T if to_hand else rotation
        carried[number, :3], carried[number, 3:MOTION] = turn @ step[:3], turn @ step[3:MOTION]
        in_base = step if to_hand else carried[number]
        rotation = Rotation.from_rotvec(in_base[3:MOTION]).as_matrix() @ rotation
    return carried
