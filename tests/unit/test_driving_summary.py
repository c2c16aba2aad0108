"""What a run says of how it was driven."""

from __future__ import annotations

import pytest

from tutelage.report import driving_summary
from tutelage.runs.graph import GraphOutcome

pytestmark = pytest.mark.unit


def outcome(clipped: int, **driving: float) -> GraphOutcome:
    return GraphOutcome(0, True, 10, "success", "", clipped, "", {}, None, driving)


def test_summary_joins_the_episodes() -> None:
    first = outcome(1, rate_hz=10.0, delay_ms=20.0, delay_worst_ms=90.0, dropped_steps=2.0, seam_jerk_m_s3=3.0)
    second = outcome(2, rate_hz=9.0, delay_ms=40.0, delay_worst_ms=60.0, dropped_steps=3.0, seam_jerk_m_s3=7.25)
    assert driving_summary([first, second]) == (
        "9.5 steps/s; chunks 30 ms after their observation (worst 90); 5 steps came too late and were dropped, "
        "3 changed or refused by the gate; jerk at seams 7.2 m/s^3 (99 %)"
    )


def test_what_is_not_known_is_not_said() -> None:
    assert driving_summary([outcome(0)]) == ""
    assert driving_summary([outcome(4, dropped_steps=0.0)]) == (
        "0 steps came too late and were dropped, 4 changed or refused by the gate"
    )
