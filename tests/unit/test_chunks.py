"""Steps are looked up by the time they are for; what is late is dropped and never replayed."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage_core.chunks import ChunkBuffer
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
