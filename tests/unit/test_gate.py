"""The SafetyGate refuses, clamps, holds and latches as it promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hardware.safety.deadman import Deadman
from hardware.safety.envelope import Envelope
from hardware.safety.gate import GateDecision, SafetyGate
from hardware.safety.reasons import REFUSALS, Reason
from hardware.safety.timing import FUTURE_TOLERANCE_S
from tests.unit.gate_samples import CENTRE, HOME, LIMITS, MODEL, PERIOD_NS, Bench, arm_state, joints_at, tcp_step
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import step_between
from tutelage_core.types import ArmState, Pose, Source, StepCommand

pytestmark = pytest.mark.unit

REDUCED = replace(LIMITS, speed_profile="reduced")
NAN_POSE = Pose(np.array([math.nan, 0.0, 0.25]), np.array([0.0, 0.0, 0.0, 1.0]))


def reasons(decision: GateDecision) -> tuple[str, ...]:
    return decision.executed.reasons


def target(decision: GateDecision) -> np.ndarray:
    assert decision.target is not None
    return decision.target.T_base_tcp_target.position


def with_position(*position: float) -> Pose:
    return Pose(np.array(position), np.array([0.0, 0.0, 0.0, 1.0]))


def aged(bench: Bench, age_s: float) -> ArmState:
    return replace(bench.state(), stamp_ns=bench.now_ns + PERIOD_NS - round(age_s * NS_PER_S))


def latched(bench: Bench) -> GateDecision:
    bench.gate.stop("operator")
    return bench.ask()


def after_a_lead(bench: Bench) -> GateDecision:
    for _ in range(3):
        decision = bench.ask(tcp_step(0.02))
    return decision


def too_soon(bench: Bench) -> GateDecision:
    """Ask twice within 30 ms."""
    bench.ask(tcp_step(gripper=0.4))
    return bench.ask(age_s=0.07)


def repeated(bench: Bench) -> GateDecision:
    bench.ask()
    return bench.ask(age_s=0.1)


def at_the_wall(bench: Bench) -> GateDecision:
    bench.position = (0.74, 0.0, 0.25)
    return bench.ask(tcp_step(0.02))


def swap_gate(bench: Bench, limits: SafetyLimits = LIMITS, **settings: Any) -> None:
    """Give the bench another gate, in the state in which its own one is."""
    gripper = bench.gate.time_out(bench.state(), bench.now_ns).executed.executed[6]
    bench.gate = SafetyGate(limits, **settings)
    bench.gate.restart(replace(bench.state(), gripper_opening=float(gripper)))


def not_armed(bench: Bench) -> GateDecision:
    swap_gate(bench, armed=False)
    return bench.ask(tcp_step(0.01))


def from_another_sender(bench: Bench) -> GateDecision:
    bench.gate.arm("session one")
    return bench.ask(tcp_step(0.01), sender="session two")


def hand_without_key(bench: Bench) -> GateDecision:
    swap_gate(bench, deadman=Deadman(0.2))
    return bench.ask(tcp_step(0.01), source=Source.HUMAN)


def too_fast(bench: Bench) -> GateDecision:
    """Ask for 2 cm within 50 ms, which is 0.4 m/s."""
    swap_gate(bench, REDUCED)
    for _ in range(12):  # the slow first motion passes
        bench.ask(tcp_step(0.001))
    bench.ask(tcp_step(0.02))
    return bench.ask(tcp_step(-0.02), age_s=0.05)


def too_sudden(bench: Bench) -> GateDecision:
    """Ask for 0.2 m/s out of standstill, 50 ms after the last command."""
    swap_gate(bench, REDUCED)
    for _ in range(12):
        bench.ask(tcp_step(0.001))
    bench.ask()
    return bench.ask(tcp_step(0.01), age_s=0.05)


def first_motion(bench: Bench) -> GateDecision:
    swap_gate(bench, REDUCED)
    return bench.ask(tcp_step(0.01))


def toward_a_joint_limit(bench: Bench) -> GateDecision:
    swap_gate(bench, envelope=Envelope(MODEL, LIMITS))
    joints = HOME.copy()
    joints[5] = MODEL.high[5] - 0.051
    bench.stand(MODEL, joints)
    return bench.ask(tcp_step(0.0, 0.0, 0.0, 0.0, -0.1))


def toward_the_shelf(bench: Bench) -> GateDecision:
    swap_gate(bench, envelope=Envelope(MODEL, LIMITS))
    bench.stand(MODEL, joints_at(MODEL, HOME, 0.0, 0.08, 0.0))
    return bench.ask(tcp_step(0.0, 0.02, 0.0))


WAYS: dict[Reason, Callable[[Bench], GateDecision]] = {
    Reason.LATCHED: latched,
    Reason.WRONG_SHAPE: lambda bench: bench.ask(np.zeros(6)),
    Reason.NOT_FINITE: lambda bench: bench.ask(tcp_step(math.nan)),
    Reason.STATE_NOT_FINITE: lambda bench: bench.ask(state=replace(aged(bench, 0.0), T_base_tcp=NAN_POSE)),
    Reason.STALE_STATE: lambda bench: bench.ask(state=aged(bench, 0.26)),
    Reason.FUTURE_STATE: lambda bench: bench.ask(state=aged(bench, -0.06)),
    Reason.STALE_COMMAND: lambda bench: bench.ask(age_s=0.21),
    Reason.FUTURE_COMMAND: lambda bench: bench.ask(age_s=-0.06),
    Reason.OUT_OF_ORDER: repeated,
    Reason.TOO_SOON: too_soon,
    Reason.STEP_TOO_LARGE: lambda bench: bench.ask(tcp_step(0.061)),
    Reason.COMMAND_TIMEOUT: lambda bench: bench.gate.time_out(bench.state(), bench.now_ns),
    Reason.NOT_ARMED: not_armed,
    Reason.OTHER_SENDER: from_another_sender,
    Reason.DEADMAN_RELEASED: hand_without_key,
    Reason.SPEED_CLAMPED: too_fast,
    Reason.ACCELERATION_CLAMPED: too_sudden,
    Reason.FIRST_MOTION_SLOWED: first_motion,
    Reason.JOINT_LIMIT: toward_a_joint_limit,
    Reason.COLLISION_NEAR: toward_the_shelf,
    Reason.TRANSLATION_CLAMPED: lambda bench: bench.ask(tcp_step(0.03)),
    Reason.ROTATION_CLAMPED: lambda bench: bench.ask(tcp_step(0, 0, 0, 0.2)),
    Reason.GRIPPER_CLAMPED: lambda bench: bench.ask(tcp_step(gripper=1.5)),
    Reason.LEAD_CLAMPED: after_a_lead,
    Reason.WORKSPACE_CLAMPED: at_the_wall,
}


def test_there_is_a_way_to_every_reason() -> None:
    assert set(WAYS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_reason_is_reached_and_named_alone(reason: Reason) -> None:
    decision = WAYS[reason](Bench())

    assert reasons(decision) == (str(reason),)
    assert decision.refused is (reason in REFUSALS)


@pytest.mark.parametrize("reason", sorted(REFUSALS))
def test_refusal_holds_the_measured_pose_and_keeps_the_gripper(reason: Reason) -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02, gripper=0.7))
    bench.position, bench.rotation = (0.511, 0.002, 0.251), (0.0, 0.05, 0.0)

    decision = WAYS[reason](bench)

    measured = bench.state().T_base_tcp
    assert decision.target is not None
    np.testing.assert_array_equal(decision.executed.executed[:6], np.zeros(6))
    assert decision.executed.source is Source.HOLD
    if reason is Reason.STATE_NOT_FINITE:  # nothing is measured: the arm stays where the controller pulls already
        np.testing.assert_allclose(target(decision), [0.52, 0.0, 0.25])
    else:
        np.testing.assert_array_equal(target(decision), measured.position)
        np.testing.assert_allclose(decision.target.T_base_tcp_target.quaternion_xyzw, measured.quaternion_xyzw)
    asked_after_the_motion = 0.4 if reason in (Reason.OUT_OF_ORDER, Reason.TOO_SOON) else 0.7
    assert decision.target.gripper_opening == decision.executed.executed[6] == asked_after_the_motion


def test_legal_step_passes_unchanged_and_moves_the_target_by_itself() -> None:
    bench = Bench()
    step = tcp_step(0.012, -0.012, 0.01, 0.0, 0.0, 0.1, gripper=0.25)

    decision = bench.ask(step)

    assert reasons(decision) == ()
    assert decision.target is not None
    np.testing.assert_array_equal(decision.executed.executed, step)
    np.testing.assert_allclose(
        step_between(bench.state().T_base_tcp, decision.target.T_base_tcp_target), step[:6], atol=1e-15
    )
    assert decision.target.gripper_opening == 0.25
    assert (bench.gate.refused, bench.gate.clamped) == (0, 0)


def test_steps_add_up_on_the_target_and_not_on_the_lagging_arm() -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    np.testing.assert_allclose(target(bench.ask(tcp_step(0.02))), [0.54, 0.0, 0.25])


@pytest.mark.parametrize("axis", range(7))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_refused_wherever_it_stands(axis: int, value: float) -> None:
    step = tcp_step(0.01)
    step[axis] = value
    assert reasons(Bench().ask(step)) == ("NOT_FINITE",)


@pytest.mark.parametrize(
    "step",
    [
        np.zeros(0),
        np.zeros(8),
        np.zeros((1, 7)),
        np.zeros((7, 1)),
        np.array(0.0),
        np.zeros(7, np.float32),
        np.zeros(7, np.int64),
        np.zeros(7, bool),
        np.full(7, None),
        np.full(7, "0.0"),
    ],
)
def test_step_of_another_shape_or_type_is_refused(step: np.ndarray) -> None:
    assert reasons(Bench().ask(step)) == ("WRONG_SHAPE",)


@pytest.mark.parametrize(
    ("first", "limit", "reason"),
    [(0, LIMITS.max_step_m, "TRANSLATION_CLAMPED"), (3, LIMITS.max_step_rad, "ROTATION_CLAMPED")],
)
def test_small_excess_is_cut_to_the_limit_without_a_turn_of_its_direction(
    first: int, limit: float, reason: str
) -> None:
    step = tcp_step()
    step[first : first + 3] = np.array([2.0, -1.0, 2.0]) / 3.0 * limit * 2.9

    decision = Bench().ask(step)

    assert reasons(decision) == (reason,)
    np.testing.assert_allclose(decision.executed.executed[first : first + 3], step[first : first + 3] / 2.9, rtol=1e-9)


@pytest.mark.parametrize(("first", "limit"), [(0, LIMITS.max_step_m), (3, LIMITS.max_step_rad)])
def test_excess_is_clamped_up_to_three_times_the_limit_and_refused_beyond(first: int, limit: float) -> None:
    step = tcp_step()
    step[first] = 3.0 * limit
    assert not Bench().ask(step).refused
    step[first] = 3.0 * limit * (1.0 + 1e-8)
    assert reasons(Bench().ask(step)) == ("STEP_TOO_LARGE",)
    step[first] = 1e308
    assert reasons(Bench().ask(step)) == ("STEP_TOO_LARGE",)


def test_length_of_the_whole_vector_counts_and_not_each_axis() -> None:
    assert reasons(Bench().ask(tcp_step(0.015, 0.015, 0.015))) == ("TRANSLATION_CLAMPED",)


@pytest.mark.parametrize(("asked", "given"), [(-0.2, 0.0), (1.2, 1.0), (1e308, 1.0)])
def test_gripper_is_cut_to_its_range(asked: float, given: float) -> None:
    decision = Bench().ask(tcp_step(gripper=asked))
    assert decision.target is not None
    assert decision.target.gripper_opening == decision.executed.executed[6] == given
    assert reasons(decision) == ("GRIPPER_CLAMPED",)


@pytest.mark.parametrize("age_s", [LIMITS.max_command_age_s, -FUTURE_TOLERANCE_S])
def test_command_at_the_edge_of_its_age_passes(age_s: float) -> None:
    assert reasons(Bench().ask(age_s=age_s)) == ()


@pytest.mark.parametrize("age_s", [LIMITS.max_state_age_s, -FUTURE_TOLERANCE_S])
def test_state_at_the_edge_of_its_age_is_used(age_s: float) -> None:
    bench = Bench()
    assert reasons(bench.ask(state=aged(bench, age_s))) == ()


def test_older_stamp_is_refused_even_with_a_newer_sequence() -> None:
    bench = Bench()
    bench.ask()
    assert reasons(bench.ask(age_s=0.101)) == ("OUT_OF_ORDER",)


def test_same_stamp_is_refused() -> None:
    bench = Bench()
    bench.ask()
    assert reasons(bench.ask(age_s=0.1)) == ("OUT_OF_ORDER",)


def test_sequence_that_goes_back_is_refused_though_its_stamp_is_newer() -> None:
    bench = Bench()
    for _ in range(4):
        bench.ask()
    assert reasons(bench.ask(sequence=2)) == ("OUT_OF_ORDER",)


def test_sender_that_was_restarted_counts_from_one_and_is_heard() -> None:
    bench = Bench()
    for _ in range(5):
        bench.ask()
    assert reasons(bench.ask(sequence=1)) == ()
    assert reasons(bench.ask(sequence=2)) == ()


def test_restarted_sender_cannot_replay_an_old_stamp() -> None:
    bench = Bench()
    bench.ask()
    assert reasons(bench.ask(sequence=1, age_s=0.15)) == ("OUT_OF_ORDER",)


def test_lost_messages_are_no_fault() -> None:
    bench = Bench()
    bench.ask(sequence=3)
    assert reasons(bench.ask(sequence=30)) == ()


def test_three_refusals_in_a_row_latch_and_the_latch_names_count_and_cause() -> None:
    bench = Bench()
    for _ in range(2):
        bench.ask(tcp_step(math.nan))
        assert not bench.gate.latch
    bench.ask(tcp_step(1.0))
    assert bench.gate.latch == "3 commands refused in a row, the last one for STEP_TOO_LARGE"
    assert reasons(bench.ask()) == ("LATCHED",)
    assert bench.gate.refused == 4


def test_good_command_in_between_starts_the_count_anew() -> None:
    bench = Bench()
    for _ in range(4):
        bench.ask(tcp_step(math.nan))
        bench.ask(tcp_step(math.nan))
        assert not bench.ask().refused
    assert not bench.gate.latch


def test_clamped_commands_never_latch() -> None:
    bench = Bench()
    for sign in (1, -1) * 10:
        bench.ask(tcp_step(0.03 * sign))
    assert not bench.gate.latch
    assert bench.gate.clamped == 20


def test_latch_outlasts_restart_and_time_out_and_good_commands() -> None:
    bench = Bench()
    bench.gate.stop("")
    bench.gate.restart(bench.state())
    bench.gate.time_out(bench.state(), bench.now_ns)
    for _ in range(20):
        bench.ask(tcp_step(0.01))
    assert bench.gate.latch == "stopped"


def test_first_command_after_the_stop_is_cleared_starts_from_the_measured_pose() -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    bench.gate.stop("operator")
    bench.ask(tcp_step(0.02))
    bench.position = (0.4, 0.1, 0.3)  # pushed away by hand while stopped
    bench.gate.clear_stop()

    decision = bench.ask(tcp_step(0.01))

    assert reasons(decision) == ()
    np.testing.assert_allclose(target(decision), [0.41, 0.1, 0.3])


def test_refusals_before_the_stop_was_cleared_no_longer_count() -> None:
    bench = Bench()
    for _ in range(3):
        bench.ask(tcp_step(math.nan))
    bench.gate.clear_stop()
    bench.ask(tcp_step(math.nan))
    assert not bench.gate.latch


def test_commands_of_before_the_stop_are_not_heard_after_it() -> None:
    bench = Bench()
    bench.ask()
    bench.gate.stop("operator")
    bench.gate.clear_stop()
    assert reasons(bench.ask(sequence=bench.sequence, age_s=0.1)) == ("OUT_OF_ORDER",)


def test_command_after_a_time_out_starts_from_the_measured_pose() -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    bench.position = (0.505, 0.0, 0.25)
    bench.gate.time_out(bench.state(), bench.now_ns)
    np.testing.assert_allclose(target(bench.ask(tcp_step(0.0, 0.01))), [0.505, 0.01, 0.25])


@pytest.mark.parametrize("cause", ["refusal", "time-out"])
def test_hold_after_a_refusal_or_time_out_stays_where_that_one_held(cause: str) -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    bench.position = (0.505, 0.0, 0.25)
    if cause == "refusal":
        bench.ask(tcp_step(math.nan))
    else:
        bench.gate.time_out(bench.state(), bench.now_ns)
    bench.position = (0.507, 0.0, 0.249)  # it coasts on: the target must not follow
    np.testing.assert_array_equal(target(bench.ask(source=Source.HOLD)), [0.505, 0.0, 0.25])


def test_time_outs_neither_count_as_refused_commands_nor_latch() -> None:
    bench = Bench()
    for _ in range(10):
        bench.gate.time_out(bench.state(), bench.now_ns)
    assert not bench.gate.latch
    assert bench.gate.refused == 0


def test_hold_after_motion_holds_the_measured_pose_and_then_stays_there() -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    bench.position = (0.51, 0.0, 0.25)

    first = bench.ask(source=Source.HOLD)
    bench.position = (0.512, 0.0, 0.249)  # it coasts on: the target must not follow
    second = bench.ask(source=Source.HOLD)

    assert reasons(first) == reasons(second) == ()
    np.testing.assert_array_equal(target(first), [0.51, 0.0, 0.25])
    np.testing.assert_array_equal(target(second), [0.51, 0.0, 0.25])


def test_hold_never_moves_arm_or_gripper_whatever_its_step_says() -> None:
    bench = Bench()
    for _ in range(5):
        decision = bench.ask(tcp_step(0.02, 0, 0, 0.1, gripper=1.0), source=Source.HOLD)

    assert decision.target is not None
    np.testing.assert_array_equal(target(decision), CENTRE)
    np.testing.assert_array_equal(decision.executed.executed, tcp_step(gripper=0.4))
    assert reasons(decision) == ("TRANSLATION_CLAMPED", "ROTATION_CLAMPED", "GRIPPER_CLAMPED")


def test_gate_that_never_saw_a_command_keeps_the_gripper_as_it_measures_it() -> None:
    gate = SafetyGate(LIMITS)
    decision = gate.time_out(arm_state(0, gripper=0.3), 0)
    assert decision.target is not None
    assert decision.target.gripper_opening == 0.3
    decision = gate.time_out(arm_state(0, gripper=0.9), 0)
    assert decision.target is not None
    assert decision.target.gripper_opening == 0.3, "held once, it is a command and not a measurement"


def test_without_any_plausible_state_there_is_no_target() -> None:
    gate = SafetyGate(LIMITS)
    decision = gate.admit(StepCommand(0, 1, Source.POLICY, tcp_step()), replace(arm_state(0), T_base_tcp=NAN_POSE), 0)
    assert decision.target is None
    assert reasons(decision) == ("STATE_NOT_FINITE",)


@pytest.mark.parametrize(
    "pose",
    [
        NAN_POSE,
        with_position(math.inf, 0.0, 0.25),
        with_position(1e308, 0.0, 0.25),
        Pose(np.array(CENTRE), np.array([0.0, 0.0, 0.0, math.nan])),
        Pose(np.array(CENTRE), np.zeros(4)),
        Pose(np.array(CENTRE), np.array([0.0, 0.0, 0.0, 5e-324])),
        Pose(np.array(CENTRE), np.array([0.0, 0.0, 0.0, 1e308])),
        Pose(np.array(CENTRE), np.array([1.0, 0.0, 0.0, 1.0])),
    ],
)
def test_measured_nonsense_is_refused_and_never_becomes_a_target(pose: Pose) -> None:
    bench = Bench()
    bench.ask(tcp_step(0.01))
    decision = bench.ask(tcp_step(0.01), state=replace(aged(bench, 0.0), T_base_tcp=pose))
    assert reasons(decision) == ("STATE_NOT_FINITE",)
    np.testing.assert_allclose(target(decision), [0.51, 0.0, 0.25])


def test_quaternion_that_is_a_little_off_unit_length_is_used_normalised() -> None:
    bench = Bench()
    pose = Pose(np.array(CENTRE), np.array([0.0, 0.0, 0.0, 1.005]))
    decision = bench.ask(tcp_step(0.01), state=replace(aged(bench, 0.0), T_base_tcp=pose))
    assert decision.target is not None
    assert reasons(decision) == ()
    assert np.linalg.norm(decision.target.T_base_tcp_target.quaternion_xyzw) == pytest.approx(1.0, abs=1e-12)


def test_refusal_holds_with_a_unit_quaternion_though_the_measured_one_is_a_little_off() -> None:
    bench = Bench()
    pose = Pose(np.array(CENTRE), np.array([0.0, 0.0, 0.0, 1.005]))
    decision = bench.ask(tcp_step(math.nan), state=replace(aged(bench, 0.0), T_base_tcp=pose))
    assert decision.target is not None
    np.testing.assert_array_equal(decision.target.T_base_tcp_target.quaternion_xyzw, [0.0, 0.0, 0.0, 1.0])


def test_target_never_leads_a_blocked_arm_by_more_than_the_limit() -> None:
    bench = Bench()
    for _ in range(30):
        decision = bench.ask(tcp_step(0.015, 0.01, 0.0, 0.0, 0.1))
        assert decision.target is not None
        ahead = step_between(bench.state().T_base_tcp, decision.target.T_base_tcp_target)
        assert np.linalg.norm(ahead[:3]) <= LIMITS.max_target_lead_m * (1 + 1e-9)
        assert np.linalg.norm(ahead[3:]) <= LIMITS.max_target_lead_rad * (1 + 1e-9)
    assert reasons(decision) == ("LEAD_CLAMPED",)
    np.testing.assert_allclose(np.linalg.norm(ahead[:3]), LIMITS.max_target_lead_m)
    np.testing.assert_allclose(np.linalg.norm(ahead[3:]), LIMITS.max_target_lead_rad)
    np.testing.assert_allclose(decision.executed.executed[:6], np.zeros(6), atol=1e-12)


def test_blocked_arm_can_still_be_led_sideways_and_back() -> None:
    bench = Bench()
    for _ in range(5):
        bench.ask(tcp_step(0.02))
    assert target(bench.ask(tcp_step(0.0, 0.02)))[1] > 0.015
    back = bench.ask(tcp_step(-0.02))
    assert reasons(back) == ()


def test_arm_that_is_pushed_far_away_takes_its_target_along_and_records_a_legal_step() -> None:
    bench = Bench()
    bench.ask(tcp_step(0.01))
    bench.position, bench.rotation = (0.5, 0.3, 0.25), (0.0, 0.0, 1.5)

    decision = bench.ask(tcp_step(0.01))

    assert decision.target is not None
    ahead = step_between(bench.state().T_base_tcp, decision.target.T_base_tcp_target)
    assert np.linalg.norm(ahead[:3]) <= LIMITS.max_target_lead_m * (1 + 1e-9)
    assert np.linalg.norm(ahead[3:]) <= LIMITS.max_target_lead_rad * (1 + 1e-9)
    assert np.linalg.norm(decision.executed.executed[:3]) <= LIMITS.max_step_m
    assert reasons(decision) == ("LEAD_CLAMPED",)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", ["min", "max"])
def test_target_stops_exactly_at_each_wall_of_the_workspace(axis: int, side: str) -> None:
    wall = (LIMITS.workspace_min_m if side == "min" else LIMITS.workspace_max_m)[axis]
    outward = -1.0 if side == "min" else 1.0
    bench = Bench()
    position = np.array(CENTRE)
    position[axis] = wall - outward * 0.005
    bench.position = position
    step = tcp_step()
    step[axis] = 0.02 * outward

    decision = bench.ask(step)

    assert reasons(decision) == ("WORKSPACE_CLAMPED",)
    assert target(decision)[axis] == wall
    assert decision.executed.executed[axis] == pytest.approx(0.005 * outward)


def test_target_slides_along_a_wall() -> None:
    bench = Bench()
    bench.position = (0.75, 0.0, 0.25)
    np.testing.assert_allclose(target(bench.ask(tcp_step(0.01, 0.01))), [0.75, 0.01, 0.25])


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("side", ["min", "max"])
def test_arm_outside_the_workspace_may_come_nearer_and_never_go_further_out(axis: int, side: str) -> None:
    outward = -1.0 if side == "min" else 1.0
    outside = (LIMITS.workspace_min_m if side == "min" else LIMITS.workspace_max_m)[axis] + outward * 0.05
    bench = Bench()
    bench.position = np.array(CENTRE)
    bench.position[axis] = outside
    step = tcp_step()
    step[axis] = 0.02 * outward

    out = bench.ask(step)
    assert target(out)[axis] == outside
    assert reasons(out) == ("WORKSPACE_CLAMPED",)

    home = bench.ask(step * [-1, -1, -1, 1, 1, 1, 1])
    assert target(home)[axis] == pytest.approx(outside - 0.02 * outward)
    assert reasons(home) == ()

    again = bench.ask(step)
    assert target(again)[axis] == target(home)[axis], "the way back in is one way, though the arm lags behind"


def test_arm_outside_the_workspace_comes_back_by_legal_steps_and_stays_in() -> None:
    bench = Bench()
    bench.position = (0.82, 0.0, 0.25)
    xs = []
    for _ in range(6):
        bench.position = target(bench.ask(tcp_step(-0.02)))
        xs.append(bench.position[0])
    np.testing.assert_allclose(xs, [0.80, 0.78, 0.76, 0.74, 0.72, 0.70])
    for _ in range(6):
        bench.position = target(bench.ask(tcp_step(0.02)))
    assert bench.position[0] == 0.75


def test_restart_takes_target_and_gripper_from_the_measured_state_and_forgets_older_stamps() -> None:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    bench.now_ns, bench.sequence, bench.position = 0, 0, (0.6, 0.1, 0.3)
    bench.gate.restart(arm_state(0, bench.position, gripper=2.0))

    decision = bench.ask(source=Source.HOLD)

    assert reasons(decision) == ("GRIPPER_CLAMPED",), "heard, though stamp and sequence began anew"
    np.testing.assert_array_equal(target(decision), [0.6, 0.1, 0.3])
    assert decision.executed.executed[6] == 1.0


def test_command_and_state_are_left_as_they_were() -> None:
    bench = Bench()
    step, state = tcp_step(0.03, 0, 0, 0.2, gripper=2.0), bench.state()
    before = (step.copy(), state.T_base_tcp.position.copy(), state.T_base_tcp.quaternion_xyzw.copy())
    bench.ask(step, state=replace(state, stamp_ns=bench.now_ns + PERIOD_NS))
    for now, then in zip((step, state.T_base_tcp.position, state.T_base_tcp.quaternion_xyzw), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_step_m", 0.0),
        ("max_step_m", -0.02),
        ("max_step_m", math.nan),
        ("max_step_m", math.inf),
        ("max_step_rad", math.nan),
        ("max_step_rad", 4.0),
        ("max_target_lead_m", math.inf),
        ("max_target_lead_rad", 0.0),
        ("refuse_ratio", 0.5),
        ("refuse_ratio", math.nan),
        ("max_command_age_s", math.inf),
        ("max_state_age_s", math.nan),
        ("command_timeout_s", -1.0),
        ("max_refusals_in_a_row", 0),
        ("workspace_min_m", (0.8, -0.35, 0.01)),
        ("workspace_min_m", (math.nan, -0.35, 0.01)),
        ("workspace_max_m", (0.75, math.inf, 0.5)),
    ],
)
def test_limit_that_would_switch_a_bound_off_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        replace(LIMITS, **{field: value})


def test_burst_of_commands_cannot_outrun_the_rate_limit() -> None:
    bench = Bench()
    bench.ask()
    admitted = [not bench.ask(tcp_step(0.02), age_s=0.099 * n).refused for n in (1, 2)]
    assert admitted == [False, False]
    assert not bench.ask(tcp_step(0.02)).refused, "a command at the control rate is heard again"


@pytest.mark.parametrize("velocity", [(0.2, 0.0, 0.0), (0.0, -0.1, 0.05)])
def test_moving_arm_is_held_where_it_comes_to_rest_not_pulled_back(velocity: tuple[float, ...]) -> None:
    bench = Bench()
    moving = replace(bench.state(), tcp_velocity=np.array([*velocity, 0.0, 0.0, 0.0]))
    target = bench.ask(np.full(7, np.nan), state=replace(moving, stamp_ns=bench.now_ns + PERIOD_NS)).target
    assert target is not None
    ahead = target.T_base_tcp_target.position - moving.T_base_tcp.position
    np.testing.assert_allclose(ahead, LIMITS.braking_s * np.array(velocity))


@pytest.mark.parametrize("speed", [math.nan, math.inf, 1e300, 50.0])
def test_senseless_velocity_moves_the_hold_by_no_more_than_a_step(speed: float) -> None:
    bench = Bench()
    moving = replace(bench.state(), tcp_velocity=np.array([speed, 0.0, 0.0, 0.0, 0.0, 0.0]))
    target = bench.ask(np.full(7, np.nan), state=replace(moving, stamp_ns=bench.now_ns + PERIOD_NS)).target
    assert target is not None
    ahead = target.T_base_tcp_target.position - moving.T_base_tcp.position
    assert np.linalg.norm(ahead) <= LIMITS.max_step_m * (1 + 1e-9)


def test_hold_of_an_arm_that_moves_outwards_stays_in_the_box() -> None:
    bench = Bench()
    bench.position = (LIMITS.workspace_max_m[0] - 0.001, 0.0, 0.25)
    moving = replace(bench.state(), tcp_velocity=np.array([0.3, 0.0, 0.0, 0.0, 0.0, 0.0]))
    target = bench.ask(np.full(7, np.nan), state=replace(moving, stamp_ns=bench.now_ns + PERIOD_NS)).target
    assert target is not None
    assert target.T_base_tcp_target.position[0] == LIMITS.workspace_max_m[0]
