"""Simulates stored states again, physics step by physics step, up to where they blow up."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.instability import (
    BadValue,
    find_bad_values,
    find_warned_values,
    is_sound,
    mujoco_warnings_muted,
    rise_of_warnings,
)
from tutelage_core.types import FloatArray

STATE_SPEC = int(mujoco.mjtState.mjSTATE_INTEGRATION)
"""What a stored state holds: all that the next physics steps depend on, controls, targets and warm start included."""

PHYSICS_SPEC = int(mujoco.mjtState.mjSTATE_FULLPHYSICS)
"""What physics itself brings forth; the rest of a state is set from outside."""


@dataclass(frozen=True)
class BlowUp:
    """The first physics step after which a state was not sound.

    Attributes:
        state: number of the stored state that it started from; 0 is the oldest.
        step: physics steps after that state; 0 means that the stored state itself was bad.
        time_s: simulated time at the end of the step [s].
        bad: what was bad there.
    """

    state: int
    step: int
    time_s: float
    bad: tuple[BadValue, ...]


@dataclass(frozen=True)
class Resimulation:
    """What came of simulating again.

    Attributes:
        steps: physics steps that were taken.
        blow_up: where it blew up; None if it did not.
        differing: numbers of the stored states that were not reached again bit for bit from the state before.
    """

    steps: int
    blow_up: BlowUp | None
    differing: tuple[int, ...]


def resimulate(model: mujoco.MjModel, states: FloatArray, steps: tuple[int, ...], first: int = 0) -> Resimulation:
    """Simulate from state `first` on until it blows up or the stored blocks are over.

    Each block starts from its stored state, because the target in it came from outside. That the state at the end of
    a block is, bit for bit, the one that is stored next shows that the whole is one deterministic run.

    Args:
        model: the model that the states belong to.
        states: stored states (`STATE_SPEC`), oldest first, shape (count, size).
        steps: physics steps that were taken after each of them.
        first: number of the state to begin with.
    """
    data = mujoco.MjData(model)
    reached = np.empty(mujoco.mj_stateSize(model, PHYSICS_SPEC))
    stored = np.empty_like(reached)
    taken, differing = 0, []
    with mujoco_warnings_muted():
        for number in range(first, len(states)):
            if number > first:
                mujoco.mj_getState(model, data, reached, PHYSICS_SPEC)
            mujoco.mj_setState(model, data, states[number], STATE_SPEC)
            if number > first:
                mujoco.mj_getState(model, data, stored, PHYSICS_SPEC)
                if reached.tobytes() != stored.tobytes():
                    differing.append(number)
            for step in range(steps[number] + 1):
                if step:
                    mujoco.mj_step(model, data)
                    taken += 1
                warned = rise_of_warnings(data)
                if warned or not is_sound(data):
                    bad = find_bad_values(data) or find_warned_values(data, warned)
                    return Resimulation(taken, BlowUp(number, step, float(data.time), bad), tuple(differing))
    return Resimulation(taken, None, tuple(differing))
