"""The enabling key: held, heard from lately, and on the steady clock."""

from __future__ import annotations

import pytest

from hardware.safety.deadman import Deadman
from hardware.safety.gate import SafetyGate
from hardware.safety.reasons import Reason
from tests.unit.gate_samples import LIMITS, PERIOD_NS, Bench, tcp_step
from tutelage_core.types import Source

pytestmark = pytest.mark.unit

MS = 1_000_000


def test_key_counts_as_held_for_its_timeout_only() -> None:
    key = Deadman(0.2)
    assert not key.is_held(0)
    key.see(True, 1000 * MS)
    assert key.is_held(1000 * MS)
    assert key.is_held(1200 * MS)
    assert not key.is_held(1201 * MS)
    assert not key.is_held(999 * MS), "from before it was seen: the clock went back"


def test_release_counts_at_once() -> None:
    key = Deadman(0.2)
    key.see(True, 0)
    key.see(False, 1)
    assert not key.is_held(1)


@pytest.mark.parametrize("source", [s for s in Source if s is not Source.HOLD])
def test_hand_moves_nothing_without_its_key_and_others_need_none(source: Source) -> None:
    bench = Bench(gate=SafetyGate(LIMITS, deadman=Deadman(0.2)))
    refused = bench.ask(tcp_step(0.01), source=source).refused
    assert refused is (source is Source.HUMAN)


def test_policy_needs_the_key_too_where_the_limits_say_so() -> None:
    from dataclasses import replace

    key = Deadman(0.2)
    bench = Bench(gate=SafetyGate(replace(LIMITS, deadman_for_policy=True), deadman=key))
    assert bench.ask(tcp_step(0.01)).executed.reasons == (Reason.DEADMAN_RELEASED,)
    key.see(True, bench.now_ns + PERIOD_NS)
    assert bench.ask(tcp_step(0.01)).executed.reasons == ()
    bench.now_ns += 2 * PERIOD_NS
    assert bench.ask(tcp_step(0.01)).executed.reasons == (Reason.DEADMAN_RELEASED,)
