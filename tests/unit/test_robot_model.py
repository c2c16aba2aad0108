"""The arm's model for the envelope agrees with the twin's robot, and tells what is near."""

from __future__ import annotations

from pathlib import Path

import mujoco
import numpy as np
import pytest

from hardware.safety.envelope import Envelope, make_envelope
from hardware.safety.reasons import Reason
from hardware.safety.robot_model import RobotModel
from sim.controller import TCP_SITE, ImpedanceSettings
from sim.robots import FINGER_JOINTS, GripperSettings, load_robot
from tests.unit.gate_samples import HOME, LIMITS, MODEL, ROBOT, SHELF, arm_state, joints_at
from tutelage_core.contract import CellBox, robots_folder
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Pose

pytestmark = pytest.mark.unit


def random_joints(count: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(MODEL.low, MODEL.high, (count, 7))


def test_kinematics_and_joint_limits_are_those_of_the_twins_robot() -> None:
    model = load_robot(ROBOT.arm, ImpedanceSettings(), GripperSettings()).compile()
    data = mujoco.MjData(model)
    arm = [j for j in range(model.njnt) if model.joint(j).name not in FINGER_JOINTS]
    np.testing.assert_allclose(np.stack([MODEL.low, MODEL.high], axis=1), model.jnt_range[arm], atol=1e-4)
    for joints in random_joints(30):
        data.qpos[[int(model.jnt_qposadr[j]) for j in arm]] = joints
        mujoco.mj_kinematics(model, data)
        np.testing.assert_allclose(MODEL.tcp_pose(joints).position, data.site(TCP_SITE).xpos, atol=1e-5)


def test_joints_at_a_target_near_by_bring_the_tcp_there() -> None:
    for shift in np.random.default_rng(1).uniform(-0.3, 0.3, (40, 7)):
        here = MODEL.tcp_pose(HOME + shift)
        goal = Pose(here.position + np.array([0.012, -0.01, 0.01]), here.quaternion_xyzw)
        reached = MODEL.tcp_pose(MODEL.joints_at(goal, HOME + shift)).position
        assert np.linalg.norm(reached - goal.position) < 1e-3


def test_margin_names_the_joint_nearest_to_its_limit() -> None:
    joints = HOME.copy()
    joints[3] = MODEL.low[3] + 0.02
    margin, name = MODEL.joint_margin(joints)
    assert (round(margin, 6), name) == (0.02, "fr3_joint4")
    joints[3] = MODEL.low[3] - 0.1
    assert MODEL.joint_margin(joints)[0] == pytest.approx(-0.1)


def test_distance_to_a_box_is_measured_and_named() -> None:
    # the shelf's face is at y = 0.2 m, the hand's capsule reaches 0.07 + 0.034 m to the side
    near = MODEL.nearest(joints_at(MODEL, HOME, 0.0, 0.05, 0.0))
    assert {near.first, near.second} == {"hand", "shelf"}
    assert near.distance_m == pytest.approx(0.2 - 0.05 - 0.104, abs=1e-3)


def test_folded_arm_is_near_to_itself() -> None:
    joints = np.array([0.0, -1.7, 0.0, -3.0, 0.0, 0.6, 0.78])
    near = MODEL.nearest(joints)
    assert near.distance_m < 0.02
    assert "shelf" not in (near.first, near.second)


def test_envelope_objects_to_coming_nearer_and_never_to_going_away() -> None:
    envelope = Envelope(MODEL, LIMITS)
    joints = joints_at(MODEL, HOME, 0.0, 0.09, 0.0)  # 6 mm from the shelf, 10 mm are kept
    state = arm_state(0, joints=joints)
    here = MODEL.tcp_pose(joints)

    def toward(y: float) -> Pose:
        return Pose(here.position + np.array([0.0, y, 0.0]), here.quaternion_xyzw)

    objection = envelope.object_to(toward(0.004), state)
    assert objection is not None
    assert objection.reason is Reason.COLLISION_NEAR
    assert "shelf" in objection.detail
    assert "2 mm" in objection.detail
    assert envelope.object_to(toward(-0.002), state) is None


@pytest.mark.parametrize("joints", [np.zeros(6), np.full(7, np.nan), np.array([0, 0, 0, np.inf, 0, 0, 0.0])])
def test_joints_that_are_no_measurement_are_objected_to(joints: np.ndarray) -> None:
    objection = Envelope(MODEL, LIMITS).object_to(MODEL.tcp_pose(HOME), arm_state(0, joints=joints))
    assert objection is not None
    assert objection.reason is Reason.STATE_NOT_FINITE


def test_model_whose_joints_are_not_the_contracts_is_refused_with_both() -> None:
    with pytest.raises(ConfigurationError, match=r"fr3_joint1.*elbow"):
        RobotModel(robots_folder() / "fr3.xml", ("elbow",))


def test_missing_or_broken_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.xml"):
        RobotModel(tmp_path / "none.xml", ROBOT.arm.joints)
    (tmp_path / "broken.xml").write_text("<mujoco><worldbody>", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"broken\.xml"):
        RobotModel(tmp_path / "broken.xml", ROBOT.arm.joints)


def test_box_without_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sides above 0"):
        CellBox("flat", SHELF.centre_m, (1.0, 0.0, 1.0))


def test_twin_has_an_envelope() -> None:
    assert make_envelope(ROBOT) is not None
