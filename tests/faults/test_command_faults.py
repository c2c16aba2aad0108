"""Nonsense, jumps, silence, clocks and stops, with the twin's physics in simulated time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rig import Rig
from scoreboard import Scoreboard

from hardware.safety.reasons import Reason
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.types import FloatArray, Source, StepCommand

pytestmark = pytest.mark.faults

HOUR_NS = 3600 * NS_PER_S
SEED = 7


def nonsense(kind: str) -> FloatArray:
    step = np.full(7, 0.001)
    match kind:
        case "nan":
            step[1] = math.nan
        case "infinite":
            step[4] = -math.inf
        case "huge":
            step[:] = 1e9
        case "misshapen":
            step = np.zeros(6)
        case "single precision":
            step = np.full(7, math.nan, dtype=np.float32)
    return step


@pytest.mark.parametrize("kind", ["nan", "infinite", "huge", "misshapen", "single precision"])
def test_nonsense_at_full_speed_is_refused_at_once_and_the_third_time_latches(
    scoreboard: Scoreboard, kind: str
) -> None:
    rig = Rig()
    rig.to_full_speed()
    begun_ns = rig.steady_ns
    decisions = []
    for _ in range(3):
        decisions.append(rig.send(nonsense(kind)))
        rig.run(0.1)
    rig.run(1.5)
    scoreboard.note(
        4,
        f"{kind} numbers at full speed",
        clock="simulated",
        t_detect_ms=0.0,
        t_stop_ms=rig.stop_ms(begun_ns),
        t_tcp_stop_ms=rig.tcp_stop_ms(begun_ns),
        unsafe_cmds=rig.unsafe,
        recovery="operator",
        message=rig.gate.latch,
    )
    assert all(decision.refused for decision in decisions)
    assert all(np.isfinite(decision.executed.executed).all() for decision in decisions)
    assert "3 commands refused in a row" in rig.gate.latch
    assert rig.unsafe == 0
    assert rig.stop_ms(begun_ns) <= 200


def test_numbers_too_small_to_matter_move_nothing_and_are_no_fault(scoreboard: Scoreboard) -> None:
    rig = Rig()
    rig.run(1.0)
    begun_ns = rig.steady_ns
    for _ in range(10):
        assert not rig.send(np.append(np.full(6, 5e-324), 1.0)).refused
        rig.run(0.1)
    scoreboard.note(4, "denormal numbers", clock="simulated", unsafe_cmds=rig.unsafe, recovery="auto")
    assert rig.unsafe == 0
    assert not rig.gate.latch
    assert rig.travelled_m(begun_ns) < 1e-4


def test_ten_thousand_random_commands_bring_nothing_unsafe_to_the_controller(scoreboard: Scoreboard) -> None:
    """After each latch an operator clears it and goes on: the worst that a person can do."""
    rig, rng = Rig("simulation"), np.random.default_rng(SEED)
    special = np.array([math.nan, math.inf, -math.inf, 1e308, -1e9, 5e-324, 0.0, 0.025, 1.0])
    latched = 0
    for number in range(10_000):
        scale = 10.0 ** rng.uniform(-6, 3)
        step = rng.normal(0.0, scale, int(rng.choice([7, 7, 7, 7, 6, 0, 14])))
        if len(step) and rng.random() < 0.3:
            step[rng.integers(len(step))] = rng.choice(special)
        stamp_ns = rig.now_ns + int(rng.choice([0, 0, 0, 0, -NS_PER_S, NS_PER_S, -HOUR_NS, HOUR_NS, -(2**40)]))
        sender = str(rng.choice(["session", "session", "session", "", "another"]))
        source = Source(int(rng.integers(len(Source))))
        sequence = int(rng.integers(-1, 2**40)) if rng.random() < 0.5 else number
        rig.admit(StepCommand(stamp_ns, sequence, source, step, sender))
        rig.run(0.01 * int(rng.integers(1, 3)))
        if rig.gate.latch:
            latched += 1
            rig.gate.clear_stop()
            rig.start()
    scoreboard.note(4, "10,000 random commands", clock="counted", tries=10_000, unsafe_cmds=rig.unsafe, latched=latched)
    low, high = np.array(rig.limits.workspace_min_m), np.array(rig.limits.workspace_max_m)
    places = np.array([row.position for row in rig.rows])
    assert rig.unsafe == 0
    assert latched > 100
    assert rig.gate.clamped > 10, "some must get through, or nothing was tested"
    assert (places > low - 0.01).all()
    assert (places < high + 0.01).all()


def test_jump_of_fifty_times_the_limit_is_refused_and_named(scoreboard: Scoreboard) -> None:
    rig = Rig()
    rig.to_full_speed()
    begun_ns = rig.steady_ns
    jump = np.zeros(7)
    jump[1] = 50 * rig.limits.max_step_m
    decision = rig.send(jump)
    rig.run(2.0)
    far_m = max(0.0, float(rig.rows[-1].position[1]) - rig.limits.workspace_max_m[1])
    scoreboard.note(
        5,
        "a step of 50 times the limit at full speed",
        clock="simulated",
        t_detect_ms=0.0,
        t_stop_ms=rig.stop_ms(begun_ns),
        t_tcp_stop_ms=rig.tcp_stop_ms(begun_ns),
        overshoot_mm=1e3 * far_m,
        unsafe_cmds=rig.unsafe,
        recovery="auto",
        message=str(decision.executed.reasons),
    )
    assert decision.executed.reasons == (Reason.STEP_TOO_LARGE,)
    assert not decision.executed.executed[:6].any(), "refused, not clamped"
    assert rig.unsafe == 0
    assert far_m == 0.0


@pytest.mark.parametrize("jump_ns", [0, HOUR_NS, -HOUR_NS])
def test_arm_stops_when_commands_cease_whatever_the_wall_clock_does(scoreboard: Scoreboard, jump_ns: int) -> None:
    rig = Rig()
    rig.to_full_speed()
    begun_ns = rig.steady_ns
    rig.wall_offset_ns += jump_ns
    rig.run(2.0)
    last_ns = begun_ns - rig.contract.period_ns  # the last command came one period ago
    stop_ms = rig.stop_ms(last_ns)
    name = "commands cease at full speed" + (f", wall clock jumps by {jump_ns // HOUR_NS:+d} h" if jump_ns else "")
    scoreboard.note(
        13 if jump_ns else 6,
        name,
        clock="simulated",
        t_detect_ms=1e3 * rig.limits.command_timeout_s,
        t_stop_ms=stop_ms,
        t_tcp_stop_ms=rig.tcp_stop_ms(last_ns),
        unsafe_cmds=rig.unsafe,
        recovery="operator",
    )
    reference = Rig()
    reference.to_full_speed()
    reference_ns = reference.steady_ns
    reference.run(2.0)
    assert stop_ms <= 250
    assert stop_ms == pytest.approx(reference.stop_ms(reference_ns - rig.contract.period_ns), rel=0.1)


def test_clock_that_goes_back_refuses_what_is_stamped_with_it_and_no_old_command_is_carried_out_later(
    scoreboard: Scoreboard,
) -> None:
    rig = Rig()
    rig.to_full_speed()
    rig.wall_offset_ns -= HOUR_NS
    begun_ns = rig.steady_ns
    step = np.array([0.0, 0.01, 0.0, 0.0, 0.0, 0.0, 1.0])
    reasons = []
    for _ in range(3):
        reasons += rig.send(step).executed.reasons
        rig.run(0.1)
    rig.run(0.5)
    stood_ns = rig.steady_ns
    rig.wall_offset_ns += HOUR_NS
    for _ in range(20):
        rig.send(step)
        rig.run(0.1)
    scoreboard.note(
        13,
        "stamps go back by 1 h at full speed, and forward again",
        clock="simulated",
        t_detect_ms=0.0,
        t_tcp_stop_ms=rig.tcp_stop_ms(begun_ns),
        t_stop_ms=rig.stop_ms(begun_ns) if rig.travelled_m(stood_ns) < 1e-3 else math.inf,
        unsafe_cmds=rig.unsafe,
        recovery="operator",
        message=rig.gate.latch,
    )
    assert set(reasons) == {Reason.OUT_OF_ORDER}
    assert "refused in a row" in rig.gate.latch
    assert rig.travelled_m(stood_ns) < 1e-3


def test_frozen_clock_refuses_a_second_command_of_the_same_instant_and_the_watchdog_still_fires(
    scoreboard: Scoreboard,
) -> None:
    rig = Rig()
    rig.to_full_speed()
    begun_ns = rig.steady_ns
    frozen_ns = rig.now_ns
    first = rig.admit(StepCommand(frozen_ns, 10**6, Source.POLICY, np.array([0.0, 0.01, 0, 0, 0, 0, 1.0]), "session"))
    second = rig.admit(StepCommand(frozen_ns, 10**6 + 1, Source.POLICY, np.zeros(7), "session"))
    rig.run(2.0)
    scoreboard.note(
        13,
        "clock frozen",
        clock="simulated",
        t_stop_ms=rig.stop_ms(begun_ns),
        t_tcp_stop_ms=rig.tcp_stop_ms(begun_ns),
        unsafe_cmds=rig.unsafe,
        recovery="auto",
    )
    assert not first.refused
    assert second.executed.reasons == (Reason.OUT_OF_ORDER,)
    assert rig.stop_ms(begun_ns) <= 250


def test_released_key_holds_the_arm(scoreboard: Scoreboard) -> None:
    """The gate's own part of fault 15: whoever goes on sending a hand's steps moves nothing."""
    rig = Rig()
    rig.to_full_speed(Source.HUMAN)
    rig.key_held = False
    begun_ns = rig.steady_ns
    rig.drive((0.0, 1.0, 0.0), 0.3, Source.HUMAN)
    rig.run(3.0)
    scoreboard.note(
        15,
        "the hand's device falls silent, its steps go on",
        clock="simulated",
        t_detect_ms=1e3 * rig.limits.deadman_timeout_s,
        t_stop_ms=rig.stop_ms(begun_ns),
        t_tcp_stop_ms=rig.tcp_stop_ms(begun_ns),
        unsafe_cmds=rig.unsafe,
        recovery="operator",
    )
    assert rig.stop_ms(begun_ns) <= 300


def test_stop_at_full_speed_comes_to_rest_and_takes_nothing_from_the_queue(scoreboard: Scoreboard) -> None:
    rig = Rig()
    rig.to_full_speed()
    begun_ns = rig.steady_ns
    rig.gate.stop("a person's stop", rig.state())
    queued = [
        StepCommand(rig.now_ns + n * rig.contract.period_ns, 10**6 + n, Source.POLICY, np.full(7, 0.01), "session")
        for n in range(5)
    ]
    for command in queued:
        assert rig.admit(command).executed.reasons == (Reason.LATCHED,)
        rig.run(0.1)
    rig.run(1.5)
    scoreboard.note(
        16,
        "stop at full speed",
        clock="simulated",
        t_detect_ms=0.0,
        t_stop_ms=rig.stop_ms(begun_ns),
        t_tcp_stop_ms=rig.tcp_stop_ms(begun_ns),
        unsafe_cmds=rig.unsafe,
        recovery="operator",
        message=rig.gate.latch,
    )
    assert rig.stop_ms(begun_ns) <= 200
    assert rig.unsafe == 0


def test_thousand_releases_move_nothing_before_the_arm_is_armed_again(scoreboard: Scoreboard) -> None:
    """Whatever is sent in whatever order after a stop: only clear, restart and arm lead to motion."""
    rig, rng = Rig("simulation"), np.random.default_rng(SEED)
    moved = 0
    for _ in range(1000):
        rig.start()
        step = np.append(rng.normal(0.0, 0.005, 6), rng.random())
        assert not rig.send(step).refused
        rig.run(0.01)
        rig.gate.stop("a person's stop", rig.state())
        rig.gate.disarm()
        old = StepCommand(rig.now_ns - int(rng.integers(NS_PER_S)), 10**6, Source.POLICY, step, "session")
        for action in rng.permutation(["old", "new", "clear", "clear", "other", "hand", "new"]):
            if action == "clear":
                rig.gate.clear_stop(rig.now_ns)
                continue
            if action == "old":
                decision = rig.admit(old)
            elif action == "other":
                decision = rig.send(step, sender="another")
            else:
                decision = rig.send(step, source=Source.HUMAN if action == "hand" else Source.POLICY)
            moved += bool(decision.executed.executed[:6].any()) or not decision.refused
            rig.steady_ns += 50_000_000
        rig.gate.clear_stop(rig.now_ns)
    scoreboard.note(16, "1,000 releases of a stop", clock="counted", tries=1000, motions=moved, unsafe_cmds=rig.unsafe)
    assert moved == 0
    rig.start()
    assert not rig.send(np.append(np.full(6, 0.001), 1.0)).refused, "armed again, it moves"


@pytest.mark.parametrize("profile", ["reduced", "simulation"])
def test_table_that_nobody_told_of_stops_the_arm_by_its_force(scoreboard: Scoreboard, profile: str) -> None:
    """The gate knows neither table nor box; the policy drives down into it at full speed, and goes on asking."""
    known = load_contract("twin")
    low = (*known.safety.workspace_min_m[:2], -0.3)
    blind = replace(known, cell=(), arm=replace(known.arm, model=""), safety=replace(known.safety, workspace_min_m=low))
    rig = Rig(profile, contract=blind)
    rig.drive((0.0, -1.0, 0.0), 1.2)
    rig.drive((0.0, 0.0, -1.0), 2.0)
    hit = next(number for number, row in enumerate(rig.rows) if row.force_n > 1.0)
    rig.run(1.0)
    scoreboard.note(
        18,
        f"down into an unknown table at full speed, profile {profile}",
        clock="simulated",
        peak_n=max(row.force_n for row in rig.rows),
        pressing_n=max(row.force_n for row in rig.rows[hit + 10 :]),
        t_tcp_stop_ms=rig.tcp_stop_ms(rig.rows[hit].steady_ns),
        unsafe_cmds=rig.unsafe,
        recovery="operator",
        message=rig.gate.latch,
    )
    assert "the arm met something" in rig.gate.latch
    assert max(row.force_n for row in rig.rows[hit + 10 :]) < rig.limits.max_contact_force_n
    assert rig.rows[-1].force_n < 20, "it holds where it is, it does not go on pressing"
