"""When a measured force stops the arm."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hardware.safety.contact import ContactWatch
from hardware.safety.gate import SafetyGate
from tests.unit.gate_samples import LIMITS, arm_state
from tutelage_core.types import ArmState

pytestmark = pytest.mark.unit

LIMIT_N = LIMITS.max_contact_force_n


def pressing(force_n: float) -> ArmState:
    return replace(arm_state(0), wrench=np.array([0.0, 0.6 * force_n, 0.8 * force_n, 9.0, 9.0, 9.0]))


def test_force_stops_when_it_lasts() -> None:
    watch = ContactWatch(LIMITS)
    said = [watch.feel(pressing(1.1 * LIMIT_N)) for _ in range(3)]
    assert said[:2] == ["", ""]
    assert "66 N, 60 N are allowed" in said[2]


def test_spikes_with_pauses_between_them_do_not_stop() -> None:
    watch = ContactWatch(LIMITS)
    assert not any(watch.feel(pressing(force_n)) for force_n in [1.5 * LIMIT_N, 1.5 * LIMIT_N, 0.5 * LIMIT_N] * 5)


def test_impact_stops_at_once() -> None:
    assert ContactWatch(LIMITS).feel(pressing(2.1 * LIMIT_N))
    assert ContactWatch(LIMITS).feel(pressing(math.inf))


@pytest.mark.parametrize("force_n", [math.nan, 0.0, 0.99 * LIMIT_N])
def test_what_is_not_measured_or_allowed_does_not_stop(force_n: float) -> None:
    watch = ContactWatch(LIMITS)
    assert not any(watch.feel(pressing(force_n)) for _ in range(10))


def test_limit_of_zero_watches_for_nothing() -> None:
    assert not ContactWatch(replace(LIMITS, max_contact_force_n=0.0)).feel(pressing(1e6))


def test_gate_latches_once_and_is_not_cleared_while_the_arm_presses() -> None:
    gate = SafetyGate(LIMITS)
    assert gate.feel(pressing(200.0))
    assert not gate.feel(pressing(200.0)), "it has stopped already"
    assert "met something" in gate.latch
    assert "still presses" in gate.why_not_clear(pressing(200.0), 0)
    assert gate.why_not_clear(pressing(10.0), 0) == ""
