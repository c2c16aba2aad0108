"""What is recorded is what is read, whatever the numbers."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.unit.episode_samples import METADATA, RESULT, SIZE
from tutelage_core.contract import STATE_KEYS, state_vectors
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.windows import window_indices
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.types import ArmState, ExecutedStep, Frame, Pose, Source, TaskStatus

ANYTHING = st.floats(width=64)
FINITE = st.floats(-1e9, 1e9)
MAX_SEQUENCE = 2**64 - 1


def vectors(size: int, elements: st.SearchStrategy[float] = FINITE) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, size, elements=elements)


POSES = st.builds(Pose, vectors(3), vectors(4, st.floats(-1, 1)))
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
STATES = st.builds(ArmState, st.just(0), vectors(7), vectors(7), POSES, vectors(6), vectors(6), FINITE)
STEPS = st.builds(
    ExecutedStep,
    st.just(0),
    st.integers(0, MAX_SEQUENCE),
    st.sampled_from(Source),
    vectors(7, ANYTHING),
    vectors(7),
    st.lists(WORDS, max_size=3).map(tuple),
)
PERIODS = st.tuples(STATES, STEPS, arrays(np.uint8, (*SIZE, 3)), st.none() | vectors(7), st.booleans(), st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(PERIODS, min_size=1, max_size=4), st.data())
def test_episode_that_is_read_is_the_episode_that_was_written(periods: list[tuple], data: st.DataObject) -> None:
    stamps = sorted(data.draw(st.sets(st.integers(0, 2**31 * 10**9 - 1), min_size=len(periods), max_size=len(periods))))
    with tempfile.TemporaryDirectory() as folder, EpisodeWriter(Path(folder), "a", METADATA) as writer:
        for stamp, (state, step, image, expert, success, progress) in zip(stamps, periods, strict=True):
            writer.image("front", Frame(image, stamp, 0))
            writer.state(replace(state, stamp_ns=stamp))
            writer.status(stamp, TaskStatus(success, progress))
            if expert is not None:
                writer.expert(stamp, expert)
            writer.executed(replace(step, stamp_ns=stamp))
        episode = read_episode(writer.close(RESULT))

    assert episode.stamps_ns.tolist() == stamps
    for t, (state, step, image, expert, success, progress) in enumerate(periods):
        np.testing.assert_array_equal(episode.images["front"][t], image)
        for key, vector in state_vectors(state, tuple(STATE_KEYS)).items():
            np.testing.assert_array_equal(episode.state[key][t], vector)
        np.testing.assert_array_equal(episode.requested[t], step.requested)
        np.testing.assert_array_equal(episode.executed[t], step.executed)
        np.testing.assert_array_equal(episode.expert[t], np.full(7, math.nan) if expert is None else expert)
        assert (episode.sources[t], episode.reasons[t]) == (step.source, step.reasons)
        assert (episode.success[t], episode.progress[t]) == (success, progress)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 6), st.integers(1, 20))
def test_windows_stay_inside_their_episode(lengths: list[int], history: int, chunk: int) -> None:
    history_index, chunk_index, padding, episode_of = window_indices(lengths, history, chunk)
    own = episode_of[:, None]
    rows = np.arange(sum(lengths))
    assert (episode_of[history_index] == own).all()
    assert (episode_of[chunk_index] == own).all()
    assert (history_index[:, -1] == rows).all()
    assert (np.diff(history_index, axis=1) >= 0).all()
    wanted = rows[:, None] + np.arange(chunk)
    np.testing.assert_array_equal(chunk_index[~padding], wanted[~padding])
    assert (chunk_index[padding] < wanted[padding]).all()
