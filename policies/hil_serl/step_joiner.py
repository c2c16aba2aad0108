"""Joins what was seen, what was executed and what came of it, as they arrive in a graph, into the steps of a replay.

A step is what was executed, on the newest observation before it; its outcome is read off the observation of the next
one. A segment ends where the task does, where the episode does, where somebody pauses, and where no step follows for
longer than a period and a half: its last step then brings the observation one period later. Where a stop ended it,
that step failed: no value of what might have come after it is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from policies.hil_serl.actor import StepMaker
from policies.hil_serl.transition import ReplayError, Step
from tutelage_core.types import ExecutedStep, Observation, Source

_LONGEST_GAP = 1.5
"""Periods between two steps of one segment, at most."""

_KEPT = 64
"""Observations that are kept until steps are joined to them."""

_SEED_STRIDE = 1_000_003
"""Between the seeds of the segments of one episode."""


class Outcome(NamedTuple):
    """What came of a step: its reward, NaN if it is not known, and whether the task is done."""

    reward: float
    success: bool


class StepJoiner:
    """Makes the steps of one actor from three streams that do not wait for each other."""

    def __init__(
        self,
        period_ns: int,
        make_maker: Callable[[], StepMaker],
        outcome: Callable[[Observation], Outcome | None],
        sink: Callable[[Step], bool],
    ) -> None:
        """Join at a control period of `period_ns` [ns].

        Args:
            period_ns: control period [ns].
            make_maker: makes the maker of the next segment.
            outcome: says what an observation shows; None while that is not known yet.
            sink: takes each step; returns whether there is room for more.
        """
        self._period_ns = period_ns
        self._make_maker = make_maker
        self._outcome = outcome
        self._sink = sink
        self._seed = 0
        self._segments = 0
        self._not_before_ns = 0
        self._observations: deque[Observation] = deque(maxlen=_KEPT)
        self._pending: deque[ExecutedStep] = deque()
        self._maker: StepMaker | None = None
        self._open_ns: int | None = None
        self._open_seen_ns = 0
        self._closing = self._deaf = self._over = True
        self._failed = False
        self._has_room = True
        self.lost = 0
        """Steps that were executed and are not learnt from: what came of them was not seen, or there was no room."""
        self.trouble = ""
        """Why the last of them was lost, in this episode or between it and the one before; empty if none was."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits: every executed step has become one of the replay."""
        return self._open_ns is None and not self._pending

    @property
    def has_taken_all(self) -> bool:
        """Whether every executed step that was heard of has been joined to its observation."""
        return not self._pending

    def begin(self, seed: int, not_before_ns: int) -> None:
        """Begin an episode whose observations are not of before `not_before_ns` [ns]; what waits is given up."""
        self.trouble = ""
        self.give_up("another episode began")
        self._seed, self._segments, self._not_before_ns = seed, 0, not_before_ns
        self._observations.clear()
        self._closing = self._deaf = self._over = self._failed = False
        self._has_room = True

    def see(self, obs: Observation) -> None:
        """Take an observation; they come in order, and one that comes again is ignored."""
        newest_ns = self._observations[-1].stamp_ns if self._observations else -1
        if obs.stamp_ns >= self._not_before_ns and obs.stamp_ns > newest_ns:
            self._observations.append(obs)
            self.look()

    def execute(self, executed: ExecutedStep) -> None:
        """Take what the gate let through; it comes in order."""
        if self._deaf or executed.stamp_ns < self._not_before_ns or executed.source is Source.HOMING:
            return
        if self._over:
            self.lost += not self._has_room
            return
        self._pending.append(executed)
        self.look()

    def pause(self, *, failed: bool = False) -> None:
        """End the segment after what was executed until now; hear of nothing more before `resume` or `begin`.

        Args:
            failed: what ends it is a stop: its last step failed.
        """
        self._closing = self._deaf = True
        self._failed = self._failed or failed
        self.look()

    def resume(self) -> None:
        """Begin another segment with what is executed from now on."""
        self._deaf = self._failed = False

    def give_up(self, why: str) -> None:
        """Forget what waits: what comes of it will never be seen."""
        self._lose(len(self._pending) + (self._open_ns is not None), why)
        self._pending.clear()
        self._maker, self._open_ns = None, None

    def look(self) -> None:
        """Go on as far as what is known allows."""
        try:
            while self._go_on():
                pass
        except (ReplayError, ValueError) as error:
            self.give_up(str(error))
        if self.is_settled and self._deaf:
            self._closing = False

    def _go_on(self) -> bool:
        """Make one step, or take one; return False where something is waited for."""
        following = self._pending[0] if self._pending else None
        seen = None if following is None else self._seen_before(following)
        if self._open_ns is not None and seen is not None and seen.stamp_ns <= self._open_seen_ns:
            self._pending.popleft()
            self._lose(1, "two steps were executed on one observation: pictures are slower than the control rate")
            return True
        if self._open_ns is not None:
            follows = following is not None and following.stamp_ns - self._open_ns <= _LONGEST_GAP * self._period_ns
            if follows:
                after = seen
            elif following is not None or self._closing:
                after = self._seen_after(self._open_ns)
            else:
                return False
            outcome = None if after is None else self._outcome(after)
            if after is None or outcome is None:
                return False
            self._finish(after, outcome, follows=follows)
        if following is None or seen is None or self._over:
            return False
        self._take(following, seen)
        return True

    def _finish(self, after: Observation, outcome: Outcome, *, follows: bool) -> None:
        maker = self._maker
        assert maker is not None
        self._open_ns = None
        if not outcome.success and follows and self._has_room:
            self._has_room = self._sink(maker.go_on(outcome.reward))
            return
        self._maker = None
        failed = self._failed and self._closing
        self._sink(maker.end(after, outcome.reward, terminated=outcome.success or failed))
        if outcome.success or not self._has_room:  # nothing more of this episode is learnt from
            self._over = True
            if not outcome.success:
                self._lose(len(self._pending), "there is no room for more steps before the learner has taken some")
            self._pending.clear()

    def _lose(self, steps: int, why: str) -> None:
        if steps:
            self.lost += steps
            self.trouble = f"{steps} executed steps are not learnt from: {why}"

    def _take(self, executed: ExecutedStep, seen: Observation) -> None:
        if self._maker is None:
            self._maker = self._make_maker()
            self._maker.restart(self._seed + _SEED_STRIDE * self._segments)
            self._segments += 1
        self._maker.took(seen, executed.executed, executed.source)
        self._pending.popleft()
        self._open_ns, self._open_seen_ns = executed.stamp_ns, seen.stamp_ns

    def _seen_before(self, executed: ExecutedStep) -> Observation | None:
        """Return the newest observation that is not of after a step, once no newer one can come.

        Raises:
            ReplayError: there is none, or it is of long before.
        """
        stamp_ns = executed.stamp_ns
        newest = None
        complete = self._closing
        for obs in self._observations:
            complete = complete or obs.stamp_ns >= stamp_ns
            if obs.stamp_ns <= stamp_ns:
                newest = obs
        if not complete:
            return None
        if newest is None or stamp_ns - newest.stamp_ns > _LONGEST_GAP * self._period_ns:
            raise ReplayError(
                f"what was executed at {stamp_ns} ns has no observation: pictures or arm states were lost"
            )
        return newest

    def _seen_after(self, stamp_ns: int) -> Observation | None:
        wanted_ns = stamp_ns + self._period_ns // 2
        return next((obs for obs in self._observations if obs.stamp_ns > wanted_ns), None)
