"""The learner's end of the stream: steps of any number of actors in, one update after the other, words and weights out.

A step is acknowledged once it is on the disk; what the process had taken but not sealed when it was killed comes again.
Weights go out when the debt of an episode is paid, and every so often while it is not; a word that names them follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from policies.hil_serl.acknowledgement import Acknowledgement, WeightsVersion
from policies.hil_serl.canary import ROWS, canary_batch
from policies.hil_serl.finiteness import NonFiniteError
from policies.hil_serl.layout import ReplayIdentity
from policies.hil_serl.learner_report import LearnerReport
from policies.hil_serl.metrics import Metrics
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.run_name import RunStart
from policies.hil_serl.segments import Progress
from policies.hil_serl.step_codec import StepCodec, StepLabel
from policies.hil_serl.training_run import TrainingRun
from policies.hil_serl.transition import ReplayError, step_name
from policies.hil_serl.weights_stream import WeightsPacket, pack_weights
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CheckpointError, ConfigurationError, TutelageError

POLICY_FOLDER = "policy"
"""Where in the run's folder the policy stands; an actor begins with it."""

_REFUSAL_S = 30.0
"""A refusal is told for so long; what holds a stream up comes again sooner (`OutboxConfig.longest_wait_s`) [s]."""

_RECENT = 1000
"""Steps over which the staleness is reported."""


@dataclass(frozen=True)
class StreamConfig:
    """How often something is written or sent.

    Attributes:
        flush_s: steps are sealed, and acknowledged, after so long at the latest; at once where a segment ends [s].
        publish_s: while updates are owed, weights go out this often [s].
        save_s: the learner is saved this often [s].
        word_s: a word is said this often, though nothing has changed [s].
        most_unsealed: steps that are taken while the disk takes none.
    """

    flush_s: float = 1.0
    publish_s: float = 10.0
    save_s: float = 120.0
    word_s: float = 0.5
    most_unsealed: int = 2048

    def __post_init__(self) -> None:
        """Refuse intervals that are none."""
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"StreamConfig: {name} must be positive and finite, got {value}")


class StreamLearner:
    """Feeds a training run from a stream. Call `take` for each message and `work` again and again, in one thread."""

    def __init__(
        self,
        run: TrainingRun,
        policy: HilSerlPolicy,
        identity: ReplayIdentity,
        name: RunStart,
        config: StreamConfig,
        clock: Clock,
        *,
        say: Callable[[Acknowledgement], None],
        publish: Callable[[WeightsPacket], None],
        created_by: str,
    ) -> None:
        """Begin, write the policy that there is, and publish its weights.

        Args:
            run: is learnt in.
            policy: takes the learner's weights, so that they can be tried, saved and published.
            identity: of the steps.
            name: of the run.
            config: how often something is written or sent.
            clock: steady clock.
            say: sends a word to the actors.
            publish: sends weights to them.
            created_by: program that writes.
        """
        self._run, self._policy, self._identity, self._name = run, policy, identity, name
        self._config, self._clock, self._created_by = config, clock, created_by
        self._say, self._publish = say, publish
        self._codec = StepCodec(identity)
        self._canary = canary_batch(run.mixture)
        self._refusals: dict[str, tuple[str, int]] = {}
        self._actors: dict[str, int] = {}
        self._stale: deque[int] = deque(maxlen=_RECENT)
        self._metrics: Metrics | None = None
        self._seal_wanted = self._pays_off = self._waits = self._stopped = False
        self._learning_trouble = self._disk_trouble = ""
        self._refused = self._duplicates = 0
        now_ns = clock.now_ns()
        self._flushed_ns = self._saved_ns = self._reported_ns = now_ns
        self._reported_updates = run.learner.updates
        self._publish_weights(now_ns)
        self._save_policy()
        self._word = self._tell(now_ns)

    def take(self, data: bytes) -> None:
        """Take a message of an actor; one that is no step, or not the next one, is refused and counted."""
        actor = ""
        try:
            label = self._codec.label(data)
            actor = label.actor
            if self._run.store.unsealed >= self._config.most_unsealed:
                raise CheckpointError(f"the learner's disk takes nothing: {self._disk_trouble}")
            so_far = self._run.mixture.online.progress.get(actor)
            if so_far is not None and (label.segment, label.index) < (so_far.segment, so_far.next_index):
                self._duplicates += 1
                self._refusals.pop(actor, None)
                return
            _refuse_gap(label, so_far)
            step = self._codec.decode(data)
            self._run.take(step)
        except TutelageError as error:
            self._refused += 1
            self._refusals[actor] = (str(error), self._clock.now_ns())
            return
        self._refusals.pop(actor, None)
        self._actors[actor] = self._actors.get(actor, 0) + 1
        self._seal_wanted = self._seal_wanted or step.ends_segment
        self._pays_off = self._pays_off or step.ends_segment
        if label.updates >= 0:
            self._stale.append(max(0, self._run.learner.updates - label.updates))

    def work(self) -> bool:
        """Seal, make at most one update, publish and save what is due; return whether an update was made."""
        now_ns = self._clock.now_ns()
        self._seal_when_due(now_ns)
        learnt = self._learn()
        # in the same call as the last update: a word in between would let an episode begin without these weights
        self._publish_when_due(now_ns, idle=not learnt or not self._run.schedule.due())
        if now_ns - self._saved_ns >= self._config.save_s * NS_PER_S:
            self.save()
        self._waits = not self._learning_trouble and (self._run.schedule.actor_should_wait or (self._waits and learnt))
        if self.word() != self._word or now_ns - self._told_ns >= self._config.word_s * NS_PER_S:
            self._word = self._tell(now_ns)
        return learnt

    def word(self) -> Acknowledgement:
        """Return what the actors should know now."""
        return Acknowledgement(
            self._name.run,
            WeightsVersion(self._name.start, self._published),
            self._run.store.sealed_progress,
            {actor: why for actor, why in self._standing_refusals().items() if actor},
            self._waits,
        )

    def save(self) -> None:
        """Seal the log, write learner and policy; what stands against it is told in the report."""
        self._saved_ns = self._clock.now_ns()
        try:
            self._run.save()
            self._save_policy()
            self._disk_trouble = ""
        except CheckpointError as error:
            self._disk_trouble = str(error)

    def close(self) -> None:
        """Save, and let go of the run's folder."""
        self.save()
        self._run.store.close()

    def report(self) -> LearnerReport:
        """Return how the learner does."""
        now_ns, updates = self._clock.now_ns(), self._run.learner.updates
        elapsed_s = max(1, now_ns - self._reported_ns) / NS_PER_S
        pace = (updates - self._reported_updates) / elapsed_s
        self._reported_ns, self._reported_updates = now_ns, updates
        return LearnerReport(
            self._name,
            self._run.schedule.report(),
            self._published,
            pace,
            sum(self._stale) / len(self._stale) if self._stale else 0.0,
            max(self._stale, default=0),
            len(self._run.mixture.online),
            len(self._run.mixture.demonstrations),
            self._run.store.unsealed,
            self._duplicates,
            self._standing_refusals(),
            self._refused,
            dict(self._actors),
            self._metrics,
            self._learning_trouble or self._disk_trouble,
        )

    def _standing_refusals(self) -> dict[str, str]:
        """Return what was refused lately: an actor sends again, a stranger does not."""
        since_ns = self._clock.now_ns() - round(_REFUSAL_S * NS_PER_S)
        return {actor: why for actor, (why, at_ns) in self._refusals.items() if at_ns >= since_ns}

    def _seal_when_due(self, now_ns: int) -> None:
        overdue = now_ns - self._flushed_ns >= self._config.flush_s * NS_PER_S
        # a disk that takes nothing is not asked each time
        if not self._run.store.unsealed or not (overdue or (self._seal_wanted and not self._disk_trouble)):
            return
        self._flushed_ns, self._seal_wanted = now_ns, False
        try:
            self._run.flush()
            self._disk_trouble = ""
        except CheckpointError as error:
            self._disk_trouble = str(error)

    def _learn(self) -> bool:
        if self._stopped:
            return False
        try:
            found = self._run.learn(1)
            self._learning_trouble = ""
        except NonFiniteError as error:
            self._stopped, self._learning_trouble = True, f"nothing is learnt any more: {error}"
            return False
        except (ReplayError, ConfigurationError) as error:
            self._learning_trouble = f"nothing can be learnt yet: {error}"
            return False
        self._metrics = found or self._metrics
        return found is not None

    def _publish_when_due(self, now_ns: int, *, idle: bool) -> None:
        overdue = now_ns - self._published_ns >= self._config.publish_s * NS_PER_S
        if self._run.learner.updates != self._published and (overdue or (idle and self._pays_off)):
            self._publish_weights(now_ns)
        if idle:
            self._pays_off = False

    def _publish_weights(self, now_ns: int) -> None:
        if len(self._canary.state) <= ROWS:
            self._canary = canary_batch(self._run.mixture)
        self._policy.load_weights(self._run.learner.acting_state())
        self._published, self._published_ns = self._run.learner.updates, now_ns
        version = WeightsVersion(self._name.start, self._published)
        self._publish(pack_weights(self._policy, self._identity, self._name.run, version, self._canary))

    def _save_policy(self) -> None:
        self._policy.load_weights(self._run.learner.acting_state())
        self._policy.save(self._run.folder / POLICY_FOLDER, created_by=self._created_by)

    def _tell(self, now_ns: int) -> Acknowledgement:
        word = self.word()
        self._told_ns = now_ns
        self._say(word)
        return word


def _refuse_gap(label: StepLabel, so_far: Progress | None) -> None:
    """Refuse a segment before the end of the one before, which its replay would take for lost if that was cut off."""
    if label.index > 0 or label.follows < 0:
        return
    if so_far is None or (so_far.segment == label.segment - 1 and so_far.next_index <= label.follows):
        missing = step_name(label.actor, label.segment - 1, label.follows)
        raise ReplayError(f"{label.name}: {missing} is missing; send it first")
