"""Relative frames: exact both ways, checked against SciPy and against moved and turned worlds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from policies.hil_serl.frames import (
    ActionScale,
    adjoint,
    gripper_command,
    gripper_opening,
    rotation_of,
    to_policy_action,
    to_tcp_step,
)
from policies.hil_serl.state_encoder import StateEncoder, StateScales
from policies.hil_serl.transition import Gripper, ReplayError
from tutelage_core.contract import STATE_KEYS, load_contract, state_vectors
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.rotations import apply_step, quaternion_xyzw_to_matrix, rotation_vector_to_xyzw
from tutelage_core.types import ArmState, Pose

pytestmark = pytest.mark.unit
QUICK = settings(max_examples=150, deadline=None)
SCALE = ActionScale(0.025, 0.2)
ALL_KEYS = tuple(STATE_KEYS)
ROTATIONS = arrays(np.float64, 3, elements=st.floats(-6, 6)).map(lambda v: Rotation.from_rotvec(v).as_quat())
ACTIONS = arrays(np.float64, 6, elements=st.floats(-1, 1))
POSES = st.builds(Pose, arrays(np.float64, 3, elements=st.floats(-1, 1)), ROTATIONS)


@QUICK
@given(ACTIONS, ROTATIONS, st.sampled_from(Gripper), st.sampled_from([0.0, 1.0]))
def test_an_action_survives_the_way_to_a_step_and_back(
    action: np.ndarray, q: np.ndarray, gripper: Gripper, held: float
) -> None:
    R = quaternion_xyzw_to_matrix(q)
    step = to_tcp_step(action, gripper, R, SCALE, held)
    np.testing.assert_allclose(to_policy_action(step, R, SCALE), action, rtol=0, atol=1e-12)
    back = gripper_command(step[6], held, SCALE)
    changes = gripper_opening(gripper, held) != held
    assert back == (gripper if changes else Gripper.HOLD)


@QUICK
@given(
    arrays(np.float64, 6, elements=st.floats(-1, 1)),
    ROTATIONS,
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([0.0, 1.0]),
)
def test_a_step_survives_the_way_to_an_action_and_back(
    direction: np.ndarray, q: np.ndarray, opening: float, held: float
) -> None:
    R = quaternion_xyzw_to_matrix(q)
    step = np.append(direction * np.repeat([0.025, 0.2], 3) / np.sqrt(3), opening)  # within the gate's limits
    action = to_policy_action(step, R, SCALE)
    command = gripper_command(opening, held, SCALE)
    np.testing.assert_allclose(to_tcp_step(action, command, R, SCALE, held), step, rtol=0, atol=1e-14)
    stored = action.astype(np.float32)
    np.testing.assert_allclose(to_tcp_step(stored, command, R, SCALE, held), step, rtol=0, atol=3e-8)


@QUICK
@given(POSES, ACTIONS)
def test_an_action_moves_along_and_turns_about_the_tcps_own_axes(pose: Pose, action: np.ndarray) -> None:
    R = quaternion_xyzw_to_matrix(pose.quaternion_xyzw)
    moved = apply_step(pose, to_tcp_step(action, Gripper.HOLD, R, SCALE, 1.0))
    np.testing.assert_allclose(R.T @ (moved.position - pose.position), 0.025 * action[:3], atol=1e-12)
    turned = Rotation.from_quat(pose.quaternion_xyzw) * Rotation.from_rotvec(0.2 * action[3:])
    np.testing.assert_allclose((turned.inv() * Rotation.from_quat(moved.quaternion_xyzw)).magnitude(), 0, atol=1e-7)


def test_a_step_of_a_robot_with_other_limits_is_refused_and_rounding_is_not() -> None:
    eye = np.eye(3)
    rounded = np.array([0.025 * 1.0005, 0, 0, 0, 0, 0, 1.0])
    assert to_policy_action(rounded, eye, SCALE)[0] == 1.0
    for spoilt in (np.array([0.03, 0, 0, 0, 0, 0, 1.0]), np.array([0, 0, 0, 0, -0.25, 0, 1.0]), np.full(7, np.nan)):
        with pytest.raises(ReplayError, match=r"exceeds 0\.025 m or 0\.2 rad"):
            to_policy_action(spoilt, eye, SCALE)


def test_a_demonstration_that_says_closed_at_each_step_becomes_one_command() -> None:
    openings = [1.0, 1.0, 0.0, 0.0, 0.4, 0.6, 1.0, 1.0]
    commands = [gripper_command(now, before, SCALE) for before, now in zip([1.0, *openings], openings, strict=False)]
    hold = Gripper.HOLD
    assert commands == [hold, hold, Gripper.CLOSE, hold, hold, hold, Gripper.OPEN, hold]


def test_scales_that_scale_nothing_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_step_m must be positive"):
        ActionScale(0.0, 0.1)
    with pytest.raises(ConfigurationError, match="0 < close_below <= open_above < 1"):
        ActionScale(0.1, 0.1, close_below=0.8)
    with pytest.raises(ConfigurationError, match="force_n must be positive"):
        StateScales(force_n=float("nan"))


def test_the_adjoint_turns_a_twist_without_a_lever_arm() -> None:
    R = Rotation.from_rotvec([0.3, -1, 2]).as_matrix()
    twist = np.arange(6.0)
    np.testing.assert_allclose(adjoint(R) @ twist, np.concatenate([R @ twist[:3], R @ twist[3:]]))
    np.testing.assert_allclose(adjoint(R.T) @ adjoint(R), np.eye(6), atol=1e-15)


def arm(pose: Pose, seed: int = 0) -> ArmState:
    rng = np.random.default_rng(seed)
    return ArmState(0, rng.normal(size=7), rng.normal(size=7), pose, rng.normal(size=6) * 0.1, rng.normal(size=6), 0.75)


def moved(world: Pose, state: ArmState) -> ArmState:
    """Return the same scene with the robot's base elsewhere."""
    R = quaternion_xyzw_to_matrix(world.quaternion_xyzw)
    q = (Rotation.from_quat(world.quaternion_xyzw) * Rotation.from_quat(state.T_base_tcp.quaternion_xyzw)).as_quat()
    pose = Pose(R @ state.T_base_tcp.position + world.position, q)
    return replace(
        state, T_base_tcp=pose, tcp_velocity=adjoint(R) @ state.tcp_velocity, wrench=adjoint(R) @ state.wrench
    )


@QUICK
@given(POSES, POSES, POSES)
def test_the_encoded_state_is_the_same_wherever_the_episode_takes_place(first: Pose, later: Pose, world: Pose) -> None:
    encoder = StateEncoder(ALL_KEYS, StateScales())
    begin, now = arm(first, 1), arm(later, 2)
    here = encoder.encode(state_vectors(now, ALL_KEYS), encoder.origin(state_vectors(begin, ALL_KEYS)))
    begin, now = moved(world, begin), moved(world, now)
    there = encoder.encode(state_vectors(now, ALL_KEYS), encoder.origin(state_vectors(begin, ALL_KEYS)))
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-5)


def test_each_number_of_the_state_stands_where_it_is_documented() -> None:
    contract = load_contract("twin")
    encoder = StateEncoder.of(contract, ALL_KEYS)
    turn = np.array([0.0, 0.0, np.pi / 2])
    first = arm(Pose(np.array([0.4, 0.1, 0.2]), rotation_vector_to_xyzw(turn)), 1)
    later = replace(arm(first.T_base_tcp, 2), T_base_tcp=Pose(np.array([0.4, 0.2, 0.2]), np.array([0, 0, 0, 1.0])))
    encoded = encoder.encode(state_vectors(later, ALL_KEYS), encoder.origin(state_vectors(first, ALL_KEYS)))
    named = dict(zip(encoder.names, encoded.tolist(), strict=True))
    assert encoded.dtype == np.float32
    assert encoded.shape == (encoder.size,) == (36,)

    def part(key: str) -> np.ndarray:
        return np.array([v for name, v in named.items() if name.startswith(f"{key}.")])

    np.testing.assert_allclose(part("tcp_position"), [1, 0, 0], atol=1e-6)  # 0.1 m along the first pose's x axis
    np.testing.assert_allclose(part("tcp_rotation_6d"), [0, -1, 0, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(part("tcp_velocity") * np.repeat([0.25, 2.0], 3), later.tcp_velocity, atol=1e-6)
    np.testing.assert_allclose(part("wrench") * np.repeat([20.0, 2.0], 3), later.wrench, atol=1e-5)
    np.testing.assert_allclose(part("gripper_opening"), [0.5], atol=1e-6)
    np.testing.assert_allclose(part("joint_positions"), later.joint_positions - first.joint_positions, atol=1e-6)
    np.testing.assert_allclose(part("joint_velocities"), later.joint_velocities, atol=1e-6)


def test_a_blow_is_held_at_the_limit_and_a_far_place_is_not() -> None:
    encoder = StateEncoder(("wrench", "tcp_position"), StateScales())
    state = state_vectors(replace(arm(Pose(np.zeros(3), np.array([0, 0, 0, 1.0]))), wrench=np.full(6, 1e6)), ALL_KEYS)
    origin = encoder.origin(state)
    far = {**state, "tcp_position": np.array([2.0, 0, 0])}
    np.testing.assert_allclose(encoder.encode(far, origin), [5] * 6 + [20, 0, 0])


def test_a_state_that_cannot_be_encoded_is_refused_by_name() -> None:
    encoder = StateEncoder(("tcp_position", "joint_positions"), StateScales())
    state = state_vectors(arm(Pose(np.zeros(3), np.array([0, 0, 0, 1.0]))), ALL_KEYS)
    origin = encoder.origin(state)
    with pytest.raises(ReplayError, match="needs 'tcp_position'; it has tcp_rotation_6d"):
        encoder.encode({"tcp_rotation_6d": state["tcp_rotation_6d"]}, origin)
    with pytest.raises(ReplayError, match=r"'tcp_position' is .*nan.*, expected 3 finite numbers"):
        encoder.encode({**state, "tcp_position": np.array([0, np.nan, 0])}, origin)
    for columns in (np.zeros(6), np.full(6, np.nan), np.array([1, 0, 0, 1, 0, 0.0])):
        with pytest.raises(ReplayError, match="not two columns of a rotation"):
            rotation_of({"tcp_rotation_6d": columns})
    with pytest.raises(ReplayError, match="needs tcp_rotation_6d of 6 numbers; it has nothing"):
        rotation_of({})


def test_keys_that_the_robot_does_not_give_are_refused() -> None:
    contract = load_contract("twin")
    with pytest.raises(UnknownNameError, match="'tcp_pose'"):
        StateEncoder.of(contract, ("tcp_pose",))
    with pytest.raises(UnknownNameError, match=r"'tcp_rotation_6d' in robot 'twin'"):
        StateEncoder.of(replace(contract, state_keys=("tcp_position", "gripper_opening")), ("gripper_opening",))
    with pytest.raises(ConfigurationError, match="none twice"):
        StateEncoder(("wrench", "wrench"), StateScales())


def test_scales_of_a_robot_are_those_of_its_contract() -> None:
    contract = load_contract("twin")
    assert (ActionScale.of(contract).max_step_m, ActionScale.of(contract).max_step_rad) == (0.025, 0.2)
    assert StateScales.of(contract).velocity_m_s == pytest.approx(0.25)
