"""The SafetyGate under anything at all: any numbers, shapes, stamps, states and orders of events."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from hardware.safety.gate import GateDecision, SafetyGate
from hardware.safety.measured import FARTHEST_M, UNIT_TOLERANCE
from hardware.safety.reasons import REFUSALS, Reason
from tests.unit.gate_samples import CENTRE, LIMITS, PERIOD_NS, arm_state
from tutelage_core.contract import NS_PER_S
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import rotation_vector_to_xyzw, step_between
from tutelage_core.types import ArmState, Pose, Source, StepCommand

pytestmark = pytest.mark.property

QUICK = settings(max_examples=150, deadline=None)
ROUNDING = 3e-9
"""Allowed beyond a bound [m, rad]: rounding, far below what any arm resolves."""

ALL_LIMITS = st.sampled_from(
    [
        LIMITS,
        replace(LIMITS, max_target_lead_m=0.004, max_target_lead_rad=0.02),  # lead shorter than a step
        replace(LIMITS, speed_profile="reduced"),  # slow at first, then at most 0.25 m/s
        replace(LIMITS, max_step_rad=1.5, max_target_lead_rad=1.5, refuse_ratio=1.0, max_refusals_in_a_row=10),
    ]
)
SOURCES = st.sampled_from(Source)


@dataclass(frozen=True)
class Ask:
    """A command and what the gate knows when it comes; times are relative to the clock [ns]."""

    step: np.ndarray
    source: Source
    passed_ns: int
    command_age_ns: int
    sequence_growth: int
    state: ArmState


@dataclass(frozen=True)
class TimeOut:
    """No command came."""

    state: ArmState


def bits(size: int) -> st.SearchStrategy[np.ndarray]:
    """Return float64 vectors of any bit patterns: NaN with any payload, infinities, denormals, signed zeros."""
    return arrays(np.uint64, size, elements=st.integers(0, 2**64 - 1)).map(lambda raw: raw.view(np.float64))


ODD = st.sampled_from([math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -5e-324, -0.0, 0.0, 0.02, 0.06, 1.0])
LEGAL_SIZES = arrays(np.float64, 7, elements=st.floats(-0.025, 0.025))
WILD_STEPS = st.one_of(
    bits(7),
    arrays(np.float64, 7, elements=st.floats() | ODD),
    LEGAL_SIZES,
    arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=8)),
    arrays(np.dtype(">f8"), 7),
)
TAME_STEPS = st.one_of(
    LEGAL_SIZES,
    st.tuples(
        arrays(np.float64, 3, elements=st.floats(-0.034, 0.034)),
        arrays(np.float64, 3, elements=st.floats(-0.24, 0.24)),
        st.floats(-0.5, 1.5),
    ).map(lambda parts: np.concatenate([*parts[:2], [parts[2]]])),
)
PLACES = st.tuples(st.floats(0.2, 0.8), st.floats(-0.4, 0.4), st.floats(-0.05, 0.55)) | st.just(CENTRE)
TURNS = st.tuples(*[st.floats(-2.0, 2.0)] * 3) | st.just((0.0, 0.0, 0.0))
TAME_STATES = st.builds(arm_state, st.just(0), PLACES, TURNS, st.floats(0.0, 1.0))
WILD_POSES = st.builds(
    Pose,
    bits(3) | arrays(np.float64, 3, elements=st.floats() | ODD),
    bits(4) | arrays(np.float64, 4, elements=st.floats() | ODD),
)
WILD_STATES = TAME_STATES | st.builds(
    lambda age_ns, pose, gripper: replace(arm_state(age_ns), T_base_tcp=pose, gripper_opening=gripper),
    st.sampled_from([0, 0, PERIOD_NS, NS_PER_S, -NS_PER_S]) | st.integers(-(2**62), 2**62),
    WILD_POSES | st.just(arm_state(0).T_base_tcp),
    st.floats() | ODD,
)

TAME_ASKS = st.builds(Ask, TAME_STEPS, SOURCES, st.just(PERIOD_NS), st.just(0), st.just(1), TAME_STATES)
WILD_ASKS = st.builds(
    Ask,
    WILD_STEPS,
    SOURCES,
    st.sampled_from([PERIOD_NS, 0, -PERIOD_NS]) | st.integers(-(2**62), 2**62),
    st.sampled_from([0, PERIOD_NS, 10 * PERIOD_NS, -NS_PER_S]) | st.integers(-(2**62), 2**62),
    st.sampled_from([1, 0, -1, 7]),
    WILD_STATES,
)
EVENTS = st.sampled_from(["stop", "clear_stop", "restart"])
TAME_RUNS = st.lists(TAME_ASKS, min_size=1, max_size=8)
WILD_RUNS = st.lists(TAME_ASKS | WILD_ASKS | st.builds(TimeOut, WILD_STATES) | EVENTS, min_size=1, max_size=10)


class Witness:
    """Drives a gate, and checks after each answer all that must always hold."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Start without an episode, as a gate does that has just been made."""
        self.limits = limits
        self.gate = SafetyGate(limits)
        self.now_ns = 10 * NS_PER_S
        self.sequence = 0
        self.target: Pose | None = None
        self.held = False
        self.moves = 0

    def play(self, what: Ask | TimeOut | str) -> GateDecision | None:
        """Carry out one event of a run."""
        if isinstance(what, str):
            if what == "stop":
                self.gate.stop("operator")
            elif what == "clear_stop":
                self.gate.clear_stop()
                self.target = None
            else:
                self.gate.restart(arm_state(self.now_ns))
                self.target = None
            return None
        if isinstance(what, TimeOut):
            decision = self.gate.time_out(what.state, self.now_ns)
            assert decision.executed.reasons == ("COMMAND_TIMEOUT",)
            self.check(decision, np.zeros(7), what.state)
            return decision
        command, state = self.prepare(what)
        was_latched = bool(self.gate.latch)
        decision = self.gate.admit(command, state, self.now_ns)
        assert (decision.executed.reasons == ("LATCHED",)) is was_latched
        assert (decision.executed.stamp_ns, decision.executed.sequence) == (command.stamp_ns, command.sequence)
        assert decision.executed.requested is command.step
        self.check(decision, command.step, state)
        return decision

    def prepare(self, ask: Ask) -> tuple[StepCommand, ArmState]:
        self.now_ns += ask.passed_ns
        self.sequence = max(self.sequence + ask.sequence_growth, 0)
        state = replace(ask.state, stamp_ns=self.now_ns - ask.state.stamp_ns)
        return StepCommand(self.now_ns - ask.command_age_ns, self.sequence, ask.source, ask.step), state

    def check(self, decision: GateDecision, requested: np.ndarray, state: ArmState) -> None:
        executed, reasons = decision.executed.executed, set(decision.executed.reasons)
        assert reasons <= set(Reason)
        assert executed.shape == (7,)
        assert executed.dtype == np.float64
        assert np.isfinite(executed).all()
        assert 0.0 <= executed[6] <= 1.0
        unchanged = requested.dtype == np.float64 and np.array_equal(executed, requested)
        assert reasons or unchanged, "a change without a reason"
        assert decision.refused == bool(reasons & REFUSALS)
        if decision.target is None:
            assert decision.refused
            assert self.target is None, "the arm can hold where it was sent"
            assert not plausible(state.T_base_tcp)
            return
        target = decision.target.T_base_tcp_target
        assert np.isfinite(target.position).all()
        assert np.linalg.norm(target.quaternion_xyzw) == pytest.approx(1.0, abs=ROUNDING)
        assert decision.target.gripper_opening == executed[6]
        if decision.refused:
            self.check_hold(decision, target, state)
        else:
            self.check_move(decision, target, state)
        self.target = target
        self.held = decision.executed.source is Source.HOLD

    def check_hold(self, decision: GateDecision, target: Pose, state: ArmState) -> None:
        assert decision.executed.source is Source.HOLD
        assert len(decision.executed.reasons) == 1
        np.testing.assert_array_equal(decision.executed.executed[:6], np.zeros(6))
        expected = state.T_base_tcp if plausible(state.T_base_tcp) else self.target
        assert expected is not None
        np.testing.assert_array_equal(target.position, expected.position)
        unit = expected.quaternion_xyzw / np.linalg.norm(expected.quaternion_xyzw)
        np.testing.assert_allclose(target.quaternion_xyzw, unit, rtol=0, atol=1e-12)

    def check_move(self, decision: GateDecision, target: Pose, state: ArmState) -> None:
        limits, executed, measured = self.limits, decision.executed.executed, state.T_base_tcp
        assert plausible(measured)
        low = np.minimum(limits.workspace_min_m, measured.position)
        high = np.maximum(limits.workspace_max_m, measured.position)
        assert (target.position >= low - 1e-15).all()
        assert (target.position <= high + 1e-15).all()
        assert np.linalg.norm(executed[:3]) <= limits.max_step_m + ROUNDING
        assert np.linalg.norm(executed[3:6]) <= limits.max_step_rad + ROUNDING
        unit = Pose(measured.position, measured.quaternion_xyzw / np.linalg.norm(measured.quaternion_xyzw))
        lead = step_between(unit, target)
        assert np.linalg.norm(lead[:3]) <= limits.max_target_lead_m + ROUNDING
        assert np.linalg.norm(lead[3:]) <= limits.max_target_lead_rad + ROUNDING
        if not set(decision.executed.reasons) & {"LEAD_CLAMPED", "WORKSPACE_CLAMPED"} and self.target is not None:
            if decision.executed.source is Source.HOLD:
                starts = [self.target, unit]
            else:  # after a hold, from where the arm has come to rest
                starts = [unit] if self.held else [self.target]
            assert any(
                np.allclose(step_between(start, target), executed[:6], rtol=0, atol=ROUNDING) for start in starts
            ), "the target moved by something else than what was executed"
        if decision.executed.source is Source.HOLD:
            np.testing.assert_allclose(executed[:6], np.zeros(6), atol=ROUNDING)
        self.moves += 1


def plausible(pose: Pose) -> bool:
    """Say independently of the gate whether a pose can have been measured."""
    with np.errstate(all="ignore"):
        length = math.hypot(*(float(v) for v in pose.quaternion_xyzw))
        return abs(length - 1.0) <= UNIT_TOLERANCE and bool((np.abs(pose.position) <= FARTHEST_M).all())


@settings(QUICK, max_examples=300)
@given(ALL_LIMITS, WILD_RUNS)
def test_whatever_comes_the_answer_is_finite_bounded_and_explained(limits: SafetyLimits, run: list) -> None:
    witness = Witness(limits)
    for what in run:
        witness.play(what)


@QUICK
@given(ALL_LIMITS, TAME_RUNS)
def test_whatever_the_arm_does_each_step_and_lead_is_bounded(limits: SafetyLimits, run: list[Ask]) -> None:
    witness = Witness(replace(limits, max_refusals_in_a_row=100))
    for what in run:
        witness.play(what)
    assume(witness.moves)  # rejects runs in which every step was refused: they show nothing here


@QUICK
@given(bits(7) | arrays(np.float64, 7, elements=st.floats() | ODD), SOURCES)
def test_first_command_of_any_bits_is_answered_within_bounds(step: np.ndarray, source: Source) -> None:
    Witness(LIMITS).play(Ask(step, source, 0, 0, 1, arm_state(0)))


@QUICK
@given(arrays(scalar_dtypes(), array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=8)))
def test_array_of_any_other_shape_or_type_is_refused(step: np.ndarray) -> None:
    assume(step.shape != (7,) or step.dtype != np.float64)
    decision = Witness(LIMITS).play(Ask(step, Source.POLICY, 0, 0, 1, arm_state(0)))
    assert decision is not None
    assert decision.executed.reasons == ("WRONG_SHAPE",)


@QUICK
@given(ALL_LIMITS, st.lists(TAME_ASKS, max_size=4), TAME_ASKS | WILD_ASKS)
def test_what_was_executed_passes_again_unchanged_from_the_same_situation(
    limits: SafetyLimits, before: list[Ask], ask: Ask
) -> None:
    witness = Witness(replace(limits, max_refusals_in_a_row=100))
    for what in before:
        witness.play(what)
    again = copy.deepcopy(witness)
    first = witness.play(ask)
    assert first is not None
    second = again.play(replace(ask, step=first.executed.executed))
    assert second is not None

    np.testing.assert_allclose(second.executed.executed, first.executed.executed, rtol=0, atol=1e-12)
    if not first.refused:
        assert not second.refused
        assert first.target is not None
        assert second.target is not None
        np.testing.assert_allclose(
            step_between(first.target.T_base_tcp_target, second.target.T_base_tcp_target), np.zeros(6), atol=ROUNDING
        )
        assert not set(second.executed.reasons) & {"TRANSLATION_CLAMPED", "ROTATION_CLAMPED", "GRIPPER_CLAMPED"}


@QUICK
@given(st.lists(TAME_ASKS, max_size=3), st.lists(TAME_ASKS | WILD_ASKS | st.builds(TimeOut, WILD_STATES), max_size=8))
def test_latched_gate_never_moves(before: list[Ask], after: list[Ask | TimeOut]) -> None:
    witness = Witness(LIMITS)
    for what in before:
        witness.play(what)
    witness.gate.stop("operator")
    moves, gripper = witness.moves, None
    for what in after:
        decision = witness.play(what)
        assert decision is not None
        assert decision.refused
        if gripper is not None and math.isfinite(gripper):
            assert decision.executed.executed[6] == gripper
        if before:
            gripper = decision.executed.executed[6]
    assert witness.moves == moves
    assert witness.gate.latch == "operator"


@QUICK
@given(st.lists(TAME_ASKS, max_size=4), TAME_ASKS, EVENTS.filter(lambda event: event != "stop"))
def test_first_step_after_clear_stop_or_restart_counts_from_the_measured_pose(
    before: list[Ask], ask: Ask, event: str
) -> None:
    witness = Witness(LIMITS)
    for what in before:
        witness.play(what)
    witness.play(event)
    assume(not witness.gate.latch)
    decision = witness.play(ask)
    assert decision is not None
    assert decision.target is not None
    moved = step_between(ask.state.T_base_tcp, decision.target.T_base_tcp_target)
    np.testing.assert_allclose(moved, decision.executed.executed[:6], rtol=0, atol=ROUNDING)


@QUICK
@given(PLACES, st.lists(LEGAL_SIZES, min_size=1, max_size=12))
def test_arm_that_follows_never_gets_further_out_of_the_workspace(
    place: tuple[float, ...], steps: list[np.ndarray]
) -> None:
    witness, position = Witness(LIMITS), np.array(place)
    for step in steps:
        outside = distance_outside(position)
        decision = witness.play(Ask(step, Source.POLICY, PERIOD_NS, 0, 1, arm_state(0, position)))
        assert decision is not None
        assert decision.target is not None
        position = decision.target.T_base_tcp_target.position
        assert (distance_outside(position) <= outside + 1e-15).all()


def distance_outside(position: np.ndarray) -> np.ndarray:
    return np.maximum(
        np.maximum(np.array(LIMITS.workspace_min_m) - position, position - np.array(LIMITS.workspace_max_m)), 0.0
    )


@QUICK
@given(st.tuples(*[st.floats(-3.0, 3.0)] * 3), st.tuples(*[st.floats(-0.15, 0.15)] * 3))
def test_turn_that_is_small_enough_is_carried_out_from_any_posture(
    turned: tuple[float, ...], turn: tuple[float, ...]
) -> None:
    assume(np.linalg.norm(turn) <= LIMITS.max_step_rad)
    step = np.array([0.0, 0.0, 0.0, *turn, 0.5])
    decision = Witness(LIMITS).play(Ask(step, Source.POLICY, 0, 0, 1, arm_state(0, CENTRE, turned)))
    assert decision is not None
    assert decision.target is not None
    assert decision.executed.reasons == ()
    start = Pose(np.array(CENTRE), rotation_vector_to_xyzw(np.array(turned)))
    np.testing.assert_allclose(step_between(start, decision.target.T_base_tcp_target)[3:], turn, atol=1e-12)
