"""Clocks: one that only goes on, and one that its owner sets."""

from __future__ import annotations

import pytest

from tutelage_core.clock import ManualClock, SteadyClock

pytestmark = pytest.mark.unit


def test_steady_clock_never_goes_back() -> None:
    clock = SteadyClock()
    readings = [clock.now_ns() for _ in range(100)]
    assert readings == sorted(readings)


def test_manual_clock_stands_until_it_is_moved() -> None:
    clock = ManualClock(5)
    assert clock.now_ns() == clock.now_ns() == 5
    clock.advance_ns(3)
    assert clock.now_ns() == 8
    clock.set_ns(2)
    assert clock.now_ns() == 2
