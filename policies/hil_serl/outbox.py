"""An actor's steps that the learner has not acknowledged yet: bounded, kept on disk, sent again until they are.

Steps go out in order, as many at once as `window` allows. Where no acknowledgement comes, sending begins again at the
first one that lacks it, each time after a longer wait; a learner that was started again is served at once. What comes
twice the learner ignores, so nothing is lost and nothing doubled. A full outbox never drops anything: its owner asks
before it begins an episode, and ends a segment where there is no more room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from policies.hil_serl.acknowledgement import Acknowledgement
from policies.hil_serl.segments import Progress
from policies.hil_serl.step_codec import StepCodec, StepLabel
from policies.hil_serl.step_journal import StepJournal
from policies.hil_serl.transition import ReplayError, Step, step_name
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CheckpointError, ConfigurationError


@dataclass(frozen=True)
class OutboxConfig:
    """How much is kept, and how it is sent.

    Attributes:
        limit_steps: steps that are kept at most; no episode begins while more than half of them are there.
        limit_mib: size of what is kept, likewise [MiB].
        window: steps that are on their way at once.
        first_wait_s: without an acknowledgement for so long, all is sent again [s].
        longest_wait_s: the wait doubles each time, up to this [s].
    """

    limit_steps: int = 4000
    limit_mib: float = 128.0
    window: int = 128
    first_wait_s: float = 3.0
    longest_wait_s: float = 20.0

    def __post_init__(self) -> None:
        """Refuse an outbox that holds or sends nothing."""
        if self.limit_steps < 2 or not self.limit_mib > 0.0 or self.window < 1:
            raise ConfigurationError(
                f"OutboxConfig: needs limit_steps of at least 2, limit_mib above 0 and a window of at least 1, got "
                f"{self.limit_steps}, {self.limit_mib} and {self.window}"
            )
        if not 0.0 < self.first_wait_s <= self.longest_wait_s:
            raise ConfigurationError(
                f"OutboxConfig: needs 0 < first_wait_s <= longest_wait_s, got {self.first_wait_s} and "
                f"{self.longest_wait_s}"
            )


@dataclass(frozen=True)
class Parcel:
    """A step, ready to be sent.

    Attributes:
        label: what stands outside on it.
        data: all of it; see `step_codec`.
    """

    label: StepLabel
    data: bytes

    @property
    def place(self) -> tuple[int, int]:
        """Segment and index."""
        return self.label.segment, self.label.index


class Outbox:
    """Keeps, sends and forgets the steps of one actor."""

    def __init__(self, folder: Path, actor: str, codec: StepCodec, config: OutboxConfig | None = None) -> None:
        """Open the outbox in `folder`, or begin one.

        Args:
            folder: of this actor alone.
            actor: its name.
            codec: encodes its steps.
            config: how much is kept.

        Raises:
            CheckpointError: another process has it open, or an earlier segment in it is damaged.
            ReplayError: what is in it is no step.
            ContractMismatchError: it holds steps of another robot, trunk or layout; each difference is named.
        """
        self.actor = actor
        self.config = config or OutboxConfig()
        self._codec = codec
        self._journal = StepJournal(folder)
        self._folder = folder
        self._kept: deque[Parcel] = deque()
        self._bytes = 0
        self._sent = 0
        self._word: Acknowledgement | None = None
        self._newest: Progress | None = None
        self._newest_is_of_run = True
        self._wait_s = self.config.first_wait_s
        self._resend_ns: int | None = None
        self._unjournaled = -1
        self.trouble = ""
        """Why the disk does not take what is kept, empty if it does: a kill would then lose steps."""
        self.resent = 0
        """Steps that were sent again."""
        try:
            for kept in self._restored():
                self._keep(kept)
        except BaseException:
            self._journal.close()
            raise

    def __len__(self) -> int:
        """Steps that are not acknowledged."""
        return len(self._kept)

    @property
    def bytes(self) -> int:
        """Size of the steps that are not acknowledged [bytes]."""
        return self._bytes

    @property
    def next_segment(self) -> int:
        """Number of the next segment; known for certain once the learner has spoken."""
        return 0 if self._newest is None else self._newest.segment + 1

    @property
    def is_cut(self) -> bool:
        """Whether the newest segment lacks its end, so that the next one has to begin with `after_restart`."""
        return self._newest is not None and self._newest.is_open

    @property
    def word(self) -> Acknowledgement | None:
        """What the learner said last; None before its first word."""
        return self._word

    @property
    def is_full(self) -> bool:
        """Whether the segment under way must end: there is no room for more."""
        return self._filling() >= 1.0

    def objection(self) -> str:
        """Return why no episode may begin, empty if one may."""
        if self._word is None:
            return "no learner has spoken yet: is learner_node running?"
        if self._word.run != self._journal.run:
            return (
                f"{self._folder} holds {len(self)} steps for the learner of run {self._journal.run}, and the one that "
                f"speaks is of run {self._word.run}: start the first one again, or remove the folder to give them up"
            )
        if refusal := self._word.refusals.get(self.actor):
            return f"the learner refuses what comes next from {self._folder}: {refusal}"
        if self.trouble:
            return self.trouble
        if self._filling() > 0.5:
            return (
                f"{len(self)} steps ({self._bytes / 2**20:.0f} MiB) wait for the learner, more than half of what is "
                f"kept ({self.config.limit_steps} steps, {self.config.limit_mib:g} MiB): is it alive and reachable?"
            )
        return ""

    def put(self, step: Step, updates: int) -> None:
        """Keep a step; it is handed to the operating system before it can be sent.

        Args:
            step: the next one of this actor.
            updates: of the weights that decided it; -1 where no learner's weights did.

        Raises:
            ReplayError: it is not of this actor, not the next one, or holds what no learner takes; nothing changed.
        """
        newest = self._newest
        fits = step.actor == self.actor and (
            (step.segment, step.index) == (self.next_segment, 0)
            if newest is None or step.index == 0
            else (step.segment, step.index, True) == (newest.segment, newest.next_index, newest.is_open)
        )
        if not fits or (step.index == 0 and self.is_cut and not step.after_restart):
            raise ReplayError(f"{step.name}: is not the next one of {self._folder}, which is at {newest}")
        follows = -1
        if step.index == 0 and newest is not None and self._newest_is_of_run:
            follows = newest.next_index - 1
        data = self._codec.encode(step, follows=follows, updates=updates)
        self._keep(Parcel(self._codec.label(data), data))
        if self._unjournaled == step.segment:
            return
        try:
            self._journal.append(step.segment, data)
            if step.ends_segment:
                self._journal.end_segment()
            self.trouble = ""
        except CheckpointError as error:
            # It stays in memory and is sent; the rest of its segment would leave a gap in the file.
            self.trouble, self._unjournaled = str(error), step.segment

    def to_send(self, now_ns: int) -> list[Parcel]:
        """Return what has to be sent now, in order.

        Args:
            now_ns: steady clock [ns].
        """
        if self._word is None or self._word.run != self._journal.run:
            return []
        if self._resend_ns is not None and now_ns >= self._resend_ns:
            self.resent += self._sent
            self._sent = 0
            self._wait_s = min(2.0 * self._wait_s, self.config.longest_wait_s)
            self._resend_ns = None
        begin, self._sent = self._sent, max(self._sent, min(len(self._kept), self.config.window))
        if self._sent and self._resend_ns is None:
            self._resend_ns = now_ns + round(self._wait_s * NS_PER_S)
        return list(islice(self._kept, begin, self._sent))

    def acknowledge(self, word: Acknowledgement, now_ns: int) -> None:
        """Forget what the learner has on its disk.

        Args:
            word: of the learner.
            now_ns: steady clock [ns].

        Raises:
            CheckpointError: the disk does not take the name of the learner's run.
        """
        if word.run != self._journal.run and not (self._kept and self._journal.run):
            self._newest_is_of_run = not self._journal.run
            self._journal.belong_to(word.run)
        before, self._word = self._word, word
        if word.run != self._journal.run:
            return
        progress = word.progress.get(self.actor)
        forgotten = 0
        if progress is not None:
            while self._kept and self._kept[0].place < (progress.segment, progress.next_index):
                self._bytes -= len(self._kept.popleft().data)
                forgotten += 1
            own = self._newest
            if own is None or (own.segment, own.next_index) < (progress.segment, progress.next_index):
                self._newest, self._newest_is_of_run = progress, True
        self._sent = max(0, self._sent - forgotten)
        if forgotten or not self._sent:
            self._wait_s = self.config.first_wait_s
            self._resend_ns = now_ns + round(self._wait_s * NS_PER_S) if self._sent else None
        if before is None or before.newest.start != word.newest.start:
            self._sent, self._resend_ns = 0, None
        if forgotten:
            self._journal.forget_before(self._kept[0].label.segment if self._kept else self.next_segment - 1)

    def close(self) -> None:
        """Sync what is kept, and let go of the folder."""
        self._journal.close()

    def _filling(self) -> float:
        return max(len(self) / self.config.limit_steps, self._bytes / (self.config.limit_mib * 2**20))

    def _keep(self, kept: Parcel) -> None:
        self._kept.append(kept)
        self._bytes += len(kept.data)
        label = kept.label
        self._newest, self._newest_is_of_run = Progress(label.segment, label.index + 1, not label.ends), True

    def _restored(self) -> Iterator[Parcel]:
        """Yield what an earlier process left; only its last segment may lack its end."""
        before: StepLabel | None = None
        for segment, records in self._journal.kept.items():
            for index, data in enumerate(records):
                label, step = self._codec.label(data), self._codec.decode(data)
                begins_well = index > 0 or before is None or before.ends or step.after_restart
                if (label.actor, label.segment, label.index) != (self.actor, segment, index) or not begins_well:
                    expected = step_name(self.actor, segment, index)
                    raise CheckpointError(
                        f"{self._folder}: {label.name} stands where {expected} should, or the segment before it lacks "
                        "its end: it is damaged, or another actor's; remove it to give up the steps in it"
                    )
                before = label
                yield Parcel(label, data)
