"""When the next command is due: in lock-step once an observation, in real time with a fresh chunk or by the timer."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage_core.chunks import ChunkBuffer
from tutelage_core.clock import ManualClock
from tutelage_core.types import ActionChunk
from tutelage_nodes.episode_clock import LATE_CHUNK_PERIODS, EpisodeClock
from tutelage_nodes.stages import Stages

pytestmark = pytest.mark.ros

PERIOD_NS = 100
STEADY_NS = 5_000
"""Steady time at which the last command of these tests left; it has nothing to do with the stamps."""


def clock(chunk_stamp_ns: int | None = 0, length: int = 4, replan_every: int = 2) -> tuple[EpisodeClock, ChunkBuffer]:
    chunks = ChunkBuffer(replan_every)
    if chunk_stamp_ns is not None:
        add(chunks, chunk_stamp_ns, length)
    return EpisodeClock(chunks, PERIOD_NS), chunks


def add(chunks: ChunkBuffer, stamp_ns: int, length: int = 4) -> None:
    assert chunks.add(ActionChunk(stamp_ns, PERIOD_NS, np.zeros((length, 7))))


def test_lockstep_answers_each_observation_once() -> None:
    pulse, _ = clock()
    assert pulse.due_for_observation(0) == 0
    pulse.sent(0, STEADY_NS)
    assert pulse.due_for_observation(0) is None
    assert pulse.due_for_observation(PERIOD_NS) == PERIOD_NS


def test_lockstep_waits_for_the_policy_when_a_chunk_is_due() -> None:
    pulse, chunks = clock(None)
    assert pulse.due_for_observation(0) is None
    add(chunks, 0)
    pulse.sent(PERIOD_NS, STEADY_NS)
    assert pulse.due_for_observation(2 * PERIOD_NS) is None
    add(chunks, 2 * PERIOD_NS)
    assert pulse.due_for_observation(2 * PERIOD_NS) == 2 * PERIOD_NS


def test_lockstep_never_goes_back_to_an_older_observation() -> None:
    pulse, _ = clock()
    pulse.sent(PERIOD_NS, STEADY_NS)
    assert pulse.due_for_observation(PERIOD_NS - 1) is None


def test_first_chunk_is_acted_on_at_once() -> None:
    pulse, _ = clock(700)
    assert pulse.due_for_chunk() == 700


def test_no_chunk_asks_for_no_command() -> None:
    pulse, _ = clock(None)
    assert pulse.due_for_chunk() is None
    assert pulse.due_for_timer(STEADY_NS) is None


@pytest.mark.parametrize(("stamp_ns", "due"), [(100, 100), (51, 51), (50, None), (0, None), (-100, None), (250, 250)])
def test_chunk_is_acted_on_unless_the_timer_has_overtaken_its_first_step(stamp_ns: int, due: int | None) -> None:
    pulse, _ = clock(stamp_ns)
    pulse.sent(0, STEADY_NS)
    assert pulse.due_for_chunk() == due


def test_timer_is_silent_before_the_first_command() -> None:
    pulse, _ = clock()
    assert pulse.due_for_timer(10**12) is None


@pytest.mark.parametrize(("waited_ns", "due"), [(0, None), (99, None), (100, 100), (500, 100)])
def test_timer_keeps_the_period_between_chunks(waited_ns: int, due: int | None) -> None:
    pulse, _ = clock(replan_every=4)
    pulse.sent(0, STEADY_NS)
    assert pulse.due_for_timer(STEADY_NS + waited_ns) == due


@pytest.mark.parametrize(("waited_ns", "due"), [(100, None), (149, None), (150, 200), (1000, 200)])
def test_timer_has_patience_with_a_chunk_that_is_due_and_then_goes_on(waited_ns: int, due: int | None) -> None:
    pulse, _ = clock(replan_every=2)
    pulse.sent(PERIOD_NS, STEADY_NS)
    assert LATE_CHUNK_PERIODS * PERIOD_NS == 150
    assert pulse.due_for_timer(STEADY_NS + waited_ns) == due


def test_late_timer_does_not_skip_or_double_a_period() -> None:
    pulse, _ = clock(replan_every=4)
    pulse.sent(0, STEADY_NS)
    late_ns = STEADY_NS + 3 * PERIOD_NS
    due = pulse.due_for_timer(late_ns)
    assert due == PERIOD_NS
    pulse.sent(due, late_ns)
    assert pulse.due_for_timer(late_ns) is None


def test_restart_forgets_the_last_command() -> None:
    pulse, _ = clock()
    pulse.sent(900, STEADY_NS)
    assert pulse.waits(900)
    assert not pulse.waits(901)
    pulse.restart()
    assert not pulse.waits(900)
    assert pulse.due_for_observation(0) == 0


def test_stage_is_the_mean_time_from_its_first_event_to_its_second() -> None:
    steady = ManualClock()
    stages = Stages(steady)
    for wait_ms in (2, 4):
        stages.event("command", {})
        steady.advance_ns(wait_ms * 1_000_000)
        stages.event("executed", {"command": "gate"})
        steady.advance_ns(7_000_000)
    assert stages.means_ms() == {"gate": 3.0}


def test_event_that_follows_another_than_its_own_ends_no_stage() -> None:
    steady = ManualClock()
    stages = Stages(steady)
    stages.event("executed", {"command": "gate"})
    stages.event("chunk", {"observation": "policy"})
    assert stages.means_ms() == {}


def test_stages_of_the_last_episode_are_forgotten_its_last_event_too() -> None:
    stages = Stages(ManualClock())
    stages.add("inference", 5.0)
    stages.event("command", {})
    stages.restart()
    stages.event("executed", {"command": "gate"})
    assert stages.means_ms() == {}


def test_hand_is_not_kept_waiting_for_a_chunk() -> None:
    pulse, _ = clock(None)
    pulse.sent(0, STEADY_NS)
    assert pulse.due_for_timer(STEADY_NS + PERIOD_NS) is None
    assert pulse.due_for_timer(STEADY_NS + PERIOD_NS, for_policy=False) == PERIOD_NS
