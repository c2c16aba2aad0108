"""The Franka driver's checks and conversions, for which no robot is needed."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hardware.arms import arm_driver_names, make_arm
from hardware.arms import franka_checks as checks
from hardware.arms.franka_control import pose_of
from hardware.arms.franka_gripper import FrankaGripper
from hardware.arms.franka_options import FrankaOptions
from hardware.arms.pose_ramp import PoseRamp
from hardware.safety.robot_model import RobotModel
from tutelage_core.clock import ManualClock
from tutelage_core.contract import RobotContract, load_contract, robots_folder
from tutelage_core.errors import ArmError, ConfigurationError, UnknownNameError
from tutelage_core.rotations import quaternion_xyzw_to_matrix, rotation_vector_to_xyzw
from tutelage_core.types import Pose

pytestmark = pytest.mark.unit

CONTRACT = load_contract("franka")
MODEL = RobotModel(robots_folder() / CONTRACT.arm.model, CONTRACT.arm.joints)
HOME = np.array(CONTRACT.arm.home_joint_positions)
ROW = checks.VERSIONS[-1]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "franka.md"


class FakeFuture:
    def __init__(self) -> None:
        self.done = False

    def wait(self, timeout_s: float) -> bool:
        del timeout_s
        return self.done

    def get(self) -> bool:
        return True


class FakeHand:
    """Takes commands and carries none out; `finish` ends what runs."""

    def __init__(self, max_width_m: float = 0.08) -> None:
        self.state = SimpleNamespace(width=0.08, max_width=max_width_m)
        self.calls: list[tuple[object, ...]] = []
        self.running = FakeFuture()

    def grasp_async(self, *arguments: float) -> FakeFuture:
        return self._start("grasp", *arguments)

    def move_async(self, *arguments: float) -> FakeFuture:
        return self._start("move", *arguments)

    def stop_async(self) -> FakeFuture:
        self.calls.append(("stop",))
        self.running.done = True
        stopped = FakeFuture()
        stopped.done = True
        return stopped

    def _start(self, kind: str, *arguments: float) -> FakeFuture:
        self.running = FakeFuture()
        self.calls.append((kind, *arguments))
        return self.running


FAKE_FRANKY = SimpleNamespace(NetworkException=ConnectionError, CommandException=ValueError)


@pytest.fixture
def hand() -> FakeHand:
    return FakeHand()


@pytest.fixture
def gripper(hand: FakeHand) -> Iterator[FrankaGripper]:
    gripper = FrankaGripper(FAKE_FRANKY, hand, FrankaOptions("robot"))
    yield gripper
    gripper.close()


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def with_arm(**changes: object) -> RobotContract:
    return replace(CONTRACT, arm=replace(CONTRACT.arm, **changes))  # type: ignore[arg-type]


def urdf(low: np.ndarray, high: np.ndarray) -> str:
    joints = "".join(
        f'<joint name="joint{i}" type="revolute"><limit lower="{a}" upper="{b}" effort="1" velocity="1"/></joint>'
        for i, (a, b) in enumerate(zip(low, high, strict=True))
    )
    return f'<robot name="r"><joint name="base" type="fixed"/>{joints}</robot>'


def test_contract_of_the_real_robot_is_slow_and_enforces_real_time() -> None:
    options = FrankaOptions(**CONTRACT.arm.options)  # type: ignore[arg-type]
    assert options.realtime == "enforce"
    assert CONTRACT.safety.speed_profile == "reduced"
    assert CONTRACT.safety.max_step_m * CONTRACT.control_rate_hz == pytest.approx(0.25)
    assert CONTRACT.arm.model


def test_twins_contract_and_the_real_ones_have_the_same_joints_and_state() -> None:
    twin = load_contract("twin")
    assert (twin.arm.joints, twin.state_keys, twin.action) == (
        CONTRACT.arm.joints,
        CONTRACT.state_keys,
        CONTRACT.action,
    )


def test_registry_names_the_driver_and_lists_the_legal_ones() -> None:
    assert arm_driver_names() == ("franka",)
    with pytest.raises(UnknownNameError, match=r"frank'.*legal: franka.*Did you mean 'franka'"):
        make_arm(with_arm(driver="frank"), ManualClock())


def test_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(UnknownNameError, match=r"'hots'.*robot franka: arm options.*Did you mean 'host'"):
        make_arm(with_arm(options={"hots": "1.2.3.4"}), ManualClock())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("host", "", "address"),
        ("realtime", "Ignore", "legal: enforce, ignore"),
        ("stiffness_n_m", -1.0, "positive and finite"),
        ("stiffness_n_m", 5000.0, "at most 3000"),
        ("clip_m", float("nan"), "positive and finite"),
        ("clip_m", 0.05, "push with up to 150 .*collision_force_n must be above"),
        ("clip_rad", 0.5, "push with up to 100 .*collision_moment_nm must be above"),
        ("torque_step_nm", 2.0, "at most 1"),
        ("collision_torque_nm", (10.0, 20.0), "needs 7 values"),
    ],
)
def test_option_that_switches_a_bound_off_is_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FrankaOptions(**{"host": "robot", option: value})  # type: ignore[arg-type]


def test_forces_of_the_default_springs_are_bounded_and_the_arm_still_follows_the_reduced_speed() -> None:
    options = FrankaOptions("robot")
    assert options.force_limit_n == pytest.approx(45.0)
    assert options.moment_limit_nm == pytest.approx(20.0)
    assert options.speed_limit_m_s > 0.25
    assert options.moment_limit_nm / options.damping_nms_rad > 1.0


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ArmError, match=f"pip install franky-control=={ROW.package}"):
        make_arm(CONTRACT, ManualClock()).connect()


def test_untested_package_version_is_refused() -> None:
    assert checks.find_versions(ROW.package) is ROW
    with pytest.raises(ArmError, match=r"franky-control 1\.9\.9 is installed.*tested with " + ROW.package):
        checks.find_versions("1.9.9")


def test_mismatched_protocol_is_explained_with_both_systems() -> None:
    text = checks.explain_mismatch("Incompatible library version (server version: 9, library version: 10).", ROW)
    assert "speaks protocol 9 (FR3, system 5.7.2" in text
    assert "robot protocol 10 (FR3, system 5.9.0" in text
    assert "unknown to this driver" in checks.explain_mismatch("(server version: 77, library version: 10)", ROW)
    assert "something else" in checks.explain_mismatch("something else", ROW)


def test_hand_with_another_protocol_is_refused() -> None:
    checks.check_gripper_version(ROW.gripper_server, ROW)
    with pytest.raises(ArmError, match=r"gripper protocol 2.*speaks 3"):
        checks.check_gripper_version(2, ROW)


def test_every_row_of_the_version_table_stands_in_the_drivers_page() -> None:
    page = PAGE.read_text("utf-8")
    for row in checks.VERSIONS:
        wanted = (
            f"| {row.package} | {row.libfranka} | {row.robot_server} | {row.gripper_server} | {row.system} or newer |"
        )
        assert wanted in page


def test_joint_limits_are_read_from_the_robots_model() -> None:
    low, high = checks.joint_limits(urdf(MODEL.low, MODEL.high))
    np.testing.assert_allclose((low, high), (MODEL.low, MODEL.high))
    for text in (
        "",
        "<robot>",
        '<robot name="r"/>',
        '<robot><joint type="revolute"><limit lower="x"/></joint></robot>',
    ):
        with pytest.raises(ArmError):
            checks.joint_limits(text)


def test_contract_may_allow_less_than_the_robot_and_never_more() -> None:
    names = CONTRACT.arm.joints
    checks.check_joint_limits(names, MODEL, MODEL.low - 0.1, MODEL.high + 0.1)
    checks.check_joint_limits(names, MODEL, MODEL.low, MODEL.high)
    high = MODEL.high.copy()
    high[3] -= 0.2
    with pytest.raises(ArmError, match="go beyond the robot's") as caught:
        checks.check_joint_limits(names, MODEL, MODEL.low, high)
    assert "fr3_joint4" in str(caught.value)
    assert "fr3_joint5" not in str(caught.value)
    with pytest.raises(ArmError, match="7 joints, the robot has 6"):
        checks.check_joint_limits(names, MODEL, MODEL.low[:6], high[:6])


def test_tool_that_is_not_the_models_is_refused() -> None:
    pose = MODEL.tcp_pose(HOME)
    checks.check_tool(MODEL, HOME, pose)
    with pytest.raises(ArmError, match=r"10\.0 mm.*Desk"):
        checks.check_tool(MODEL, HOME, Pose(pose.position + np.array([0.0, 0.0, 0.01]), pose.quaternion_xyzw))
    with pytest.raises(ArmError, match="rad"):
        checks.check_tool(MODEL, HOME, Pose(pose.position, rotation_vector_to_xyzw(np.array([3.0, 0.0, 0.0]))))


def test_end_effector_of_another_mass_is_refused() -> None:
    checks.check_mass(0.75, 0.73)
    for seen_kg in (0.0, float("nan")):
        with pytest.raises(ArmError, match="end_effector_kg"):
            checks.check_mass(seen_kg, 0.73)


def test_pose_keeps_place_and_rotation_and_is_of_unit_length() -> None:
    quaternion = rotation_vector_to_xyzw(np.array([0.3, -1.2, 0.5]))
    pose = pose_of(SimpleNamespace(translation=[0.1, 0.2, 0.3], quaternion=1.0001 * quaternion))
    np.testing.assert_allclose(pose.position, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(pose.quaternion_xyzw, quaternion, atol=1e-12)
    assert pose.position.dtype == np.float64


def test_column_major_transform_of_libfranka_becomes_the_same_pose() -> None:
    franky = pytest.importorskip("franky", reason="franky-control is not installed")
    rotation = quaternion_xyzw_to_matrix(rotation_vector_to_xyzw(np.array([0.3, -1.2, 0.5])))
    columns = [*rotation[:, 0], 0.0, *rotation[:, 1], 0.0, *rotation[:, 2], 0.0, 0.4, 0.1, 0.2, 1.0]
    pose = pose_of(franky.Affine(np.array(columns).reshape((4, 4), order="F")))
    np.testing.assert_allclose(pose.position, [0.4, 0.1, 0.2])
    np.testing.assert_allclose(quaternion_xyzw_to_matrix(pose.quaternion_xyzw), rotation, atol=1e-9)


def test_hand_closes_with_force_and_opens_without(hand: FakeHand, gripper: FrankaGripper) -> None:
    gripper.aim(0.0)
    wait_for(lambda: len(hand.calls) == 1)
    hand.running.done = True
    hand.state.width = 0.03  # it met something
    wait_for(lambda: gripper.opening < 0.5)
    gripper.aim(1.0)
    wait_for(lambda: len(hand.calls) == 2)
    assert hand.calls == [("grasp", 0.0, 0.1, 20.0, 0.08, 0.08), ("move", 0.08, 0.1)]


def test_hand_is_stopped_before_it_is_told_something_else(hand: FakeHand, gripper: FrankaGripper) -> None:
    gripper.aim(0.0)
    wait_for(lambda: len(hand.calls) == 1)
    gripper.aim(1.0)
    wait_for(lambda: len(hand.calls) == 3)
    assert [call[0] for call in hand.calls] == ["grasp", "stop", "move"]


def test_small_change_of_the_wish_moves_no_finger(hand: FakeHand, gripper: FrankaGripper) -> None:
    gripper.aim(0.5)
    wait_for(lambda: len(hand.calls) == 1)
    gripper.aim(0.54)
    hand.state.width = 0.04
    wait_for(lambda: gripper.opening == 0.5)  # it has looked again
    gripper.aim(0.6)
    wait_for(lambda: len(hand.calls) >= 2)
    assert [call[0] for call in hand.calls][:2] == ["grasp", "stop"]


def test_held_hand_stops_and_does_not_go_on_later(hand: FakeHand, gripper: FrankaGripper) -> None:
    gripper.aim(0.0)
    wait_for(lambda: len(hand.calls) == 1)
    gripper.hold()
    wait_for(lambda: len(hand.calls) == 2)
    for width in (0.05, 0.06, 0.07):
        hand.state.width = width
        wait_for(lambda opening=width / 0.08: gripper.opening == opening)  # type: ignore[misc]
    assert [call[0] for call in hand.calls] == ["grasp", "stop"]


def test_hand_that_falls_silent_says_so(hand: FakeHand, gripper: FrankaGripper) -> None:
    del hand.state
    wait_for(lambda: bool(gripper.fault))
    assert gripper.opening == 1.0, "the last that was measured"


def test_hand_that_was_not_homed_is_refused() -> None:
    with pytest.raises(ArmError, match=r"opens to 20\.0 mm.*home it"):
        FrankaGripper(FAKE_FRANKY, FakeHand(0.02), FrankaOptions("robot"))


def test_ramp_goes_straight_arrives_in_time_and_sets_out_anew_from_where_it_is() -> None:
    start = Pose(np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
    ramp = PoseRamp(start, 100)
    ramp.aim(Pose(np.array([0.1, 0.0, 0.0]), rotation_vector_to_xyzw(np.array([0.0, 0.0, 0.4]))))
    half = ramp.advance(50)
    np.testing.assert_allclose(half.position, [0.05, 0.0, 0.0])
    np.testing.assert_allclose(half.quaternion_xyzw, rotation_vector_to_xyzw(np.array([0.0, 0.0, 0.2])), atol=1e-12)
    ramp.aim(Pose(np.array([0.05, 0.1, 0.0]), half.quaternion_xyzw))
    np.testing.assert_allclose(ramp.advance(50).position, [0.05, 0.05, 0.0])
    np.testing.assert_allclose(ramp.advance(1000).position, [0.05, 0.1, 0.0])
    ramp.rest(start)
    np.testing.assert_allclose(ramp.advance(1).position, start.position)
