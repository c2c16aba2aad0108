"""One training run on the disk: replay, its log, learner and schedule, made again as they were after a kill.

::

    <folder>/replay/    every step, in sealed blocks (`replay_store`)
    <folder>/learner/   weights, moments and counters (`learner_state`), replaced as a whole

The log is sealed more often than the learner is saved, so a run that goes on may know more steps than its learner has
learnt from; the schedule then owes it those updates. Each update draws its batch by its own number: two runs with the
same steps, in the same order, make the same updates, whether or not one of them was stopped in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from policies.hil_serl.batch import ObservationShape, from_replay
from policies.hil_serl.config import HilSerlConfig
from policies.hil_serl.imitation import ImitationLearner
from policies.hil_serl.layout import ReplayIdentity
from policies.hil_serl.learner import Learner
from policies.hil_serl.learner_state import read_learner_state
from policies.hil_serl.metrics import Metrics, mean_metrics
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.replay import ReplayBuffer
from policies.hil_serl.replay_batch import empty_batch
from policies.hil_serl.replay_store import ReplayStore
from policies.hil_serl.schedule import UpdateSchedule
from policies.hil_serl.transition import Relabel, Step
from tutelage_core.clock import Clock
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Source

LEARNER_FOLDER = "learner"
REPLAY_FOLDER = "replay"
_VALUED = 256
"""Transitions of which the values on corrections and on the policy's own steps are taken."""


@dataclass(frozen=True)
class MemoryConfig:
    """How much is kept.

    Attributes:
        online: observations of the actors' replay; the oldest are overwritten.
        demonstrations: observations of demonstrations and interventions.
        limit_gib: most memory of both [GiB].
    """

    online: int = 100_000
    demonstrations: int = 30_000
    limit_gib: float = 4.0

    @property
    def limit_bytes(self) -> int:
        """Most memory of both [bytes]."""
        return round(self.limit_gib * 2**30)


@dataclass(frozen=True)
class StepValues:
    """What the critics think of steps that were taken; NaN where there were none of the kind.

    Attributes:
        corrections: mean Q of people's steps.
        policy: mean Q of the policy's own steps.
    """

    corrections: float
    policy: float


class TrainingRun:
    """Takes steps, makes the updates that they owe, and survives its own end. Use it as a context."""

    def __init__(
        self,
        folder: Path,
        config: HilSerlConfig,
        shape: ObservationShape,
        identity: ReplayIdentity,
        memory: MemoryConfig,
        clock: Clock,
        demonstrations: Iterable[Step] = (),
        *,
        created_by: str,
        may_lack_demonstrations: bool = False,
        begins_with: Path | None = None,
    ) -> None:
        """Begin a run in `folder`, or go on with the one that is there.

        Args:
            folder: of the run.
            config: every number of the algorithm.
            shape: of what the networks see.
            identity: whose data this is.
            memory: how much is kept.
            clock: for the time that the learner waits.
            demonstrations: their steps; they are not logged, since they have files of their own.
            created_by: program that writes.
            may_lack_demonstrations: draw online only until somebody shows something.
            begins_with: folder of another run, whose networks a new run begins with; its steps are not taken over.

        Raises:
            ConfigurationError: the memory is too small, the learner there is of another configuration, or there are no
                demonstrations and they may not be missing.
            CheckpointError: what is there is damaged, or another process has it open.
            ContractMismatchError: what is there is of another robot or layout.
        """
        self.folder = folder
        self._created_by = created_by
        self._may_lack = may_lack_demonstrations
        self.mixture = Mixture.allocate(
            identity.layout,
            memory.online,
            memory.demonstrations,
            limit_bytes=memory.limit_bytes,
            ratio=config.learner.demonstration_ratio,
        )
        for step in demonstrations:
            self.mixture.add_demonstration(step)
        if not may_lack_demonstrations:
            self.mixture.require_demonstrations()
        learner = folder / LEARNER_FOLDER
        kind = ImitationLearner if config.learner.imitates else Learner
        self.learner: Learner | ImitationLearner = (
            kind.load(learner, config) if learner.exists() else kind(config, shape)
        )
        if begins_with is not None and not learner.exists():
            if not isinstance(self.learner, Learner):
                raise ConfigurationError("imitation begins with no other run's networks: leave that out")
            self.learner.begin_with(read_learner_state(begins_with / LEARNER_FOLDER))
        self.store = ReplayStore(folder / REPLAY_FOLDER, identity, created_by=created_by)
        try:
            steps = sum(isinstance(event, Step) for event in self._restored())
        except BaseException:
            self.store.close()
            raise
        self.schedule = UpdateSchedule(config.schedule, clock, steps=steps, updates=self.learner.updates)
        self._room = empty_batch(identity.layout, config.learner.batch_size)

    def __enter__(self) -> TrainingRun:
        """Return the run itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Seal the log. The learner is saved by `save` only: after an error it may be what is wrong."""
        self.store.close()

    def take(self, event: Step | Relabel) -> bool:
        """Take a step or relabel of an actor; return False if it was there already.

        It is acknowledged only when `store.sealed_progress` names it, see `flush`.

        Raises:
            ReplayError: it does not fit, or is not the next one of its actor; nothing was changed.
            CheckpointError: a full block could not be written.
        """
        if isinstance(event, Relabel):
            self.mixture.relabel(event)
            return self.store.append(event)
        is_new = self.mixture.add(event)
        self.store.append(event)
        if is_new:
            self.schedule.stepped()
        return is_new

    def flush(self) -> None:
        """Seal what was taken: it then survives the end of this process and of the power."""
        self.store.flush()

    def learn(self, at_most: int) -> Metrics | None:
        """Make the updates that are due, at most so many; return their means, None if none was due.

        Raises:
            NonFiniteError: an update would have made something not finite; it was not made.
        """
        found: list[Metrics] = []
        for _ in range(min(self.schedule.due(), at_most)):
            rng = np.random.default_rng([self.learner.config.learner.seed, self.learner.updates])
            drawn = self.mixture.sample(len(self._room), rng, self._room, may_be_empty=self._may_lack)
            found.append(self.learner.update([from_replay(drawn)]))
            self.schedule.updated(1)
        return mean_metrics(found) if found else None

    def values(self) -> StepValues:
        """Return what the critics think of people's steps and of the policy's own, plain views, drawn by the seed."""
        return StepValues(
            self._mean_value(self.mixture.demonstrations, (Source.HUMAN,)),
            self._mean_value(self.mixture.online, (Source.POLICY,)),
        )

    def save(self) -> None:
        """Seal the log and write the learner, atomically.

        Raises:
            CheckpointError: a weight is not finite, or the disk is full.
        """
        self.store.flush()
        self.learner.save(self.folder / LEARNER_FOLDER, created_by=self._created_by)

    def _restored(self) -> Iterable[Step | Relabel]:
        for event in self.store.events():
            self.mixture.apply(event)
            yield event

    def _mean_value(self, replay: ReplayBuffer, sources: Sequence[Source]) -> float:
        slots = replay.sampleable
        slots = slots[np.isin(replay.arrays.source[slots], sources)]
        if not len(slots):
            return math.nan
        rng = np.random.default_rng([self.learner.config.learner.seed, self.learner.updates, 1])
        rows = rng.choice(slots, min(_VALUED, len(slots)), replace=False)
        batch = empty_batch(replay.layout, len(rows))
        replay.arrays.gather(rows, batch, 0, rng, plain_views=True)
        return float(self.learner.values_of(from_replay(batch)).mean())
