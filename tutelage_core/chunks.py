"""Chunks over time: which step of which chunk is due now, and when a new chunk is wanted.

A step is looked up by the time it is *for*, which counts from the observation's stamp; steps whose time has passed
while the policy was thinking are dropped, never replayed. The same rule serves the graph and the one-process loop.
"""

from __future__ import annotations

from tutelage_core.types import ActionChunk, FloatArray


class ChunkBuffer:
    """Holds the newest chunk of a policy."""

    def __init__(self, replan_every: int) -> None:
        """Ask for a new chunk after `replan_every` steps of the current one, at least 1."""
        if replan_every < 1:
            raise ValueError(f"replan_every must be at least 1, got {replan_every}")
        self._replan_every = replan_every
        self._chunk: ActionChunk | None = None
        self.dropped_chunks = 0

    def clear(self) -> None:
        """Forget the chunk: at a reset, a stop or a hand-over no old step may come back."""
        self._chunk = None

    @property
    def chunk(self) -> ActionChunk | None:
        """The chunk in use."""
        return self._chunk

    def add(self, chunk: ActionChunk) -> bool:
        """Take `chunk` unless it is older than the one held; return whether it was taken."""
        if self._chunk is not None and chunk.stamp_ns <= self._chunk.stamp_ns:
            self.dropped_chunks += 1
            return False
        self._chunk = chunk
        return True

    def wants_chunk(self, now_ns: int) -> bool:
        """Return whether a chunk from the observation at `now_ns` is due."""
        if self._chunk is None:
            return True
        return self._index(self._chunk, now_ns) >= min(self._replan_every, len(self._chunk.steps))

    def step_at(self, now_ns: int) -> tuple[int, FloatArray] | None:
        """Return index and step due at `now_ns`, or None when the chunk is used up (then the arm must hold)."""
        if self._chunk is None:
            return None
        index = self._index(self._chunk, now_ns)
        if not 0 <= index < len(self._chunk.steps):
            return None
        return index, self._chunk.steps[index]

    @staticmethod
    def _index(chunk: ActionChunk, now_ns: int) -> int:
        # a period that is half over belongs to its step: real stamps jitter round the grid
        return (now_ns - chunk.stamp_ns + chunk.period_ns // 2) // chunk.period_ns
