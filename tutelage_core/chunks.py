"""Chunks over time: which step of which chunk is due now, how one goes over into the next, and when one is wanted.

A step is looked up by the time it is *for*, which counts from the observation's stamp; steps whose time has passed
while the policy was thinking are dropped, never replayed. Steps are differences, so a chunk that comes late is anchored
anew: what its dropped steps would have moved, and what was done instead, is made up. The same rule serves the graph and
the one-process loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ActionChunk, FloatArray

MOTION = 6
"""Numbers of a step that are blended; the gripper's is the newest chunk's."""

MOST_KEPT = 32
"""Chunks that are kept at most."""


@dataclass(frozen=True)
class SeamSettings:
    """How one chunk goes over into the next.

    Attributes:
        blend_steps: over so many steps the new chunk takes over from the one before; with 0 at once.
        ensemble: instead, every chunk that has a step for now has a say, weighted exp(-ensemble * i) with i = 0 for the
            oldest (temporal ensembling, Zhao et al. 2023); None for none. It is known to cost success with many
            policies.
        catch_up: a chunk that comes late was meant to move the arm by its dropped steps, too. What was done meanwhile
            may lack some of that; it is made up over the steps that follow, none of them longer than the chunk's
            longest, so that the arm comes back onto the way that the policy thought of.
    """

    blend_steps: int = 0
    ensemble: float | None = None
    catch_up: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be blended."""
        if not 0 <= self.blend_steps <= MOST_KEPT:
            raise ConfigurationError(f"SeamSettings: blend_steps must be in 0..{MOST_KEPT}, got {self.blend_steps}")
        if self.ensemble is not None and not math.isfinite(self.ensemble):
            raise ConfigurationError(f"SeamSettings: ensemble must be finite, got {self.ensemble}")
        if self.blend_steps and self.ensemble is not None:
            raise ConfigurationError("SeamSettings: either blend_steps or ensemble, not both")


@dataclass
class _Held:
    chunk: ActionChunk
    since_ns: int | None = None  # when its first step was taken
    debt: FloatArray | None = None  # motion that is still to be made up, shape (6,)


class ChunkBuffer:
    """Holds the newest chunks of a policy."""

    def __init__(self, replan_every: int, seams: SeamSettings | None = None) -> None:
        """Ask for a new chunk after `replan_every` steps of the current one, at least 1."""
        if replan_every < 1:
            raise ValueError(f"replan_every must be at least 1, got {replan_every}")
        self._replan_every = replan_every
        self._seams = seams or SeamSettings()
        self._held: list[_Held] = []
        self._given: list[tuple[int, FloatArray]] = []  # stamps and motions of the last steps
        self.dropped_chunks = 0
        self.dropped_steps = 0
        """Steps that came too late to be taken."""

    def clear(self) -> None:
        """Forget the chunks: at a reset, a stop or a hand-over no old step may come back."""
        self._held.clear()
        self._given.clear()

    @property
    def chunk(self) -> ActionChunk | None:
        """The newest chunk."""
        return self._held[-1].chunk if self._held else None

    def add(self, chunk: ActionChunk) -> bool:
        """Take `chunk` unless it is older than the one held; return whether it was taken."""
        if self._held and chunk.stamp_ns <= self._held[-1].chunk.stamp_ns:
            self.dropped_chunks += 1
            return False
        kept = MOST_KEPT if self._seams.blend_steps or self._seams.ensemble is not None else 1
        self._held = [*self._held, _Held(chunk)][-kept:]
        return True

    def wants_chunk(self, now_ns: int) -> bool:
        """Return whether a chunk from the observation at `now_ns` is due."""
        if not self._held:
            return True
        chunk = self._held[-1].chunk
        return _index(chunk, now_ns) >= min(self._replan_every, len(chunk.steps))

    def step_at(self, now_ns: int) -> tuple[int, FloatArray] | None:
        """Return index and step due at `now_ns`, or None when the chunk is used up (then the arm must hold)."""
        newest = self._held[-1] if self._held else None
        step = None if newest is None else _step(newest.chunk, now_ns)
        if newest is None or step is None:
            self._note(now_ns, np.zeros(MOTION))  # the arm holds
            return None
        index = _index(newest.chunk, now_ns)
        if newest.since_ns is not None and self._given[-1][0] == now_ns:  # asked again: nothing is made up twice
            return index, np.concatenate([self._given[-1][1], step[MOTION:]])
        if newest.since_ns is None:
            newest.since_ns = now_ns
            self.dropped_steps += index
            newest.debt = self._debt(newest.chunk, index) if self._seams.catch_up else None
        self._held = [held for held in self._held if _step(held.chunk, now_ns) is not None]
        if len(self._held) > 1:
            motion = self._blended(now_ns) if self._seams.ensemble is None else self._ensembled(now_ns)
            step = np.concatenate([motion, step[MOTION:]])
        if newest.debt is not None:
            step = self._made_up(newest, step)
        self._note(now_ns, step[:MOTION])
        return index, step

    def _note(self, now_ns: int, motion: FloatArray) -> None:
        self._given = [*self._given, (now_ns, motion)][-MOST_KEPT:]

    def _debt(self, chunk: ActionChunk, index: int) -> FloatArray | None:
        """Return what a chunk's first `index` steps would have moved, beyond what was done since its observation.

        None where nothing is owed, and where it is not known what was done: somebody else drove meanwhile.
        """
        begin_ns = chunk.stamp_ns - chunk.period_ns // 2
        done = [motion for stamp_ns, motion in self._given if stamp_ns >= begin_ns]
        if index == 0 or len(done) < index:
            return None
        return chunk.steps[:index, :MOTION].sum(axis=0) - np.sum(done, axis=0)

    @staticmethod
    def _made_up(held: _Held, step: FloatArray) -> FloatArray:
        """Return a step that also pays of the debt as much as a step of this chunk may."""
        debt = held.debt
        assert debt is not None
        paid = np.empty(MOTION)
        for part in (slice(0, 3), slice(3, MOTION)):
            longest = float(np.linalg.norm(held.chunk.steps[:, part], axis=1).max())
            whole = step[part] + debt[part]
            length = float(np.linalg.norm(whole))
            paid[part] = whole if length <= longest else whole * (longest / length)
        held.debt = debt - (paid - step[:MOTION])
        return np.concatenate([paid, step[MOTION:]])

    def _blended(self, now_ns: int) -> FloatArray:
        motion: FloatArray | None = None
        begins = 0
        for number, held in enumerate(self._held):
            own = _step(held.chunk, now_ns)
            assert own is not None
            taken = 0 if held.since_ns is None else round((now_ns - held.since_ns) / held.chunk.period_ns)
            share = min(1.0, (taken + 1) / (self._seams.blend_steps + 1))
            if motion is None or share >= 1.0:
                motion, begins = own[:MOTION], number
            else:
                motion = (1.0 - share) * motion + share * own[:MOTION]
        assert motion is not None
        self._held = self._held[begins:]  # what has been taken over from is not needed any more
        return motion

    def _ensembled(self, now_ns: int) -> FloatArray:
        steps = np.stack([step for held in self._held if (step := _step(held.chunk, now_ns)) is not None])
        weights = np.exp(-(self._seams.ensemble or 0.0) * np.arange(len(steps)))
        return weights @ steps[:, :MOTION] / weights.sum()


def _index(chunk: ActionChunk, now_ns: int) -> int:
    # a period that is half over belongs to its step: real stamps jitter round the grid
    return (now_ns - chunk.stamp_ns + chunk.period_ns // 2) // chunk.period_ns


def _step(chunk: ActionChunk, now_ns: int) -> FloatArray | None:
    index = _index(chunk, now_ns)
    return chunk.steps[index] if 0 <= index < len(chunk.steps) else None
