"""A run of online learning in the twin, episode by episode: actors act, the learner learns, everything is written down.

With actors in processes of their own the learner works on what it has while they run the next episode; their weights
are then one episode older. Which steps are learnt from, and in which order, depends on seeds and counts only, never on
which process was faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from policies.hil_serl.metrics import Metrics, mean_metrics
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.training_run import StepValues, TrainingRun
from tutelage.learning.coaching import advice, coaching_figures
from tutelage.learning.live_display import DisplayState
from tutelage.learning.training_log import TrainingLog, read_log
from tutelage.learning.training_rows import EpisodeRow, LearnerRow
from tutelage.learning.twin_actor import EpisodeRun, Job, arrays_of
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S

POLICY_FOLDER = "policy"
SNAPSHOTS_FOLDER = "snapshots"
FILM_STRIPS_FOLDER = "film_strips"

UPDATES_AT_ONCE = 8
"""After so many the learner looks up: log, display and clock."""


class Actor(Protocol):
    """Runs one episode at a time; `TwinActor` in this process, or `ActorProcess` in its own."""

    @property
    def name(self) -> str:
        """Unique among the actors of the run."""
        ...

    def start(self, job: Job) -> None:
        """Have an episode run."""
        ...

    def result(self) -> EpisodeRun:
        """Wait for it."""
        ...


@dataclass(frozen=True)
class SessionSettings:
    """How long a run lasts, and what is kept of it.

    Attributes:
        first_seed: of the scenes; the others follow.
        steps: control periods of all robots after which it ends.
        minutes: wall time after which it ends, 0 for no limit [min].
        save_minutes: time between two saves of the learner [min].
        snapshot_minutes: time between two copies of the policy that are kept, 0 for none [min].
        report_seconds: time between two reports of the learner in the log [s].
        film_strips: every so many episodes one is drawn, 0 for none.
    """

    first_seed: int
    steps: int
    minutes: float = 0.0
    save_minutes: float = 2.0
    snapshot_minutes: float = 0.0
    report_seconds: float = 15.0
    film_strips: int = 0


class LearningSession:
    """One process's share of a run."""

    def __init__(
        self,
        run: TrainingRun,
        actors: list[Actor],
        policy: HilSerlPolicy,
        settings: SessionSettings,
        clock: Clock,
        show: Callable[[DisplayState], None],
    ) -> None:
        """Go on where the run's folder stands.

        Args:
            run: the learner and all that it learns from.
            actors: who acts.
            policy: takes the learner's weights when they are to be kept.
            settings: how long, and what is kept.
            clock: steady clock.
            show: takes the state, to display it.

        Raises:
            TrainingLogError: the log is damaged, or another process holds it.
        """
        self._run = run
        self._actors = actors
        self._policy = policy
        self._settings = settings
        self._clock = clock
        self._show = show
        self._log = TrainingLog(run.folder)
        rows = read_log(self._log.path)
        self._begun_ns = clock.now_ns() - round(max((row.wall_s for row in rows), default=0.0) * NS_PER_S)
        if rows:
            self._log.resume(run.schedule.steps, run.learner.updates)
            rows = read_log(self._log.path)
        self._episodes = [row for row in rows if isinstance(row, EpisodeRow)]
        self._reports = [row for row in rows if isinstance(row, LearnerRow)]
        progress = run.store.sealed_progress
        self._segments = {a.name: progress[a.name].segment + 1 if a.name in progress else 0 for a in actors}
        self._started = sum(self._segments.values())
        self._saved_s = self._snapshot_s = self._told_s = self.wall_s
        self._told_updates = run.learner.updates
        self._unreported: list[Metrics] = []
        self._acting_updates = run.learner.updates

    def __enter__(self) -> LearningSession:
        """Return the session itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the log."""
        self._log.close()

    @property
    def wall_s(self) -> float:
        """Time that the run has taken, without the time between a stop and a resume [s]."""
        return (self._clock.now_ns() - self._begun_ns) / NS_PER_S

    @property
    def log(self) -> TrainingLog:
        """Where rows go."""
        return self._log

    def work(self) -> None:
        """Run until the steps or the time are used up, and save.

        Raises:
            TutelageError: an actor refused its work, an update was not finite, or the disk is full. The run can go on
                from what was saved.
        """
        while not self._is_over:
            self._round()
            self._keep()
        self._learn(until_over=False)
        self._report()
        self._run.save()
        self._save_policy(self._run.folder / POLICY_FOLDER)

    @property
    def _is_over(self) -> bool:
        limit_s = 60.0 * self._settings.minutes
        return self._run.schedule.steps >= self._settings.steps or (limit_s > 0.0 and self.wall_s >= limit_s)

    def _round(self) -> None:
        """Run one episode of each actor, and make the updates that are owed meanwhile."""
        self._acting_updates = self._run.learner.updates
        weights = arrays_of(self._run.learner.acting_state())
        numbers: list[int] = []
        for actor in self._actors:
            number = self._started
            actor.start(
                Job(self._settings.first_seed + number, self._segments[actor.name], weights, self._strip(number))
            )
            numbers.append(number)
            self._started += 1
            self._segments[actor.name] += 1
        self._learn(until_over=True)
        for actor, number in zip(self._actors, numbers, strict=True):
            self._take(actor.name, number, actor.result())
        self._run.flush()

    def _strip(self, number: int) -> str:
        every = self._settings.film_strips
        if not every or number % every:
            return ""
        folder = self._run.folder / FILM_STRIPS_FOLDER
        folder.mkdir(exist_ok=True)
        return str(folder / f"{number:05d}.jpg")

    def _take(self, actor: str, number: int, episode: EpisodeRun) -> None:
        for step in episode.steps:
            self._run.take(step)
        found = episode.summary
        row = EpisodeRow(
            episode=number,
            actor=actor,
            seed=found.seed,
            wall_s=self.wall_s,
            steps=self._run.schedule.steps,
            length=found.steps,
            success=found.success,
            true_success=found.true_success,
            human_steps=found.human_steps,
            takeovers=len(found.takeovers),
            reasons=found.takeovers,
            weights=self._acting_updates,
            failure=found.failure,
        )
        self._episodes.append(row)
        self._log.add(row)
        self._display("learning" if self._run.schedule.updates else "waiting for steps")

    def _learn(self, *, until_over: bool) -> None:
        """Make the updates that are due; the time limit ends them too where `until_over`."""
        while not (until_over and self._is_over) and (found := self._run.learn(UPDATES_AT_ONCE)) is not None:
            self._unreported.append(found)
            if self.wall_s - self._told_s >= self._settings.report_seconds:
                self._report()
                self._display("learning")

    def _report(self) -> None:
        if not self._unreported:
            return
        found, schedule, now_s = mean_metrics(self._unreported), self._run.schedule.report(), self.wall_s
        values = self._run.values() if self._run.schedule.steps else StepValues(math.nan, math.nan)
        row = LearnerRow(
            wall_s=now_s,
            steps=schedule.steps,
            updates=schedule.updates,
            updates_per_s=(schedule.updates - self._told_updates) / max(now_s - self._told_s, 1e-9),
            achieved_ratio=schedule.achieved,
            target_ratio=schedule.target,
            owed_steps=schedule.owed_steps,
            starved=schedule.starved,
            critic_loss=found.critic_loss,
            grasp_loss=found.grasp_loss,
            actor_loss=found.actor_loss,
            entropy=found.entropy,
            temperature=found.temperature,
            value=found.value,
            target=found.target,
            gradient_norm=found.gradient_norm,
            value_on_corrections=values.corrections,
            value_on_policy=values.policy,
        )
        self._reports.append(row)
        self._log.add(row)
        self._told_s, self._told_updates = now_s, schedule.updates
        self._unreported.clear()

    def _display(self, learner: str) -> None:
        schedule = self._run.schedule.report()
        figures = coaching_figures(self._episodes, self._reports)
        newest = self._reports[-1] if self._reports else None
        self._show(
            DisplayState(
                wall_s=self.wall_s,
                steps=schedule.steps,
                coaching=figures,
                advice=advice(figures),
                updates=schedule.updates,
                updates_per_s=math.nan if newest is None else newest.updates_per_s,
                achieved_ratio=schedule.achieved,
                target_ratio=schedule.target,
                stale_updates=schedule.updates - self._acting_updates,
                replay_steps=len(self._run.mixture.online),
                correction_steps=len(self._run.mixture.demonstrations),
                replay_bytes=self._run.mixture.bytes_needed,
                learner=learner,
                most_steps=self._settings.steps,
                most_wall_s=60.0 * self._settings.minutes,
            )
        )

    def _keep(self) -> None:
        """Save learner and policy when it is time to."""
        now_s, settings = self.wall_s, self._settings
        if now_s - self._saved_s >= 60.0 * settings.save_minutes:
            self._run.save()
            self._save_policy(self._run.folder / POLICY_FOLDER)
            self._saved_s = now_s
        if settings.snapshot_minutes and now_s - self._snapshot_s >= 60.0 * settings.snapshot_minutes:
            name = f"{self._run.schedule.steps:07d}"
            self._save_policy(self._run.folder / SNAPSHOTS_FOLDER / name)
            self._snapshot_s = now_s

    def _save_policy(self, folder: Path) -> None:
        self._policy.load_weights(self._run.learner.acting_state())
        self._policy.save(folder, created_by="tutelage train hil-serl")
