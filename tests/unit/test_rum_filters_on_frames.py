"""Still frames and jumping episodes are left out of demonstrations, and nothing of what was done is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from policies.rum.data_filters import FilterSettings, filtered
from tests.unit.bc_samples import SMALL, SampleFrames, sample_frames
from tutelage_core.contract import state_columns
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit
KEYS = SMALL.state_keys
COLUMNS = state_columns(KEYS)
LENGTH = 12


def frames(moves: list[list[float]]) -> SampleFrames:
    """Episodes whose hands stand where `moves` says [m], along x; the gripper stays."""
    made = sample_frames(len(moves), LENGTH, history=2)
    state = made.state.copy()
    state[:, COLUMNS["tcp_position"]] = 0.0
    state[:, COLUMNS["tcp_position"].start] = np.concatenate(moves)
    state[:, COLUMNS["gripper_opening"]] = 1.0
    steps = np.zeros_like(made.steps)
    for number, places in enumerate(moves):
        steps[number * LENGTH : (number + 1) * LENGTH - 1, 0] = np.diff(places)
    steps[:, 6] = 1.0
    return replace(made, state=state, steps=steps)


def test_still_frames_are_left_out_and_what_was_done_adds_up() -> None:
    moving = [0.01 * k for k in range(LENGTH)]
    waits = [0.0] * 6 + [0.01 * k for k in range(1, LENGTH - 5)]
    made = frames([moving, waits])
    kept, report = filtered(made, KEYS, FilterSettings(), adds_up=True)
    assert (report.frames, report.still, report.jumping) == (2 * LENGTH, 5, ())
    assert len(kept.state) == 2 * LENGTH - 5
    for number, (places, count) in enumerate(((moving, LENGTH), (waits, LENGTH - 5))):
        rows = kept.episode_of == number
        assert rows.sum() == count
        assert kept.steps[rows, 0].sum() == pytest.approx(places[-1])
    assert kept.history_index.max() < len(kept.state)
    assert kept.images["wrist"].shape[0] == len(kept.state)


def test_slow_motion_is_kept_whole() -> None:
    slow = [0.001 * k for k in range(LENGTH)]
    kept, report = filtered(frames([slow]), KEYS, FilterSettings(), adds_up=True)
    assert report.still > 0
    assert kept.steps[:, 0].sum() == pytest.approx(slow[-1])
    moved = np.diff(kept.state[:, COLUMNS["tcp_position"].start])[:-1]
    assert ((moved > 0.0029) & (moved < 0.0041)).all()


def test_answers_of_an_expert_do_not_add_up() -> None:
    made = frames([[0.0] * LENGTH])
    made.steps[:, 0] = 0.02  # it says: go on; but the hand was held
    kept, _ = filtered(made, KEYS, FilterSettings(), adds_up=False)
    assert kept.steps[:, 0] == pytest.approx(0.02)


def test_episode_that_jumps_is_left_out_and_named() -> None:
    steady = [0.01 * k for k in range(LENGTH)]
    jump = [0.0] * 5 + [0.2] * (LENGTH - 5)
    kept, report = filtered(frames([steady, jump]), KEYS, FilterSettings(), adds_up=False)
    assert report.jumping == ("episode-1",)
    assert kept.episode_names == ("episode-0",)
    assert len(kept.state) == LENGTH
    with pytest.raises(ConfigurationError, match="jumps farther"):
        filtered(frames([jump]), KEYS, FilterSettings(), adds_up=False)


def test_pose_that_the_filters_need_is_asked_for() -> None:
    with pytest.raises(ConfigurationError, match="gripper_opening"):
        filtered(frames([[0.0] * LENGTH]), KEYS[:2], FilterSettings(), adds_up=True)
