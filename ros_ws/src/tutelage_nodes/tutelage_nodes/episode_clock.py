"""When the next command of an episode is due: the same rule in lock-step and in real time.

In lock-step (data time) every observation is answered by one command. In real time a fresh chunk is acted on at once,
so that the delay is the policy's and no waiting is added; between chunks, and when one is late, a timer keeps the
period.
"""

from __future__ import annotations

from tutelage_core.chunks import ChunkBuffer

LATE_CHUNK_PERIODS = 1.5
"""A chunk that is due may be this late before the old one is used on, or the arm holds."""


class EpisodeClock:
    """Says for which stamp a command is due, if any."""

    def __init__(self, chunks: ChunkBuffer, period_ns: int) -> None:
        """Watch `chunks`; one command every `period_ns` [ns]."""
        self._chunks, self._period_ns = chunks, period_ns
        self._last_stamp_ns: int | None = None
        self._last_sent_ns = 0

    def restart(self) -> None:
        """Begin an episode."""
        self._last_stamp_ns = None

    def waits(self, state_ns: int) -> bool:
        """Lock-step: return whether the last command is still to be carried out; what is seen now is not final then."""
        return self._last_stamp_ns is not None and state_ns <= self._last_stamp_ns

    def sent(self, stamp_ns: int, steady_ns: int) -> None:
        """Note that the command for `stamp_ns` left at `steady_ns` (steady clock)."""
        self._last_stamp_ns, self._last_sent_ns = stamp_ns, steady_ns

    def due_for_observation(self, stamp_ns: int) -> int | None:
        """Lock-step: return `stamp_ns` if its observation still waits for a command and the policy has spoken."""
        if self._last_stamp_ns is not None and stamp_ns <= self._last_stamp_ns:
            return None
        return None if self._chunks.wants_chunk(stamp_ns) else stamp_ns

    def due_for_chunk(self) -> int | None:
        """Real time: return the stamp of the chunk that has just come if its first step is not yet overtaken."""
        chunk = self._chunks.chunk
        if chunk is None:
            return None
        fresh = self._last_stamp_ns is None or chunk.stamp_ns - self._last_stamp_ns > self._period_ns // 2
        return chunk.stamp_ns if fresh else None

    def due_for_timer(self, steady_ns: int, *, for_policy: bool = True) -> int | None:
        """Real time: return the stamp of the next period if its time has come and no new chunk serves it.

        Args:
            steady_ns: now, on the scaled steady clock [ns].
            for_policy: whether a policy drives, whose chunk may still come; else nothing is waited for.
        """
        if self._last_stamp_ns is None:
            return None
        stamp_ns = self._last_stamp_ns + self._period_ns
        patience = LATE_CHUNK_PERIODS if for_policy and self._chunks.wants_chunk(stamp_ns) else 1.0
        waited_ns = steady_ns - self._last_sent_ns
        return stamp_ns if waited_ns >= patience * self._period_ns else None
