"""A robot's contract is read or refused by name, and a policy fits it or is told why not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.unit.core_samples import ROBOT, SPEC
from tutelage_core.config import to_mapping
from tutelage_core.contract import (
    STATE_KEYS,
    CameraContract,
    CameraNeed,
    PolicySpec,
    check_fit,
    load_contract,
    robot_names,
    state_vectors,
)
from tutelage_core.errors import ConfigurationError, ContractMismatchError, UnknownNameError
from tutelage_core.types import ArmState, Pose

pytestmark = pytest.mark.unit


def saved(folder: Path, **changes: object) -> str:
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump({**to_mapping(ROBOT), **changes}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", robot_names())
def test_every_robot_that_we_ship_has_a_legal_contract_of_its_own_name(name: str) -> None:
    assert load_contract(name).name == name


def test_twin_is_shipped_and_its_home_is_in_the_order_of_its_joints() -> None:
    contract = load_contract("twin")
    assert contract.arm.joints[0].endswith("joint1")
    assert len(contract.arm.home_joint_positions) == STATE_KEYS["joint_positions"]


def test_contract_is_read_from_a_file_by_path(tmp_path: Path) -> None:
    assert load_contract(saved(tmp_path)) == ROBOT


@pytest.mark.parametrize("name", ["twim", "../robots/twin", "", "TWIN"])
def test_unknown_robot_is_named_with_the_legal_ones(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_contract(name)
    assert (caught.value.kind, caught.value.name, caught.value.legal) == ("robot", name, robot_names())


def test_unknown_key_of_a_robot_is_named_with_the_legal_ones(tmp_path: Path) -> None:
    safety = {**to_mapping(ROBOT.safety), "max_step": 1.0}
    with pytest.raises(UnknownNameError, match=r"unknown key 'max_step' in .*robot\.yaml: safety; legal: .*max_step_m"):
        load_contract(saved(tmp_path, safety=safety))


def test_unknown_state_key_is_named_with_the_legal_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown state key 'tcp_positions' in sample") as caught:
        load_contract(saved(tmp_path, state_keys=["tcp_positions"]))
    assert caught.value.legal == tuple(sorted(STATE_KEYS))


def test_unknown_action_is_named_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown action representation 'joints' in sample; legal: tcp_step\."):
        replace(ROBOT, action="joints")


@pytest.mark.parametrize("rate_hz", [0.0, -10.0, 1000.1, math.nan, math.inf])
def test_impossible_control_rate_is_refused(rate_hz: float) -> None:
    with pytest.raises(ConfigurationError, match="control_rate_hz must be in"):
        replace(ROBOT, control_rate_hz=rate_hz)


def test_home_of_another_number_of_joints_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 joints but a home of 3 values"):
        replace(ROBOT, arm=replace(ROBOT.arm, home_joint_positions=(0.0, 0.0, 0.0)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "1x1 px, got 0x48"),
        ({"height": -1}, "got 64x-1"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"rate_hz": math.nan}, "rate_hz"),
    ],
)
def test_impossible_camera_is_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(ROBOT.cameras["front"], **changes)


def test_period_is_the_inverse_of_the_rate_in_nanoseconds() -> None:
    assert ROBOT.period_ns == 100_000_000
    assert replace(ROBOT, control_rate_hz=30.0).period_ns == 33_333_333


def test_policy_that_needs_what_the_robot_gives_fits_whatever_the_order() -> None:
    check_fit(SPEC, ROBOT)


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"cameras": {"side": CameraNeed(8, 8)}}, "camera 'side': needed, but the robot has front, wrist"),
        ({"cameras": {"front": CameraNeed(64, 64)}}, "camera 'front': needs 64x64 px, robot gives 64x48 px"),
        ({"cameras": {"front": CameraNeed(48, 64)}}, "camera 'front': needs 48x64 px, robot gives 64x48 px"),
        ({"state_keys": ("wrench",)}, "state 'wrench': needed, but the robot gives tcp_position, gripper_opening"),
        ({"action": "joint_step"}, "action: policy gives joint_step, robot takes tcp_step"),
        ({"control_rate_hz": 30.0}, "control rate: policy 30 Hz, robot 10 Hz"),
        ({"control_rate_hz": math.nan}, "control rate: policy nan Hz, robot 10 Hz"),
    ],
)
def test_misfit_names_both_sides_and_the_difference(changes: dict[str, object], difference: str) -> None:
    with pytest.raises(ContractMismatchError) as caught:
        check_fit(replace(SPEC, **changes), ROBOT)
    assert caught.value.differences == (difference,)
    assert str(caught.value) == f"policy 'bc' does not fit robot 'sample':\n  - {difference}"


def test_every_difference_is_told_at_once() -> None:
    spec = PolicySpec(
        "act",
        {"side": CameraNeed(8, 8), "wrist": CameraNeed(64, 64)},
        ("wrench", "tcp_velocity"),
        "x",
        20.0,
        1,
        16,
        8,
        (),
    )
    with pytest.raises(ContractMismatchError) as caught:
        check_fit(spec, ROBOT)
    assert [d.split(":")[0] for d in caught.value.differences] == [
        "camera 'side'",
        "camera 'wrist'",
        "state 'wrench'",
        "state 'tcp_velocity'",
        "action",
        "control rate",
    ]
    assert all(difference in str(caught.value) for difference in caught.value.differences)


def test_robot_without_cameras_says_that_it_has_none() -> None:
    with pytest.raises(ContractMismatchError, match="camera 'front': needed, but the robot has none"):
        check_fit(SPEC, replace(ROBOT, cameras={}))


def test_camera_of_another_rate_or_driver_still_fits() -> None:
    check_fit(SPEC, replace(ROBOT, cameras={"front": CameraContract(64, 48, 30.0, "uvc")}))


def test_state_vectors_have_the_sizes_of_the_contract_and_hold_what_was_measured() -> None:
    half_turn_about_z = Pose(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 1.0, 0.0]))
    state = ArmState(0, np.arange(7.0), -np.arange(7.0), half_turn_about_z, np.arange(6.0), np.arange(6.0) * 2, 0.25)

    vectors = state_vectors(state, tuple(STATE_KEYS))

    assert {key: vector.shape for key, vector in vectors.items()} == {key: (n,) for key, n in STATE_KEYS.items()}
    assert all(vector.dtype == np.float64 for vector in vectors.values())
    np.testing.assert_array_equal(vectors["tcp_position"], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(vectors["tcp_rotation_6d"], [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0])
    np.testing.assert_array_equal(vectors["gripper_opening"], [0.25])
    np.testing.assert_array_equal(vectors["wrench"], np.arange(6.0) * 2)
    np.testing.assert_array_equal(vectors["tcp_velocity"], np.arange(6.0))
    np.testing.assert_array_equal(vectors["joint_velocities"], -np.arange(7.0))


def test_first_rotation_column_comes_before_the_second() -> None:
    quarter_turn_about_z = np.array([0.0, 0.0, math.sin(math.pi / 4), math.cos(math.pi / 4)])
    state = ArmState(
        0, np.zeros(7), np.zeros(7), Pose(np.zeros(3), quarter_turn_about_z), np.zeros(6), np.zeros(6), 0.0
    )
    np.testing.assert_allclose(
        state_vectors(state, ("tcp_rotation_6d",))["tcp_rotation_6d"], [0.0, 1.0, 0.0, -1.0, 0.0, 0.0], atol=1e-15
    )


def test_only_the_asked_keys_are_returned_in_the_asked_order() -> None:
    state = ArmState(
        0, np.zeros(7), np.zeros(7), Pose(np.zeros(3), np.array([0, 0, 0, 1.0])), np.zeros(6), np.zeros(6), 0
    )
    assert list(state_vectors(state, ("wrench", "tcp_position"))) == ["wrench", "tcp_position"]


@pytest.mark.parametrize("name", ["..", "", "a/b", "front camera", "-front", "x" * 65])
def test_camera_name_that_topics_and_files_cannot_have_is_refused(name: str) -> None:
    robot = load_contract("twin")
    with pytest.raises(ConfigurationError, match="camera name"):
        replace(robot, cameras={name: robot.cameras["front"]})
