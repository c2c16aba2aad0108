"""Rotations as the control loop needs them: small, exact, without allocation of note.

SciPy's `Rotation` costs some 20 us an object, several times the SafetyGate's whole budget, hence these few functions.
They are checked against SciPy in `tests/property/test_rotations.py`.
"""

from __future__ import annotations

import math

import numpy as np

from tutelage_core.types import FloatArray, Pose

COLUMN_ERROR = 1e-3
"""By how much two columns may miss length one and a right angle."""


def multiply_xyzw(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the quaternion product a * b (first b, then a), both xyzw, shape (4,)."""
    ax, ay, az, aw = a.tolist()
    bx, by, bz, bw = b.tolist()
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def conjugate_xyzw(q: FloatArray) -> FloatArray:
    """Return the inverse of a unit quaternion xyzw, shape (4,)."""
    return np.array([-q[0], -q[1], -q[2], q[3]])


def rotation_vector_to_xyzw(vector: FloatArray) -> FloatArray:
    """Return the unit quaternion xyzw of a rotation vector [rad], shape (3,)."""
    x, y, z = vector.tolist()
    angle = math.sqrt(x * x + y * y + z * z)
    scale = 0.5 - angle * angle / 48.0 if angle < 1e-4 else math.sin(angle / 2.0) / angle
    return np.array([x * scale, y * scale, z * scale, math.cos(angle / 2.0)])


def xyzw_to_rotation_vector(q: FloatArray) -> FloatArray:
    """Return the rotation vector [rad] of a unit quaternion xyzw, angle in [0, pi], shape (3,)."""
    x, y, z, w = q.tolist()
    if w < 0.0:
        x, y, z, w = -x, -y, -z, -w
    sine = math.sqrt(x * x + y * y + z * z)
    scale = 2.0 if sine < 1e-9 else 2.0 * math.atan2(sine, w) / sine
    return np.array([x * scale, y * scale, z * scale])


def normalize_xyzw(q: FloatArray) -> FloatArray:
    """Return q scaled to unit length, shape (4,)."""
    return q / math.sqrt(float(np.dot(q, q)))


def quaternion_xyzw_to_matrix(q: FloatArray) -> FloatArray:
    """Return the rotation matrix of a unit quaternion xyzw, shape (3, 3)."""
    x, y, z, w = q.tolist()
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def apply_step(pose: Pose, step: FloatArray) -> Pose:
    """Return `pose` moved by the first six numbers of a TCP step, both in the base frame."""
    turned = multiply_xyzw(rotation_vector_to_xyzw(step[3:6]), pose.quaternion_xyzw)
    return Pose(pose.position + step[:3], normalize_xyzw(turned))


def step_between(start: Pose, end: Pose) -> FloatArray:
    """Return the translation [m] and rotation vector [rad] from `start` to `end` in the base frame, shape (6,)."""
    turn = multiply_xyzw(end.quaternion_xyzw, conjugate_xyzw(start.quaternion_xyzw))
    return np.concatenate([end.position - start.position, xyzw_to_rotation_vector(turn)])


def matrix_from_6d(columns: FloatArray) -> FloatArray:
    """Return the rotation, shape (3, 3), whose first two columns these are, one after the other, shape (6,).

    Raises:
        ValueError: they are no two columns of a rotation.
    """
    if np.shape(columns) != (6,):
        raise ValueError(f"needs 6 numbers, got shape {np.shape(columns)}")
    first, second = np.asarray(columns[:3], np.float64), np.asarray(columns[3:], np.float64)
    errors = (abs(first @ first - 1.0), abs(second @ second - 1.0), abs(first @ second))
    if not max(errors) < COLUMN_ERROR:  # so written that NaN is refused
        raise ValueError(f"{np.asarray(columns).tolist()} is not two columns of a rotation")
    return np.stack([first, second, np.cross(first, second)], axis=1)
