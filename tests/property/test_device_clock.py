"""A device's stamps on our clock: never of the future, growing, and at the device's even pace."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.cameras.device_clock import DeviceClock
from tutelage_core.contract import NS_PER_S

pytestmark = pytest.mark.property

MS = 1_000_000
PERIOD_NS = 33 * MS


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-200, 400), st.integers(1, 400)), min_size=1, max_size=60), st.integers(0, 10**18)
)
def test_stamps_grow_and_are_never_later_than_the_arrival_whatever_the_device_says(
    steps_ms: list[tuple[int, int]], begun_ns: int
) -> None:
    clock = DeviceClock(NS_PER_S)
    device_ns = now_ns = begun_ns
    stamps = []
    for device_ms, arrival_ms in steps_ms:
        device_ns, now_ns = device_ns + device_ms * MS, now_ns + arrival_ms * MS
        stamp_ns = clock.stamp_ns(device_ns, now_ns)
        assert stamp_ns <= now_ns
        stamps.append(stamp_ns)
    assert all(a < b for a, b in pairwise(stamps))


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**15), 10**15), st.lists(st.integers(2, 30), min_size=1, max_size=150), st.integers(-50, 50))
def test_stamp_is_late_by_the_smallest_delay_of_one_to_two_windows_and_the_drift_between_the_clocks(
    offset_ns: int, delays_ms: list[int], drift_ppm: int
) -> None:
    window_ns, frames = NS_PER_S, NS_PER_S // PERIOD_NS
    drift_ns = 2 * (window_ns + PERIOD_NS) * abs(drift_ppm) // 10**6 + 2
    clock = DeviceClock(window_ns)
    for number, delay_ms in enumerate(delays_ms):
        taken_ns = number * PERIOD_NS
        device_ns = taken_ns + offset_ns + taken_ns * drift_ppm // 10**6
        late_ns = clock.stamp_ns(device_ns, taken_ns + delay_ms * MS) - taken_ns
        seen = delays_ms[: number + 1]
        assert min(seen[-2 * frames - 4 :]) * MS - drift_ns <= late_ns <= min(seen[-frames:]) * MS + drift_ns


def test_device_whose_clock_begins_again_is_followed_at_once() -> None:
    clock = DeviceClock()
    for number in range(10):
        clock.stamp_ns(10**12 + number * PERIOD_NS, number * PERIOD_NS + 5 * MS)
    # its 32-bit counter went round
    stamps = [clock.stamp_ns(number * PERIOD_NS, (10 + number) * PERIOD_NS + 5 * MS) for number in range(10)]
    assert stamps == [(10 + number) * PERIOD_NS + 5 * MS for number in range(10)]


def test_our_clock_that_is_set_back_is_followed_at_once() -> None:
    clock = DeviceClock()
    hour_ns = 3600 * NS_PER_S
    clock.stamp_ns(0, 2 * hour_ns)
    assert clock.stamp_ns(PERIOD_NS, hour_ns + PERIOD_NS) == hour_ns + PERIOD_NS


def test_our_clock_that_is_set_forward_is_followed_after_two_windows() -> None:
    clock = DeviceClock(NS_PER_S)
    hour_ns = 3600 * NS_PER_S
    for number in range(30):
        clock.stamp_ns(number * PERIOD_NS, number * PERIOD_NS)
    late_ns = []
    for number in range(30, 120):
        now_ns = hour_ns + number * PERIOD_NS
        late_ns.append(now_ns - clock.stamp_ns(number * PERIOD_NS, now_ns))
    assert late_ns[0] == hour_ns
    assert late_ns[-1] == 0
