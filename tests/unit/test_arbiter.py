"""One stream of commands: the driver's step when there is one, else a hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tutelage_core.arbiter import Arbiter
from tutelage_core.chunks import ChunkBuffer
from tutelage_core.session import MOVING_STATES, DriveState
from tutelage_core.types import ActionChunk, Source

pytestmark = pytest.mark.unit

PERIOD_NS = 100
POLICY_STEP = np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.1, 0.2])
HUMAN_STEP = np.array([0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.9])


def arbiter(steps: int = 2) -> Arbiter:
    """Return an arbiter with a human step, and with policy steps for the times 0, 100, ... [ns]."""
    chunks = ChunkBuffer(1)
    result = Arbiter(chunks)
    result.restart(0.5)
    chunks.add(ActionChunk(0, PERIOD_NS, np.tile(POLICY_STEP, (steps, 1))))
    result.set_human_step(HUMAN_STEP)
    return result


def hold(gripper: float) -> np.ndarray:
    return np.array([0.0] * 6 + [gripper])


@pytest.mark.parametrize(
    ("state", "source", "step"),
    [
        (DriveState.STOPPED, Source.HOLD, hold(0.5)),
        (DriveState.PAUSED, Source.HOLD, hold(0.5)),
        (DriveState.RESETTING, Source.HOLD, hold(0.5)),
        (DriveState.AUTONOMOUS, Source.POLICY, POLICY_STEP),
        (DriveState.CORRECTING, Source.HUMAN, HUMAN_STEP),
    ],
)
def test_each_state_has_its_driver(state: DriveState, source: Source, step: np.ndarray) -> None:
    command = arbiter().command(state, 0)
    assert (command.source, command.stamp_ns, command.sequence) == (source, 0, 1)
    np.testing.assert_array_equal(command.step, step)
    assert command.step.dtype == np.float64


def test_every_state_that_does_not_move_holds() -> None:
    for state in set(DriveState) - MOVING_STATES:
        assert arbiter().command(state, 0).source is Source.HOLD


def test_starved_policy_holds_is_counted_and_the_gripper_keeps_what_it_was_told() -> None:
    driven = arbiter(steps=1)
    driven.command(DriveState.AUTONOMOUS, 0)
    command = driven.command(DriveState.AUTONOMOUS, PERIOD_NS)
    assert command.source is Source.HOLD
    np.testing.assert_array_equal(command.step, hold(0.2))
    assert driven.starved == 1


def test_correction_without_a_hand_holds_and_is_not_starvation() -> None:
    driven = arbiter()
    driven.set_human_step(None)
    assert driven.command(DriveState.CORRECTING, 0).source is Source.HOLD
    assert driven.starved == 0


def test_last_step_of_one_correction_does_not_begin_the_next() -> None:
    driven = arbiter()
    driven.command(DriveState.CORRECTING, 0)
    driven.command(DriveState.PAUSED, PERIOD_NS)
    assert driven.command(DriveState.CORRECTING, 2 * PERIOD_NS).source is Source.HOLD


@pytest.mark.parametrize(("asked", "kept"), [(1.7, 1.0), (-3.0, 0.0), (math.nan, 0.5), (math.inf, 0.5)])
def test_hold_after_an_illegal_gripper_command_is_legal(asked: float, kept: float) -> None:
    driven = arbiter()
    driven.set_human_step(hold(asked))
    driven.command(DriveState.CORRECTING, 0)
    assert driven.command(DriveState.PAUSED, PERIOD_NS).step[6] == kept


def test_sequence_grows_by_one_whoever_drives() -> None:
    driven = arbiter()
    assert [driven.command(state, 0).sequence for state in DriveState] == [1, 2, 3, 4, 5]


def test_restart_forgets_chunk_hand_and_counts_and_takes_the_gripper() -> None:
    driven = arbiter()
    driven.command(DriveState.AUTONOMOUS, 10**6)
    driven.restart(1.4)
    assert driven.starved == 0
    command = driven.command(DriveState.AUTONOMOUS, 0)
    assert (command.source, command.sequence) == (Source.HOLD, 1)
    np.testing.assert_array_equal(command.step, hold(1.0))
    assert driven.command(DriveState.CORRECTING, 0).source is Source.HOLD


def test_steps_of_the_chunk_are_not_changed_by_what_follows() -> None:
    driven = arbiter()
    command = driven.command(DriveState.AUTONOMOUS, 0)
    driven.command(DriveState.PAUSED, PERIOD_NS)
    np.testing.assert_array_equal(command.step, POLICY_STEP)


def test_handing_back_forgets_the_chunk_keeps_counting_and_takes_the_gripper() -> None:
    deciding = arbiter()
    first = deciding.command(DriveState.AUTONOMOUS, 0)
    deciding.hand_back(0.9)
    after = deciding.command(DriveState.AUTONOMOUS, PERIOD_NS)
    assert after.source is Source.HOLD  # the chunk had a step for this period
    assert after.step[6] == 0.9
    assert after.sequence == first.sequence + 1
