"""Steps are looked up by the time they are for; what is late is dropped and never replayed."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage_core.chunks import ChunkBuffer, SeamSettings
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ActionChunk

pytestmark = pytest.mark.unit

PERIOD_NS = 100
START_NS = 1_000


def chunk(stamp_ns: int = START_NS, length: int = 4, mark: float = 0.0) -> ActionChunk:
    """Return a chunk whose step i holds mark + i."""
    return ActionChunk(stamp_ns, PERIOD_NS, np.repeat(mark + np.arange(float(length))[:, None], 7, axis=1))


def filled(replan_every: int = 4, **how: float) -> ChunkBuffer:
    buffer = ChunkBuffer(replan_every)
    assert buffer.add(chunk(**how))
    return buffer


def test_empty_buffer_wants_a_chunk_and_has_no_step() -> None:
    buffer = ChunkBuffer(1)
    assert buffer.wants_chunk(0)
    assert buffer.step_at(0) is None
    assert buffer.chunk is None


@pytest.mark.parametrize(("offset_ns", "index"), [(0, 0), (100, 1), (300, 3), (49, 0), (50, 1), (149, 1), (-50, 0)])
def test_step_is_the_one_whose_time_is_nearest(offset_ns: int, index: int) -> None:
    due = filled().step_at(START_NS + offset_ns)
    assert due is not None
    assert due[0] == index
    np.testing.assert_array_equal(due[1], np.full(7, float(index)))


@pytest.mark.parametrize("offset_ns", [-51, -1000, 350, 400, 10**12])
def test_outside_of_the_chunk_there_is_no_step(offset_ns: int) -> None:
    assert filled().step_at(START_NS + offset_ns) is None


def test_steps_that_passed_while_the_policy_thought_are_dropped() -> None:
    due = filled().step_at(START_NS + 2 * PERIOD_NS)
    assert due is not None
    assert due[0] == 2


def test_chunk_is_wanted_after_replan_every_steps() -> None:
    buffer = filled(replan_every=2)
    assert not buffer.wants_chunk(START_NS)
    assert not buffer.wants_chunk(START_NS + PERIOD_NS)
    assert buffer.wants_chunk(START_NS + 2 * PERIOD_NS)
    assert buffer.step_at(START_NS + 2 * PERIOD_NS) is not None, "until the new one comes the old one serves"


def test_chunk_is_wanted_at_its_end_even_if_replanning_is_rarer() -> None:
    buffer = filled(replan_every=100)
    assert not buffer.wants_chunk(START_NS + 3 * PERIOD_NS)
    assert buffer.wants_chunk(START_NS + 4 * PERIOD_NS)


def test_empty_chunk_has_no_step_and_leaves_the_wish_open() -> None:
    buffer = filled(length=0)
    assert buffer.step_at(START_NS) is None
    assert buffer.wants_chunk(START_NS)


def test_newer_chunk_replaces_the_old_one() -> None:
    buffer = filled()
    assert buffer.add(chunk(START_NS + PERIOD_NS, mark=10.0))
    due = buffer.step_at(START_NS + PERIOD_NS)
    assert due is not None
    assert due[1][0] == 10.0
    assert buffer.dropped_chunks == 0


@pytest.mark.parametrize("stamp_ns", [START_NS, START_NS - 1])
def test_chunk_that_is_not_newer_is_dropped_and_counted(stamp_ns: int) -> None:
    buffer = filled()
    assert not buffer.add(chunk(stamp_ns, mark=10.0))
    assert buffer.dropped_chunks == 1
    due = buffer.step_at(START_NS)
    assert due is not None
    assert due[1][0] == 0.0


def test_cleared_buffer_forgets_its_chunk_and_takes_an_older_one() -> None:
    buffer = filled()
    buffer.clear()
    assert buffer.step_at(START_NS) is None
    assert buffer.add(chunk(0))


@pytest.mark.parametrize("replan_every", [0, -1])
def test_replanning_less_than_every_step_is_refused(replan_every: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {replan_every}"):
        ChunkBuffer(replan_every)


# how one chunk goes over into the next


def seam(seams: SeamSettings, delay: int = 0) -> list[np.ndarray]:
    """Return ten steps: of a chunk of 0s, and of one of 12s that was thought at period 4 and came `delay` later."""
    buffer = ChunkBuffer(4, seams)
    steps = []
    for period in range(10):
        now_ns = START_NS + period * PERIOD_NS
        if period == 0:
            buffer.add(ActionChunk(now_ns, PERIOD_NS, np.zeros((8, 7))))
        if period == 4 + delay:
            buffer.add(ActionChunk(START_NS + 4 * PERIOD_NS, PERIOD_NS, np.full((8, 7), 12.0)))
        due = buffer.step_at(now_ns)
        assert due is not None
        steps.append(due[1])
    return steps


def test_without_blending_the_new_chunk_takes_over_at_once() -> None:
    assert [step[0] for step in seam(SeamSettings())] == [0.0] * 4 + [12.0] * 6


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, [0, 0, 0, 0, 4, 8, 12, 12, 12, 12]), (2, [0, 0, 0, 0, 0, 0, 4, 8, 12, 12])]
)
def test_new_chunk_takes_over_step_by_step(delay: int, expected: list[float]) -> None:
    steps = seam(SeamSettings(blend_steps=2, catch_up=False), delay)
    assert [step[0] for step in steps] == pytest.approx(expected)
    came = 4 + delay
    assert [step[6] for step in steps] == [0.0] * came + [12.0] * (10 - came), "a gripper opens or closes: no half-way"


def test_where_the_old_chunk_has_no_step_left_the_new_one_is_taken_as_it_is() -> None:
    buffer = ChunkBuffer(2, SeamSettings(blend_steps=3))
    buffer.add(chunk(length=2))
    buffer.step_at(START_NS + PERIOD_NS)
    buffer.add(chunk(START_NS + 2 * PERIOD_NS, mark=50.0))
    due = buffer.step_at(START_NS + 2 * PERIOD_NS)
    assert due is not None
    assert due[1][0] == 50.0


def test_three_chunks_in_a_row_go_over_into_each_other() -> None:
    buffer = ChunkBuffer(1, SeamSettings(blend_steps=1))
    values = []
    for period, mark in enumerate((0.0, 8.0, 16.0)):
        now_ns = START_NS + period * PERIOD_NS
        buffer.add(ActionChunk(now_ns, PERIOD_NS, np.full((4, 7), mark)))
        due = buffer.step_at(now_ns)
        assert due is not None
        values.append(due[1][0])
    assert values == pytest.approx([0.0, 4.0, 12.0]), "half of the one before, which is itself past its seam"


def test_ensemble_weighs_the_oldest_most() -> None:
    steps = seam(SeamSettings(ensemble=0.5))
    share = np.exp(-0.5) / (1.0 + np.exp(-0.5))
    assert steps[3][0] == 0.0
    assert steps[4][0] == pytest.approx(12.0 * share)
    assert steps[9][0] == 12.0, "the old chunk is used up"
    assert steps[4][6] == 12.0


def test_steps_that_came_too_late_are_counted() -> None:
    buffer = filled()
    buffer.step_at(START_NS + 2 * PERIOD_NS)
    buffer.step_at(START_NS + 3 * PERIOD_NS)
    assert buffer.dropped_steps == 2


def test_forgotten_chunks_are_blended_no_more() -> None:
    buffer = ChunkBuffer(4, SeamSettings(blend_steps=3))
    buffer.add(chunk(mark=0.0))
    buffer.step_at(START_NS)
    buffer.clear()
    buffer.add(chunk(START_NS + PERIOD_NS, mark=50.0))
    due = buffer.step_at(START_NS + PERIOD_NS)
    assert due is not None
    assert due[1][0] == 50.0


@pytest.mark.parametrize(
    "wrong", [{"blend_steps": -1}, {"ensemble": float("nan")}, {"blend_steps": 1, "ensemble": 0.1}]
)
def test_seams_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="SeamSettings"):
        SeamSettings(**wrong)


# a late chunk comes back onto its way


def caught_up(delay: int, way: float = 1.0) -> np.ndarray:
    """Return twelve steps: a chunk that stands still, then one of `way` a step that is `delay` periods late."""
    buffer = ChunkBuffer(4, SeamSettings(catch_up=True))
    steps = []
    for period in range(12):
        now_ns = START_NS + period * PERIOD_NS
        if period == 0:
            buffer.add(ActionChunk(now_ns, PERIOD_NS, np.zeros((8, 7))))
        if period == 4 + delay:
            late = np.full((8, 7), way)
            late[5:, :6] = 0.0  # it goes for five steps, then stands
            buffer.add(ActionChunk(START_NS + 4 * PERIOD_NS, PERIOD_NS, late))
        due = buffer.step_at(now_ns)
        assert due is not None
        again = buffer.step_at(now_ns)
        assert again is not None
        np.testing.assert_array_equal(due[1], again[1])
        steps.append(due[1])
    return np.stack(steps)


def test_chunk_in_time_owes_nothing() -> None:
    assert caught_up(0)[:, 0].tolist() == [0.0] * 4 + [1.0] * 5 + [0.0] * 3


@pytest.mark.parametrize("delay", [1, 2])
def test_late_chunk_moves_as_far_as_it_was_meant_to_and_never_faster(delay: int) -> None:
    steps = caught_up(delay)
    assert steps[:, 0].sum() == pytest.approx(5.0), "as far as in time"
    assert np.abs(steps[:, 0]).max() == pytest.approx(1.0)
    assert steps[4 + delay : 9 + delay, 0].tolist() == pytest.approx([1.0] * 5), "the same way, later"
    assert steps[9 + delay :, 0].tolist() == pytest.approx([0.0] * (3 - delay))


def test_what_was_done_meanwhile_is_not_done_twice() -> None:
    buffer = ChunkBuffer(4, SeamSettings(catch_up=True))
    steps = []
    for period in range(10):
        now_ns = START_NS + period * PERIOD_NS
        if period in (0, 6):
            stamp = 0 if period == 0 else 4
            buffer.add(ActionChunk(START_NS + stamp * PERIOD_NS, PERIOD_NS, np.full((8, 7), 1.0)))
        due = buffer.step_at(now_ns)
        assert due is not None
        steps.append(due[1][0])
    assert steps == [1.0] * 10, "both chunks mean the same motion"


def test_debt_is_forgotten_with_the_chunks() -> None:
    buffer = ChunkBuffer(4, SeamSettings(catch_up=True))
    buffer.add(ActionChunk(START_NS, PERIOD_NS, np.zeros((8, 7))))
    buffer.step_at(START_NS)
    buffer.clear()
    buffer.add(ActionChunk(START_NS, PERIOD_NS, np.full((8, 7), 1.0)))
    due = buffer.step_at(START_NS + 2 * PERIOD_NS)
    assert due is not None
    assert due[1][0] == 1.0, "nothing is known of what was done"


def test_first_chunk_of_an_episode_makes_up_for_the_time_in_which_the_arm_held() -> None:
    buffer = ChunkBuffer(4, SeamSettings(catch_up=True))
    assert [buffer.step_at(START_NS + k * PERIOD_NS) for k in range(2)] == [None, None]
    late = np.full((8, 7), 1.0)
    late[3:, :6] = 0.0
    buffer.add(ActionChunk(START_NS, PERIOD_NS, late))
    steps = [buffer.step_at(START_NS + k * PERIOD_NS) for k in range(2, 8)]
    assert [step[1][0] for step in steps if step is not None] == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def test_chunk_that_comes_in_the_period_in_which_the_arm_held_is_taken() -> None:
    buffer = ChunkBuffer(4)
    assert buffer.step_at(START_NS) is None
    buffer.add(chunk(mark=5.0))
    due = buffer.step_at(START_NS)
    assert due is not None
    assert due[1][0] == 5.0
