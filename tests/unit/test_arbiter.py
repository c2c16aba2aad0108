"""One stream of commands: the driver's step when there is one, else a hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tutelage_core.arbiter import HAND_OVER_STEPS, Arbiter
from tutelage_core.chunks import ChunkBuffer
from tutelage_core.session import MOVING_STATES, DriveState
from tutelage_core.types import ActionChunk, Source

pytestmark = pytest.mark.unit

PERIOD_NS = 100
POLICY_STEP = np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.1, 0.2])
HUMAN_STEP = np.array([0.0, 0.02, 0.0, 0.0, 0.0, 0.0, 0.9])


class Fed(Arbiter):
    """An arbiter whose chunks a test can add to."""

    def add_chunk(self, stamp_ns: int, steps: int = 2, phrase: str = "") -> None:
        """Add policy steps for `stamp_ns`, `stamp_ns` + 100, ... [ns]."""
        self._chunks.clear()
        self._chunks.add(ActionChunk(stamp_ns, PERIOD_NS, np.tile(POLICY_STEP, (steps, 1)), phrase))


def arbiter(steps: int = 2) -> Fed:
    """Return an arbiter with a human step, and with policy steps for the times 0, 100, ... [ns]."""
    result = Fed(ChunkBuffer(1))
    result.restart(0.5)
    result.add_chunk(0, steps)
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


def test_handing_over_forgets_the_chunk_keeps_counting_and_keeps_the_grip() -> None:
    deciding = arbiter()
    first = deciding.command(DriveState.AUTONOMOUS, 0)
    deciding.hand_over()
    after = deciding.command(DriveState.AUTONOMOUS, PERIOD_NS)
    assert after.source is Source.HOLD  # the chunk had a step for this period
    assert after.step[6] == first.step[6]
    assert after.sequence == first.sequence + 1


@pytest.mark.parametrize("state", [DriveState.AUTONOMOUS, DriveState.CORRECTING])
def test_new_driver_comes_to_full_speed_over_several_steps(state: DriveState) -> None:
    driven = arbiter()
    driven.hand_over()
    asked = POLICY_STEP if state is DriveState.AUTONOMOUS else HUMAN_STEP
    shares = []
    for number in range(HAND_OVER_STEPS + 2):
        driven.add_chunk(number * PERIOD_NS)
        driven.set_human_step(HUMAN_STEP)
        step = driven.command(state, number * PERIOD_NS).step
        shares.append(np.linalg.norm(step[:6]) / np.linalg.norm(asked[:6]))
        assert step[6] == asked[6], "the gripper is not slowed"
    np.testing.assert_allclose(shares, [0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])


def test_steps_before_any_hand_over_are_not_slowed() -> None:
    np.testing.assert_array_equal(arbiter().command(DriveState.AUTONOMOUS, 0).step, POLICY_STEP)


def test_steps_that_follow_a_persons_phrase_say_so() -> None:
    driven = arbiter()
    driven.add_chunk(0, phrase="move left")
    assert driven.command(DriveState.AUTONOMOUS, 0).source is Source.POLICY
    driven.set_phrase("move left")
    assert driven.command(DriveState.AUTONOMOUS, PERIOD_NS).source is Source.PHRASE
    driven.add_chunk(2 * PERIOD_NS, phrase="move right")
    assert driven.command(DriveState.AUTONOMOUS, 2 * PERIOD_NS).source is Source.POLICY


def test_way_home_is_driven_only_while_resetting() -> None:
    driven = arbiter()
    driven.set_homing_step(HUMAN_STEP)
    assert driven.command(DriveState.RESETTING, 0).source is Source.HOMING
    assert driven.command(DriveState.PAUSED, PERIOD_NS).source is Source.HOLD
