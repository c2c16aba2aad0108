"""Our few rotation functions against SciPy's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from tutelage_core.rotations import (
    apply_step,
    conjugate_xyzw,
    multiply_xyzw,
    normalize_xyzw,
    quaternion_xyzw_to_matrix,
    rotation_vector_to_xyzw,
    step_between,
    xyzw_to_rotation_vector,
)
from tutelage_core.types import Pose

pytestmark = pytest.mark.property

QUICK = settings(max_examples=150, deadline=None)
VECTORS = arrays(np.float64, 3, elements=st.floats(-10.0, 10.0))
SMALL = arrays(np.float64, 3, elements=st.floats(-1e-3, 1e-3))
ROTATION_VECTORS = VECTORS | SMALL
QUATERNIONS = ROTATION_VECTORS.map(lambda vector: Rotation.from_rotvec(vector).as_quat())
STEPS = st.tuples(VECTORS, ROTATION_VECTORS).map(lambda parts: np.concatenate([*parts, [0.5]]))
POSES = st.builds(Pose, VECTORS, QUATERNIONS)


def assert_same_rotation(a: np.ndarray, b: np.ndarray, atol: float = 1e-12) -> None:
    """Compare two quaternions xyzw; q and -q are the same rotation."""
    np.testing.assert_allclose(a if np.dot(a, b) >= 0 else -a, b, rtol=0, atol=atol)


@QUICK
@given(QUATERNIONS, QUATERNIONS)
def test_product_turns_first_by_the_second_and_then_by_the_first(a: np.ndarray, b: np.ndarray) -> None:
    assert_same_rotation(multiply_xyzw(a, b), (Rotation.from_quat(a) * Rotation.from_quat(b)).as_quat())


@QUICK
@given(QUATERNIONS)
def test_conjugate_is_the_inverse(q: np.ndarray) -> None:
    assert_same_rotation(conjugate_xyzw(q), Rotation.from_quat(q).inv().as_quat())


@QUICK
@given(ROTATION_VECTORS)
@example(np.zeros(3))
@example(np.array([math.pi, 0.0, 0.0]))
@example(np.array([0.0, 1e-4, 0.0]))
@example(np.array([0.0, 0.0, 5e-324]))
def test_rotation_vector_becomes_scipys_quaternion(vector: np.ndarray) -> None:
    q = rotation_vector_to_xyzw(vector)
    assert_same_rotation(q, Rotation.from_rotvec(vector).as_quat())
    assert abs(np.linalg.norm(q) - 1.0) < 1e-12


@QUICK
@given(QUATERNIONS)
@example(np.array([0.0, 0.0, 0.0, 1.0]))
@example(np.array([0.0, 0.0, 0.0, -1.0]))
@example(np.array([1e-10, 0.0, 0.0, 1.0]))
def test_quaternion_becomes_a_rotation_vector_of_at_most_half_a_turn(q: np.ndarray) -> None:
    vector = xyzw_to_rotation_vector(q)
    assert np.linalg.norm(vector) <= math.pi + 1e-12
    assert_same_rotation(Rotation.from_rotvec(vector).as_quat(), q)


@QUICK
@given(VECTORS.filter(lambda v: np.linalg.norm(v) < 3.14) | SMALL)
def test_rotation_vector_survives_the_round_trip_to_its_last_digits(vector: np.ndarray) -> None:
    np.testing.assert_allclose(xyzw_to_rotation_vector(rotation_vector_to_xyzw(vector)), vector, rtol=1e-9, atol=1e-15)


@QUICK
@given(QUATERNIONS)
def test_matrix_is_scipys(q: np.ndarray) -> None:
    np.testing.assert_allclose(quaternion_xyzw_to_matrix(q), Rotation.from_quat(q).as_matrix(), rtol=0, atol=1e-12)


@QUICK
@given(QUATERNIONS, st.floats(1e-3, 1e3))
def test_normalising_makes_unit_length_and_keeps_the_direction(q: np.ndarray, scale: float) -> None:
    np.testing.assert_allclose(normalize_xyzw(q * scale), q, rtol=0, atol=1e-12)


@QUICK
@given(POSES, STEPS)
def test_step_moves_and_turns_in_the_base_frame(pose: Pose, step: np.ndarray) -> None:
    moved = apply_step(pose, step)
    np.testing.assert_array_equal(moved.position, pose.position + step[:3])
    turned = Rotation.from_rotvec(step[3:6]) * Rotation.from_quat(pose.quaternion_xyzw)
    assert_same_rotation(moved.quaternion_xyzw, turned.as_quat())


@QUICK
@given(POSES, POSES)
def test_step_between_two_poses_leads_from_one_to_the_other(start: Pose, end: Pose) -> None:
    step = step_between(start, end)
    moved = apply_step(start, np.append(step, 0.0))
    np.testing.assert_allclose(moved.position, end.position, rtol=0, atol=1e-12)
    assert_same_rotation(moved.quaternion_xyzw, end.quaternion_xyzw)
    assert np.linalg.norm(step[3:]) <= math.pi + 1e-12


@QUICK
@given(POSES)
def test_no_step_lies_between_a_pose_and_itself(pose: Pose) -> None:
    opposite = Pose(pose.position, -pose.quaternion_xyzw)
    np.testing.assert_allclose(step_between(pose, opposite), np.zeros(6), atol=1e-12)
