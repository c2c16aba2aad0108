"""Walks a replay and checks, transition by transition, what must hold of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.hil_serl.replay import ReplayBuffer
from policies.hil_serl.transition import Gripper
from tutelage_core.types import Source

INVARIANTS: Mapping[str, str] = {
    "drawn but empty": "what can be drawn is a step",
    "drawn but without next": "its next observation is there",
    "missing from the drawn": "each step with a next observation and a valid reward can be drawn",
    "next of another segment": "its next observation is of the same actor and segment",
    "next out of order": "its next observation is the one just after it",
    "next is no end": "where the segment ends, the next observation is the final one, with no step on it",
    "next is an end": "where the segment goes on, the next observation is that of a step",
    "pointer back": "its next observation points back to it",
    "next is older": "its next observation was stored after it",
    "content": "both observations are, to the last bit, what was stored",
    "reward": "its reward is finite",
    "action": "its action is finite and within [-1, 1], its gripper command, penalty and source legal",
}
"""Name of each mismatch, and what holds where there is none."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        transitions: transitions that can be drawn, each of them looked at.
        truncated: of these, those that end truncated.
        terminated: of these, those that end terminated.
        mismatches: invariant (see `INVARIANTS`) to how many transitions break it; all of them are listed.
    """

    transitions: int
    truncated: int
    terminated: int
    mismatches: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether every invariant holds."""
        return not any(self.mismatches.values())

    def __str__(self) -> str:
        found = ", ".join(f"{name}: {count}" for name, count in self.mismatches.items() if count)
        return f"{self.transitions} transitions, {found or 'no mismatch'}"


def audit(replay: ReplayBuffer, *, content: bool = True) -> Audit:
    """Check every transition that can be drawn.

    Args:
        replay: to be checked; it is not changed.
        content: compare checksums of the observations, too; reads all of the memory.
    """
    a = replay.arrays
    drawn = replay.sampleable
    ready = np.flatnonzero(a.holds_step & (a.serial >= 0) & (a.next_slot >= 0) & np.isfinite(a.reward))
    empty = ~a.holds_step[drawn] | (a.serial[drawn] < 0)
    after = a.next_slot[drawn]
    lost = (after < 0) | (a.serial[after] < 0)
    rows = drawn[~lost]
    after = a.next_slot[rows]
    ends = a.terminated[rows] | a.truncated[rows]
    mismatches = {
        "drawn but empty": empty,
        "drawn but without next": lost,
        "missing from the drawn": ~np.isin(ready, drawn),
        "next of another segment": (a.actor[after] != a.actor[rows]) | (a.segment[after] != a.segment[rows]),
        "next out of order": a.index[after] != a.index[rows] + 1,
        "next is no end": ends & a.holds_step[after],
        "next is an end": ~ends & ~a.holds_step[after],
        "pointer back": a.previous_slot[after] != rows,
        "next is older": a.serial[after] <= a.serial[rows],
        "content": _changed(replay, rows) | _changed(replay, after) if content else np.zeros(len(rows), np.bool_),
        "reward": ~np.isfinite(a.reward[rows]),
        "action": _illegal(replay, rows),
    }
    return Audit(
        transitions=len(drawn),
        truncated=int((a.truncated[rows] & ~a.terminated[rows]).sum()),
        terminated=int(a.terminated[rows].sum()),
        mismatches={name: int(mismatches[name].sum()) for name in INVARIANTS},
    )


def _changed(replay: ReplayBuffer, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
    a = replay.arrays
    now = np.array([a.content_checksum(slot) for slot in slots.tolist()], np.uint32)
    return now != a.fingerprint[slots]


def _illegal(replay: ReplayBuffer, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    a = replay.arrays
    within = (np.abs(a.action[rows]) <= 1.0).all(axis=1)
    penalised = np.isfinite(a.grasp_penalty[rows]) & (a.grasp_penalty[rows] <= 0.0)
    named = np.isin(a.gripper[rows], list(Gripper)) & np.isin(a.source[rows], list(Source))
    return ~(within & penalised & named)
