"""The impedance controller: how it settles, and how hard it can push."""

from __future__ import annotations

import numpy as np
import pytest

from sim.controller import ImpedanceSettings, TargetRamp
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.rotations import apply_step, step_between
from tutelage_core.types import ArmCommand, FloatArray, Pose

DOWN = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"))


def drive(twin: Twin, position: FloatArray, opening: float = 0.0) -> None:
    """Lead the target to `position` [m] in steps of 2 cm and let it settle."""
    place = twin.arm_state().T_base_tcp.position
    for _ in range(60):
        way = position - place
        place = place + way * min(1.0, 0.02 / max(float(np.linalg.norm(way)), 1e-9))
        twin.advance(ArmCommand(0, Pose(place, DOWN), opening))


@pytest.mark.parametrize("axis", range(3))
def test_two_centimetres_settle_in_about_two_periods(twin: Twin, axis: int) -> None:
    twin.reset(0)
    step = np.zeros(6)
    step[axis] = -0.02 if axis == 2 else 0.02
    goal = apply_step(twin.arm_state().T_base_tcp, step)
    errors = []
    for _ in range(10):
        twin.advance(ArmCommand(0, goal, 1.0))
        errors.append(float(np.linalg.norm(step_between(twin.arm_state().T_base_tcp, goal)[:3])))
    assert errors[1] < 0.004
    assert errors[-1] < 0.002


def test_a_turn_settles(twin: Twin) -> None:
    twin.reset(0)
    goal = apply_step(twin.arm_state().T_base_tcp, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.2]))
    for _ in range(6):
        twin.advance(ArmCommand(0, goal, 1.0))
    assert np.linalg.norm(step_between(twin.arm_state().T_base_tcp, goal)[3:]) < 0.02


@pytest.mark.parametrize("place", [(0.35, -0.3, 0.1), (0.7, 0.3, 0.05), (0.7, -0.3, 0.3), (0.6, 0.0, 0.02)])
def test_no_steady_error_in_the_workspace(twin: Twin, place: tuple[float, float, float]) -> None:
    twin.reset(0)
    twin.world.place_body("cube", np.array([0.3, 0.3, 0.02]), np.array([0.0, 0.0, 0.0, 1.0]))  # out of the way
    drive(twin, np.array(place))
    assert np.linalg.norm(twin.arm_state().T_base_tcp.position - place) < 0.002


def test_pushing_into_the_table_is_bounded_by_the_clip(twin: Twin) -> None:
    twin.reset(0)
    limit = ImpedanceSettings().force_limit_n
    drive(twin, np.array([0.4, 0.25, 0.02]))
    forces = []
    for depth in np.linspace(0.02, -0.05, 8).tolist() + [-0.05] * 10:
        twin.advance(ArmCommand(0, Pose(np.array([0.4, 0.25, depth]), DOWN), 0.0))
        forces.append(float(twin.arm_state().wrench[2]))
    assert 0.8 * limit < forces[-1] < 1.1 * limit
    assert max(forces) < 1.3 * limit


def test_contact_lasts_no_longer_than_the_push(twin: Twin) -> None:
    twin.reset(0)
    drive(twin, np.array([0.4, 0.25, 0.0]))
    assert twin.arm_state().wrench[2] > 5.0
    drive(twin, np.array([0.4, 0.25, 0.1]))
    assert np.abs(twin.arm_state().wrench).max() < 0.5


def test_gripper_follows_its_opening(twin: Twin) -> None:
    twin.reset(0)
    pose = twin.arm_state().T_base_tcp
    for opening in (0.0, 1.0, 0.4):
        for _ in range(8):
            twin.advance(ArmCommand(0, pose, opening))
        assert abs(twin.arm_state().gripper_opening - opening) < 0.02


def test_ramp_arrives_after_its_duration_in_a_straight_line() -> None:
    start, goal = Pose(np.zeros(3), DOWN), Pose(np.array([0.02, 0.0, -0.01]), DOWN)
    ramp = TargetRamp(start, 1.0, 100)
    ramp.aim(goal, 0.5)
    assert np.allclose(ramp.advance(50).position, goal.position / 2.0)
    ramp.aim(goal, 0.5)  # the same command again does not start over
    assert np.array_equal(ramp.advance(50).position, goal.position)
    assert np.array_equal(ramp.advance(50).position, goal.position)
    assert ramp.opening == 0.5
