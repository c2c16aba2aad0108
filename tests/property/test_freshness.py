"""Only frames that are new, young and not frozen are fresh; and silence is found whatever the clocks say."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.cameras import freshness_settings
from hardware.cameras.freshness import (
    DIGEST_SIDE_PX,
    FreshnessMonitor,
    FreshnessSettings,
    Staleness,
    Verdict,
    digest,
)
from tutelage_core.contract import NS_PER_S, CameraContract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import Frame

pytestmark = pytest.mark.property

MS = 1_000_000
PERIOD_NS = 33 * MS
SETTINGS = FreshnessSettings()
SIZE = (4, 6, 3)


def frame(number: int, stamp_ns: int, content: int | None = None) -> Frame:
    """Return a frame whose content is that of its number, or `content`."""
    value = number if content is None else content
    return Frame(np.full(SIZE, value % 251, np.uint8), stamp_ns, number)


def stream(
    frames: int, monitor: FreshnessMonitor, *, first: int = 0, now_ns: int = 0, content: int | None = None
) -> list[Verdict]:
    """Judge a perfect camera's frames, without any delay."""
    verdicts = []
    for number in range(first, first + frames):
        at_ns = now_ns + (number - first) * PERIOD_NS
        verdicts.append(monitor.judge(frame(number, at_ns, content), at_ns, at_ns))
    return verdicts


ARRIVALS = st.lists(
    st.tuples(st.integers(-3, 6), st.integers(-200, 500), st.integers(-20, 400), st.integers(0, 2)),
    max_size=60,
)
"""For each frame: how far its number goes on, its stamp [ms], the clock [ms], and its content."""


@settings(max_examples=300, deadline=None)
@given(ARRIVALS)
def test_fresh_frames_are_young_new_and_not_frozen_whatever_comes(
    arrivals: list[tuple[int, int, int, int]],
) -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    number = stamp_ns = now_ns = 0
    judged: list[tuple[Frame, Verdict, int]] = []
    for on, stamp_ms, clock_ms, content in arrivals:
        number, now_ns = max(0, number + on), now_ns + clock_ms * MS
        stamp_ns = now_ns - stamp_ms * MS
        one = frame(number, stamp_ns, content)
        judged.append((one, monitor.judge(one, now_ns, now_ns), now_ns))
    assert sum(monitor.counts.values()) == len(arrivals)
    for one, verdict, at_ns in judged:
        if verdict is Verdict.FRESH:
            age_ns = at_ns - one.stamp_ns
            assert -SETTINGS.future_s * NS_PER_S <= age_ns <= SETTINGS.warn_s * NS_PER_S
    # stamps and numbers of frames in order grow, but where enough frames were refused to begin a new order
    taken = [(i, one) for i, (one, verdict, _) in enumerate(judged) if verdict is not Verdict.OUT_OF_ORDER]
    for (i, a), (j, b) in pairwise(taken):
        if not (a.stamp_ns < b.stamp_ns and a.sequence < b.sequence):
            assert j - i >= SETTINGS.resync_frames
    # a run of equal contents is frozen from its tenth frame on
    run = 0
    for i, (one, verdict, _) in enumerate(judged):
        run = run + 1 if i and np.array_equal(one.image, judged[i - 1][0].image) else 1
        assert (verdict is Verdict.FROZEN) <= (run >= SETTINGS.frozen_frames)
        assert not (verdict is Verdict.FRESH and run >= SETTINGS.frozen_frames)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_lost_frames_are_the_gaps_of_the_sequence(gaps: list[int]) -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    number = -1
    for i, gap in enumerate([0, *gaps]):
        number += gap + 1
        assert monitor.judge(frame(number, i * PERIOD_NS), i * PERIOD_NS, i * PERIOD_NS) is Verdict.FRESH
    assert monitor.lost == sum(gaps)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 30), st.integers(0, 150), st.integers(0, 3000))
def test_staleness_is_the_age_of_the_newest_fresh_frame_on_the_steady_clock(
    frames: int, age_ms: int, silent_ms: int
) -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    stream(frames, monitor)
    at_ns = frames * PERIOD_NS
    # our clock may stand anywhere: silence is measured on the steady one
    assert monitor.judge(frame(frames, at_ns), at_ns + age_ms * MS, at_ns) is Verdict.FRESH
    old_s = (age_ms + silent_ms) / 1e3
    assert monitor.age_s(at_ns + silent_ms * MS) == pytest.approx(old_s)
    expected = (
        Staleness.END
        if old_s > SETTINGS.end_s
        else Staleness.PAUSE
        if old_s > SETTINGS.pause_s
        else Staleness.WARN
        if old_s > SETTINGS.warn_s
        else Staleness.NONE
    )
    assert monitor.staleness(at_ns + silent_ms * MS) is expected


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.data(),
)
def test_digest_notices_any_change_of_a_pixel_that_it_looks_at(
    height: int, width: int, seed: int, value: int, data: st.DataObject
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    down, across = -(-height // DIGEST_SIDE_PX), -(-width // DIGEST_SIDE_PX)
    row = data.draw(st.integers(0, (height - 1) // down)) * down
    column = data.draw(st.integers(0, (width - 1) // across)) * across
    changed = image.copy()
    changed[row, column, data.draw(st.integers(0, 2))] = value
    assert (digest(changed) == digest(image)) is np.array_equal(changed, image)


def test_one_late_frame_is_skipped_and_counted_and_the_next_one_is_fresh() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    stream(5, monitor)
    now_ns = 5 * PERIOD_NS + 200 * MS
    assert monitor.judge(frame(5, 5 * PERIOD_NS), now_ns, now_ns) is Verdict.LATE
    assert monitor.staleness(now_ns) is Staleness.WARN
    assert monitor.judge(frame(6, now_ns), now_ns, now_ns) is Verdict.FRESH
    assert (monitor.counts[Verdict.LATE], monitor.counts[Verdict.FRESH]) == (1, 6)


def test_frozen_camera_is_found_at_its_tenth_equal_frame_and_is_stale_from_then_on() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    verdicts = stream(60, monitor, content=7)
    assert verdicts == [Verdict.FRESH] * 9 + [Verdict.FROZEN] * 51
    assert monitor.same == 60
    assert monitor.staleness(60 * PERIOD_NS) is Staleness.END
    now_ns = 60 * PERIOD_NS
    assert monitor.judge(frame(60, now_ns, content=8), now_ns, now_ns) is Verdict.FRESH


def test_source_without_noise_may_stand_still_for_ever() -> None:
    monitor = FreshnessMonitor(FreshnessSettings(frozen_frames=0), 0)
    assert set(stream(500, monitor, content=7)) == {Verdict.FRESH}


def test_same_frame_again_is_out_of_order_whatever_its_stamp() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    stream(3, monitor)
    now_ns = 3 * PERIOD_NS
    assert monitor.judge(frame(2, now_ns), now_ns, now_ns) is Verdict.OUT_OF_ORDER
    assert monitor.judge(frame(3, 2 * PERIOD_NS), now_ns, now_ns) is Verdict.OUT_OF_ORDER
    assert monitor.judge(frame(3, now_ns), now_ns, now_ns) is Verdict.FRESH


def test_frame_of_the_future_is_refused_and_does_not_keep_the_next_ones_out() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    stream(3, monitor)
    now_ns = 3 * PERIOD_NS
    assert monitor.judge(frame(3, now_ns + NS_PER_S), now_ns, now_ns) is Verdict.OUT_OF_ORDER
    assert set(stream(5, monitor, first=4, now_ns=now_ns + PERIOD_NS)) == {Verdict.FRESH}


def test_clock_that_is_set_back_an_hour_costs_ten_frames_and_no_more() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    hour_ns = 3600 * NS_PER_S
    stream(5, monitor, now_ns=2 * hour_ns)
    verdicts = stream(20, monitor, first=5, now_ns=hour_ns)
    assert verdicts == [Verdict.OUT_OF_ORDER] * 9 + [Verdict.FRESH] * 11


def test_first_frame_may_take_its_time_and_a_restart_forgets_the_order() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    assert monitor.staleness(4 * NS_PER_S) is Staleness.PAUSE
    assert monitor.staleness(6 * NS_PER_S) is Staleness.END
    stream(5, monitor)
    monitor.restart(10 * NS_PER_S)
    assert monitor.age_s(10 * NS_PER_S) is None
    assert monitor.staleness(11 * NS_PER_S) is Staleness.PAUSE
    assert set(stream(5, monitor, now_ns=0)) == {Verdict.FRESH}
    assert monitor.counts[Verdict.FRESH] == 10


def test_camera_that_is_still_frozen_after_a_restart_gives_no_fresh_frame() -> None:
    monitor = FreshnessMonitor(SETTINGS, 0)
    stream(20, monitor, content=7)
    monitor.restart(NS_PER_S)
    assert set(stream(20, monitor, now_ns=NS_PER_S, content=7)) == {Verdict.FROZEN}


@pytest.mark.parametrize("rate_hz", [1.0, 5.0, 10.0, 30.0, 90.0])
def test_slow_camera_that_keeps_its_rate_is_never_stale(rate_hz: float) -> None:
    limits = SETTINGS.at_rate(rate_hz)
    monitor = FreshnessMonitor(limits, 0)
    period_ns = round(NS_PER_S / rate_hz)
    for number in range(20):
        at_ns = number * period_ns
        assert monitor.judge(frame(number, at_ns), at_ns, at_ns) is Verdict.FRESH
        assert monitor.staleness(at_ns + period_ns) is Staleness.NONE
    assert limits.end_s >= SETTINGS.end_s


@pytest.mark.parametrize(("driver", "frozen_frames"), [("uvc", 10), ("realsense", 10), ("file", 0)])
def test_each_driver_says_whether_equal_pictures_are_a_fault(driver: str, frozen_frames: int) -> None:
    options = {"path": "video.avi"} if driver == "file" else {}
    contract = CameraContract(64, 48, 30.0, driver, options)
    assert freshness_settings("front", contract).frozen_frames == frozen_frames
    asked = CameraContract(64, 48, 30.0, driver, {**options, "frozen_frames": 4})
    assert freshness_settings("front", asked).frozen_frames == 4


def test_freshness_of_an_unknown_driver_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="legal: file, realsense, uvc"):
        freshness_settings("front", CameraContract(64, 48, 30.0, "uv"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"warn_s": 0.0},
        {"warn_s": 0.4},
        {"end_s": 0.2},
        {"frozen_frames": 1},
        {"frozen_frames": -1},
        {"resync_frames": 1},
        {"first_frame_s": 0.0},
        {"future_s": -0.1},
    ],
)
def test_limits_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        FreshnessSettings(**wrong)  # type: ignore[arg-type]
