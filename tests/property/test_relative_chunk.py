"""Steps in the hand's own axes: there and back is the same, and they do not depend on where the base is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from policies.rum.relative_chunk import to_base, to_relative

pytestmark = pytest.mark.property

NUMBERS = st.floats(-1.0, 1.0, allow_nan=False)
STEPS = st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (n, 7), elements=NUMBERS))
TURNS = arrays(np.float64, 3, elements=st.floats(-3.0, 3.0)).map(lambda r: Rotation.from_rotvec(r).as_matrix())


@given(STEPS, TURNS)
def test_there_and_back_is_the_same(steps: np.ndarray, rotation: np.ndarray) -> None:
    np.testing.assert_allclose(to_base(to_relative(steps, rotation), rotation), steps, atol=1e-9)
    np.testing.assert_allclose(to_relative(to_base(steps, rotation), rotation), steps, atol=1e-9)


@given(STEPS, TURNS, TURNS)
def test_turned_base_changes_nothing(steps: np.ndarray, rotation: np.ndarray, base: np.ndarray) -> None:
    turned = steps.copy()
    turned[:, :3], turned[:, 3:6] = steps[:, :3] @ base.T, steps[:, 3:6] @ base.T
    np.testing.assert_allclose(to_relative(turned, base @ rotation), to_relative(steps, rotation), atol=1e-9)


@given(STEPS, TURNS)
def test_lengths_and_gripper_stay(steps: np.ndarray, rotation: np.ndarray) -> None:
    relative = to_relative(steps, rotation)
    for part in (slice(0, 3), slice(3, 6)):
        np.testing.assert_allclose(
            np.linalg.norm(relative[:, part], axis=1), np.linalg.norm(steps[:, part], axis=1), atol=1e-9
        )
    np.testing.assert_array_equal(relative[:, 6], steps[:, 6])


def test_pose_at_the_end_is_that_of_composed_transforms() -> None:
    rng = np.random.default_rng(0)
    rotation = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    steps = np.c_[rng.normal(0.0, 0.1, (5, 3)), rng.normal(0.0, 0.4, (5, 3)), rng.random(5)]
    position, turned = np.zeros(3), rotation
    for step in steps:  # in the base frame, as an arm takes them
        position, turned = position + step[:3], Rotation.from_rotvec(step[3:6]).as_matrix() @ turned
    pose = np.eye(4)
    pose[:3, :3] = rotation
    for step in to_relative(steps, rotation):  # each behind the one before it, as a hand feels them
        motion = np.eye(4)
        motion[:3, :3], motion[:3, 3] = Rotation.from_rotvec(step[3:6]).as_matrix(), step[:3]
        pose = pose @ motion
    np.testing.assert_allclose(pose[:3, 3], position, atol=1e-12)
    np.testing.assert_allclose(pose[:3, :3], turned, atol=1e-12)


@pytest.mark.parametrize("steps", [np.zeros(7), np.zeros((2, 6)), np.full((1, 7), np.nan)])
def test_what_is_no_chunk_is_refused(steps: np.ndarray) -> None:
    with pytest.raises(ValueError, match="steps"):
        to_relative(steps, np.eye(3))
