"""A policy's window is always full, oldest first."""

from __future__ import annotations

import pytest

from tutelage_core.types import Observation
from tutelage_core.window import ObservationWindow

pytestmark = pytest.mark.unit


def observation(stamp_ns: int) -> Observation:
    return Observation(stamp_ns, {}, {})


def stamps(window: tuple[Observation, ...]) -> list[int]:
    return [o.stamp_ns for o in window]


def test_first_observation_repeats_until_others_have_come() -> None:
    window = ObservationWindow(3)
    assert [stamps(window.push(observation(t))) for t in range(5)] == [
        [0, 0, 0],
        [0, 0, 1],
        [0, 1, 2],
        [1, 2, 3],
        [2, 3, 4],
    ]


def test_window_of_one_holds_the_newest_only() -> None:
    window = ObservationWindow(1)
    window.push(observation(1))
    assert stamps(window.push(observation(2))) == [2]


def test_cleared_window_forgets_the_last_episode() -> None:
    window = ObservationWindow(2)
    window.push(observation(1))
    window.clear()
    assert stamps(window.push(observation(7))) == [7, 7]


def test_window_that_was_given_out_does_not_change_later() -> None:
    window = ObservationWindow(2)
    given = window.push(observation(1))
    window.push(observation(2))
    assert stamps(given) == [1, 1]


@pytest.mark.parametrize("history", [0, -2])
def test_empty_window_is_refused(history: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {history}"):
        ObservationWindow(history)
