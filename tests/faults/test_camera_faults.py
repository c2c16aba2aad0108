"""Faults 1, 2 and 3 with the watch of the policy node, in simulated time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scoreboard import Scoreboard

from tutelage_core.camera_watch import CameraWatch, CameraWatchSettings
from tutelage_core.contract import NS_PER_S

pytestmark = pytest.mark.faults

LOOK_NS = 10_000_000
FRAME_NS = 33_333_333
SEED = 2


class Watched:
    """A camera of 30 Hz in front of a moving arm, and its watch."""

    def __init__(self) -> None:
        self.watch = CameraWatch("front", CameraWatchSettings(), 0)
        self._rng = np.random.default_rng(SEED)
        self.now_ns = 0
        self.travel_m = 0.0

    def picture(self) -> np.ndarray:
        return self._rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)

    def look_until(self, end_ns: int) -> tuple[int, str, bool] | None:
        """Look every 10 ms until `end_ns`; return when trouble showed, what, and whether the episode must end."""
        while self.now_ns < end_ns:
            self.now_ns += LOOK_NS
            self.travel_m += 0.1 * LOOK_NS / NS_PER_S
            self.watch.move(np.array([self.travel_m, 0.0, 0.2]))
            said, ends = self.watch.trouble(self.now_ns)
            if said:
                return self.now_ns, said, ends
        return None


def test_camera_that_is_off_pauses_and_then_ends_the_episode(scoreboard: Scoreboard) -> None:
    watched = Watched()
    watched.watch.see(watched.picture(), 0)
    paused = watched.look_until(NS_PER_S)
    assert paused is not None
    ended_ns = next(at_ns for at_ns in range(paused[0], 3 * NS_PER_S, LOOK_NS) if watched.watch.trouble(at_ns)[1])
    scoreboard.note(
        1,
        "camera off",
        clock="simulated",
        t_detect_ms=paused[0] / 1e6,
        t_end_ms=ended_ns / 1e6,
        recovery="operator",
        message=paused[1],
    )
    assert not paused[2]
    assert paused[0] <= 300_000_000
    assert ended_ns >= NS_PER_S
    assert "is it plugged in" in paused[1]


def test_frozen_pictures_are_found_within_ten_frames_of_motion(scoreboard: Scoreboard) -> None:
    watched = Watched()
    picture = watched.picture()
    found, frames = None, 0
    while found is None and frames < 100:
        watched.watch.see(picture, watched.now_ns)
        found = watched.look_until(watched.now_ns + FRAME_NS)
        frames += 1
    assert found is not None
    repeated = frames - 1
    scoreboard.note(
        2,
        "the same picture with fresh stamps",
        clock="simulated",
        t_detect_ms=found[0] / 1e6,
        frames=repeated,
        recovery="operator",
        message=found[1],
    )
    assert repeated <= 10
    assert "frozen" in found[1]


def test_late_and_lost_pictures_are_no_reason_to_stop(scoreboard: Scoreboard) -> None:
    """Ten minutes of a camera that loses 30 % of its pictures and gives the others up to 200 ms late."""
    watched, rng = Watched(), np.random.default_rng(SEED)
    stops, false_stops, minutes, last_ns = 0, 0, 10, 0
    arrivals = [
        number * FRAME_NS + int(rng.uniform(0, 200_000_000))
        for number in range(minutes * 60 * NS_PER_S // FRAME_NS)
        if rng.random() > 0.3
    ]
    small = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(7)]
    for number, at_ns in enumerate(sorted(arrivals)):
        found = watched.look_until(at_ns)
        stops += found is not None
        false_stops += found is not None and found[0] - last_ns < 300_000_000
        watched.watch.see(small[number % len(small)], at_ns)
        last_ns = at_ns
    scoreboard.note(
        3,
        "30 % lost, the others up to 200 ms late",
        clock="simulated",
        minutes=minutes,
        false_stops=false_stops,
        stops=stops,
    )
    assert false_stops == 0
    assert stops < 10, "only gaps of more than 300 ms, which are rare here"
    assert math.isclose(watched.now_ns / NS_PER_S, minutes * 60, rel_tol=0.01)
