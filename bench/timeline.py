"""What the arm did, when: latencies and missed control periods, from what `latency_probe` saw."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hardware.safety.reasons import Reason
from tutelage_core.types import Source


@dataclass(frozen=True)
class Executed:
    """One executed action.

    Attributes:
        sequence: number of the command; it begins again at 1 with each episode.
        source: whose step was executed; HOLD when there was none, or when it was refused.
        stamp_ns: what the command was for: the observation's stamp where it came from a fresh chunk [ns].
        executed_ns: when the target left for the controller [ns].
        reasons: what the gate had to say.
    """

    sequence: int
    source: Source
    stamp_ns: int
    executed_ns: int
    reasons: tuple[str, ...]

    @property
    def timed_out(self) -> bool:
        """Whether the arm held by itself because no command came: after each episode, or because one is missing."""
        return Reason.COMMAND_TIMEOUT in self.reasons


class Timeline:
    """Executed actions in the order in which they were executed."""

    def __init__(self, executed: Sequence[Executed], chunk_stamps_ns: frozenset[int], period_ns: int) -> None:
        """Hold what was executed, the stamps of the observations that gave a chunk, and the control period [ns]."""
        self._executed = executed
        self._chunk_stamps_ns = chunk_stamps_ns
        self._period_ns = period_ns

    @classmethod
    def from_probe(cls, data: Mapping[str, Sequence[Mapping[str, object]]], period_ns: int) -> Timeline:
        """Read what `latency_probe` prints."""
        executed = [
            Executed(
                int(str(row["sequence"])),
                Source(int(str(row["source"]))),
                int(str(row["stamp_ns"])),
                int(str(row["executed_ns"])),
                tuple(row["reasons"]),
            )
            for row in data["executed"]
        ]  # type: ignore[arg-type]
        return cls(executed, frozenset(int(str(row["stamp_ns"])) for row in data["chunks"]), period_ns)

    def episodes(self) -> Iterator[list[Executed]]:
        """Yield the commands of each episode; the arm's own time-outs are left out."""
        episode: list[Executed] = []
        for action in self._executed:
            if action.timed_out:
                continue
            if episode and action.sequence <= episode[-1].sequence:
                yield episode
                episode = []
            episode.append(action)
        if episode:
            yield episode

    def latencies_ms(self, *, fresh: bool) -> list[float]:
        """Return executed minus stamp of the policy's steps [ms].

        Args:
            fresh: those that answer an observation at once (its camera stamp is theirs), or those between chunks.
        """
        return [
            (a.executed_ns - a.stamp_ns) / 1e6
            for episode in self.episodes()
            for a in episode
            if a.source is Source.POLICY and (a.stamp_ns in self._chunk_stamps_ns) == fresh
        ]

    def gaps_ms(self) -> list[float]:
        """Return the time from each executed action to the next one of its episode [ms]."""
        return [
            (b.executed_ns - a.executed_ns) / 1e6 for episode in self.episodes() for a, b in itertools.pairwise(episode)
        ]

    def held_periods(self) -> int:
        """Return the periods in which the arm held for want of a legal step."""
        return sum(a.source is Source.HOLD for episode in self.episodes() for a in episode)

    def skipped_periods(self) -> int:
        """Return the periods of episodes that no command was for: gaps between stamps of more than 1.5 periods."""
        gaps_ns = (b.stamp_ns - a.stamp_ns for episode in self.episodes() for a, b in itertools.pairwise(episode))
        return sum(round(gap_ns / self._period_ns) - 1 for gap_ns in gaps_ns if gap_ns > 1.5 * self._period_ns)

    def late_periods(self) -> int:
        """Return the periods that were over when their step was executed."""
        return sum(
            a.executed_ns - a.stamp_ns > self._period_ns
            for episode in self.episodes()
            for a in episode
            if a.source is not Source.HOLD
        )

    def missed_periods(self) -> int:
        """Return the periods of episodes in which no step that was meant for them was executed."""
        return self.skipped_periods() + self.late_periods() + self.held_periods()
