"""A stop latches, refusals add up to one, and it goes only when nothing can jump."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from hardware.safety.reasons import Reason
from tests.unit.gate_samples import CENTRE, LIMITS, Bench, arm_state, tcp_step
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import Source

pytestmark = pytest.mark.unit


def stopped_bench() -> Bench:
    bench = Bench()
    bench.ask(tcp_step(0.02))
    bench.gate.stop("operator", bench.state())
    return bench


def test_ten_refusals_within_ten_seconds_latch_though_good_commands_come_in_between() -> None:
    bench = Bench()
    for _ in range(9):
        bench.ask(tcp_step(math.nan))
        bench.ask()
    assert not bench.gate.latch
    bench.ask(tcp_step(math.nan))
    assert bench.gate.latch == "10 commands refused within 10 s, the last one for NOT_FINITE"


def test_refusals_that_are_far_apart_do_not_latch() -> None:
    bench = Bench()
    for _ in range(20):
        bench.ask(tcp_step(math.nan))
        bench.ask()
        bench.now_ns += 2 * NS_PER_S
    assert not bench.gate.latch


def test_released_key_never_adds_up_to_a_fault() -> None:
    bench = Bench(gate=SafetyGate(LIMITS, armed=False))
    for _ in range(30):
        assert bench.ask(tcp_step(0.01)).executed.reasons == (Reason.NOT_ARMED,)
    assert not bench.gate.latch


def test_first_cause_is_kept() -> None:
    bench = stopped_bench()
    bench.gate.stop("something that follows from it")
    assert bench.gate.latch == "operator"


def test_quiet_still_arm_in_its_place_may_be_cleared() -> None:
    bench = stopped_bench()
    assert bench.gate.why_not_clear(bench.state(), bench.now_ns) == ""


def test_stop_is_not_cleared_while_somebody_still_asks_for_motion() -> None:
    bench = stopped_bench()
    bench.ask(tcp_step(0.02))
    assert "let go" in bench.gate.why_not_clear(bench.state(), bench.now_ns + round(0.4 * NS_PER_S))
    assert bench.gate.why_not_clear(bench.state(), bench.now_ns + round(0.6 * NS_PER_S)) == ""


def test_commands_that_hold_do_not_keep_a_stop_from_being_cleared() -> None:
    bench = stopped_bench()
    bench.ask(source=Source.HOLD)
    assert bench.gate.why_not_clear(bench.state(), bench.now_ns) == ""


def test_stop_is_not_cleared_while_the_arm_moves_or_where_it_was_carried_to() -> None:
    bench = stopped_bench()
    moving = replace(bench.state(), tcp_velocity=np.array([0.05, 0, 0, 0, 0, 0]))
    assert "moves at 0.050 m/s" in bench.gate.why_not_clear(moving, bench.now_ns)
    nonsense = replace(bench.state(), tcp_velocity=np.full(6, math.nan))
    assert bench.gate.why_not_clear(nonsense, bench.now_ns)

    bench.position = (CENTRE[0] + 0.05, *CENTRE[1:])
    assert "50 mm from where it was stopped" in bench.gate.why_not_clear(bench.state(), bench.now_ns)
    bench.gate.stop("operator", bench.state())
    assert bench.gate.why_not_clear(bench.state(), bench.now_ns) == "", "a new stop takes the present place"


def test_commands_from_before_the_release_are_refused_after_it() -> None:
    bench = stopped_bench()
    bench.gate.clear_stop(bench.now_ns + NS_PER_S // 10)
    late = bench.ask(tcp_step(0.02), age_s=0.02)
    assert late.executed.reasons == (Reason.OUT_OF_ORDER,)
    assert bench.ask(tcp_step(0.02)).executed.reasons == ()


def test_gate_that_must_be_armed_stays_still_after_the_release() -> None:
    bench = Bench(gate=SafetyGate(LIMITS, armed=False))
    bench.gate.arm()
    assert bench.gate.armed
    bench.gate.stop("operator")
    bench.gate.disarm()
    bench.gate.clear_stop(bench.now_ns)
    assert not bench.gate.armed
    decision = bench.ask(tcp_step(0.02))
    assert decision.executed.reasons == (Reason.NOT_ARMED,)
    assert decision.target is not None
    np.testing.assert_array_equal(decision.target.T_base_tcp_target.position, arm_state(0).T_base_tcp.position)
