"""Speed profiles: reduced speed, a slow first motion, and speed that rises no faster than it may."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from hardware.safety.profiles import SPEED_PROFILES, find_profile
from hardware.safety.reasons import Reason
from tests.unit.gate_samples import LIMITS, Bench, tcp_step
from tutelage_core.errors import UnknownNameError
from tutelage_core.limits import SafetyLimits

pytestmark = pytest.mark.unit

REDUCED = replace(LIMITS, speed_profile="reduced", max_step_m=0.04, max_target_lead_m=1.0)


def moved_m(bench: Bench, way_m: float) -> float:
    return float(np.linalg.norm(bench.ask(tcp_step(way_m)).executed.executed[:3]))


def warm(bench: Bench) -> Bench:
    """Let the slow first motion pass."""
    for _ in range(11):
        bench.ask(tcp_step(0.001))
    return bench


def test_contract_that_names_no_profile_gets_the_reduced_speed() -> None:
    limits = SafetyLimits(workspace_min_m=(0.0, 0.0, 0.0), workspace_max_m=(1.0, 1.0, 1.0))
    assert limits.speed_profile == "reduced"
    assert SPEED_PROFILES["reduced"].max_speed_m_s == 0.25
    assert SPEED_PROFILES["reduced"].first_motion_factor == 0.1


def test_unknown_profile_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="reduced"):
        SafetyGate(replace(LIMITS, speed_profile="turbo"))
    with pytest.raises(UnknownNameError):
        find_profile("")


def test_first_motion_has_a_tenth_of_the_step_for_a_second_and_then_all_of_it() -> None:
    bench = Bench(REDUCED)
    bench.ask()  # asks for no motion, and so does not start the second
    way = [moved_m(bench, 0.02) for _ in range(12)]
    np.testing.assert_allclose(way[:10], 0.004)
    np.testing.assert_allclose(way[10:], 0.02)


def test_first_motion_after_a_stop_is_slow_again_and_an_episode_more_is_not() -> None:
    bench = warm(Bench(REDUCED))
    bench.gate.restart(bench.state())
    assert moved_m(bench, 0.02) == pytest.approx(0.02)
    bench.gate.stop("operator")
    bench.gate.clear_stop()
    assert moved_m(bench, 0.02) == pytest.approx(0.004)


def test_speed_is_bounded_over_any_second() -> None:
    bench = warm(Bench(REDUCED))
    assert sum(moved_m(bench, (-1) ** i * 0.04) for i in range(10)) <= 0.25 + 1e-9


def test_speed_may_fall_at_once_but_not_rise() -> None:
    limits = replace(REDUCED, speed_profile="fast", max_step_m=0.1)
    bench = warm(Bench(limits))
    bench.ask()
    decision = bench.ask(tcp_step(0.05), age_s=0.05)  # 1 m/s within 50 ms
    assert Reason.ACCELERATION_CLAMPED in decision.executed.reasons
    assert np.linalg.norm(decision.executed.executed[:3]) == pytest.approx(5.0 * 0.05 * 0.05)
    assert bench.ask().executed.reasons == ()
