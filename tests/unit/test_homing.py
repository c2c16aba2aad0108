"""The way home: up, across, and never longer than half a legal step."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.unit.gate_samples import LIMITS
from tutelage_core.homing import ARRIVED_M, DRAW_BACK_M, LET_GO, MOST_DRAWING_BACK, HomingPath, WayBack
from tutelage_core.rotations import multiply_xyzw, quaternion_xyzw_to_matrix, rotation_vector_to_xyzw
from tutelage_core.types import FloatArray, Pose

pytestmark = pytest.mark.unit

DOWN = np.array([1.0, 0.0, 0.0, 0.0])
HOME = Pose(np.array([0.45, 0.0, 0.25]), DOWN)


def walk(start: Pose) -> list[Pose]:
    """Return the poses of an arm that follows every step, from `start` until it is home."""
    path, poses = HomingPath(HOME, LIMITS), [start]
    while (step := path.step(poses[-1])) is not None:
        poses.append(moved(poses[-1], step))
        assert len(poses) < 1000
    return poses


def moved(pose: Pose, step: FloatArray) -> Pose:
    return Pose(pose.position + step[:3], multiply_xyzw(rotation_vector_to_xyzw(step[3:6]), pose.quaternion_xyzw))


@pytest.mark.parametrize("place", [(0.6, 0.2, 0.02), (0.45, 0.0, 0.02), (0.3, -0.2, 0.4), (0.45, 0.01, 0.5)])
def test_every_step_is_at_most_half_a_legal_one_and_the_way_ends_at_home(place: tuple[float, float, float]) -> None:
    tilted = multiply_xyzw(rotation_vector_to_xyzw(np.array([0.3, -0.4, 1.0])), DOWN)
    poses = walk(Pose(np.array(place), tilted))
    lengths = [np.linalg.norm(b.position - a.position) for a, b in itertools.pairwise(poses)]
    assert max(lengths) <= 0.5 * LIMITS.max_step_m * (1 + 1e-9)
    assert np.linalg.norm(poses[-1].position - HOME.position) <= 0.005


def test_low_arm_goes_straight_up_before_it_goes_across() -> None:
    poses = walk(Pose(np.array([0.6, 0.2, 0.02]), DOWN))
    low = [pose for pose in poses if pose.position[2] < 0.24]
    assert len(low) > 3
    assert all(np.allclose(pose.position[:2], (0.6, 0.2)) for pose in low)


@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_arm_that_follows_late_comes_home_and_does_not_swing_about_it(lag: int) -> None:
    """The gate adds each step to the last target; what is measured is where the target was `lag` periods ago."""
    path, targets = HomingPath(HOME, LIMITS), [Pose(np.array([0.6, 0.2, 0.05]), DOWN)]
    for _ in range(150):
        step = path.step(targets[max(len(targets) - 1 - lag, 0)])
        targets.append(targets[-1] if step is None else moved(targets[-1], step))
    away = [np.linalg.norm(pose.position - HOME.position) for pose in targets]
    assert max(away[-20:]) < 0.005
    beyond = [pose.position[0] for pose in targets]
    assert min(beyond) > HOME.position[0] - 0.01, "it runs past its home"


def test_gripper_opens_on_the_way() -> None:
    step = HomingPath(HOME, LIMITS).step(Pose(np.array([0.5, 0.0, 0.1]), DOWN))
    assert step is not None
    assert step[6] == 1.0


# from a failed attempt to the start of the next one


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.0, 1.2, 0.4)])
def test_hand_lets_go_draws_back_along_its_fingers_and_comes_to_the_start(turn: tuple[float, ...], lag: int) -> None:
    held = Pose(np.array([0.55, 0.15, 0.2]), multiply_xyzw(rotation_vector_to_xyzw(np.array(turn)), DOWN))
    way, poses, steps = WayBack(HOME, LIMITS), [held], []
    while (step := way.step(poses[max(len(poses) - 1 - lag, 0)])) is not None:
        steps.append(step)
        poses.append(moved(poses[-1], step))
        assert len(poses) < 300
    assert all(step[6] == 1.0 for step in steps)
    assert not np.any([step[:6] for step in steps[:LET_GO]])
    back = -quaternion_xyzw_to_matrix(held.quaternion_xyzw)[:, 2]
    drawn = [pose.position - held.position for pose in poses]
    clear = next(k for k, way_m in enumerate(drawn) if back @ way_m >= DRAW_BACK_M - 2 * ARRIVED_M)
    aside = [np.linalg.norm(way_m - (back @ way_m) * back) for way_m in drawn[:clear]]
    assert max(aside) < 1e-9, "it swings while it is near what it held"
    assert max(np.linalg.norm(step[:3]) for step in steps) <= 0.5 * LIMITS.max_step_m * (1 + 1e-9)
    assert np.linalg.norm(poses[-1 - lag].position - HOME.position) <= ARRIVED_M


def test_hand_that_cannot_draw_back_goes_home_all_the_same() -> None:
    way, stuck = WayBack(HOME, LIMITS), Pose(np.array([0.55, 0.15, 0.2]), DOWN)
    found = [way.step(stuck) for _ in range(LET_GO + MOST_DRAWING_BACK + 2)]
    last, home = found[-1], HomingPath(HOME, LIMITS).step(stuck)
    assert last is not None
    assert home is not None
    assert last[:3] == pytest.approx(home[:3])
