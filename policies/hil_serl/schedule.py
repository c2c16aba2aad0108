"""How many updates are due: steers towards so many per step of the environment, and says what was reached."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies.hil_serl.config import ScheduleConfig
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S


@dataclass(frozen=True)
class ScheduleReport:
    """What the schedule saw.

    Attributes:
        steps: steps of the environment.
        updates: updates of the learner.
        achieved: updates per step since the first update was allowed; 0 before.
        target: what is steered for; None where the learner runs freely.
        owed_steps: steps whose updates are still to come.
        starved: share of the time since the start in which the learner had nothing to do [0..1].
    """

    steps: int
    updates: int
    achieved: float
    target: float | None
    owed_steps: float
    starved: float


class UpdateSchedule:
    """Counts steps and updates. Ask `due` before each burst, tell `stepped` and `updated` what was done."""

    def __init__(self, config: ScheduleConfig, clock: Clock, *, steps: int = 0, updates: int = 0) -> None:
        """Begin where an earlier process ended, with `steps` and `updates` done; `clock` is only for the waiting."""
        self._config = config
        self._clock = clock
        self.steps = steps
        self.updates = updates
        self._begun_ns = clock.now_ns()
        self._starving_since_ns: int | None = None
        self._starved_ns = 0

    def stepped(self, steps: int = 1) -> None:
        """Note that the environment made so many steps."""
        self.steps += steps

    def updated(self, updates: int) -> None:
        """Note that the learner made so many updates."""
        self.updates += updates

    def due(self) -> int:
        """Return how many updates may be made now, at most `burst`; 0 means wait, and the waiting is counted."""
        due = self._due()
        now_ns = self._clock.now_ns()
        if due == 0 and self._starving_since_ns is None:
            self._starving_since_ns = now_ns
        elif due > 0 and self._starving_since_ns is not None:
            self._starved_ns += now_ns - self._starving_since_ns
            self._starving_since_ns = None
        return due

    @property
    def actor_should_wait(self) -> bool:
        """Whether the learner owes the updates of more steps than `lag_steps`."""
        return self._config.lag_steps > 0 and self._owed_steps() > self._config.lag_steps

    def report(self) -> ScheduleReport:
        """Return what was reached so far."""
        now_ns = self._clock.now_ns()
        starved_ns = self._starved_ns
        if self._starving_since_ns is not None:
            starved_ns += now_ns - self._starving_since_ns
        learnt_from = self._learnt_from()
        return ScheduleReport(
            self.steps,
            self.updates,
            self.updates / learnt_from if learnt_from else 0.0,
            self._config.updates_per_step,
            self._owed_steps(),
            starved_ns / max(1, now_ns - self._begun_ns),
        )

    @property
    def elapsed_s(self) -> float:
        """Time since the start [s]."""
        return (self._clock.now_ns() - self._begun_ns) / NS_PER_S

    def _learnt_from(self) -> int:
        """Return the steps that ask for updates: those after the first ones."""
        return max(0, self.steps - self._config.first_step)

    def _due(self) -> int:
        if self.steps < max(1, self._config.first_step):
            return 0
        if self._config.updates_per_step is None:
            return self._config.burst
        allowed = math.floor(self._learnt_from() * self._config.updates_per_step + 1e-9)
        return min(self._config.burst, max(0, allowed - self.updates))

    def _owed_steps(self) -> float:
        ratio = self._config.updates_per_step
        return 0.0 if ratio is None else max(0.0, self._learnt_from() - self.updates / ratio)
