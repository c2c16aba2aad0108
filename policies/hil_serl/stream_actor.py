"""An actor's end of the learner's stream: steps out, weights in, and whether an episode may begin.

What holds an episode back is that the learner has not kept the last one yet, that it owes too many updates, or that its
newest weights are still on their way. None of that holds once the learner is silent: the actor then goes on with the
last good weights until its outbox is half full.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from policies.hil_serl.acknowledgement import Acknowledgement
from policies.hil_serl.layout import ReplayIdentity
from policies.hil_serl.outbox import Outbox, OutboxConfig, Parcel
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.step_codec import StepCodec
from policies.hil_serl.transition import Step
from policies.hil_serl.weights_stream import WeightsGate, WeightsPacket, WeightsRefusedError
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError, UnknownNameError

WEIGHTS_WHEN = ("episode", "now")

SILENCE_S = 3.0
"""A learner that says nothing for so long is not waited for, if nothing else is asked for [s, steady]."""


@dataclass(frozen=True)
class ActorReport:
    """How an actor's end of the stream does.

    Attributes:
        unacknowledged: steps that the learner has not kept yet.
        resent: steps that were sent again.
        applied: updates of the weights that it acts with; -1 while they are no learner's.
        staleness: updates of the learner's newest weights that those lack.
        refused: how often weights were refused.
        run: of the learner that spoke last; empty before any has.
        trouble: what is wrong, empty if nothing is.
    """

    unacknowledged: int
    resent: int
    applied: int
    staleness: int
    refused: int
    run: str
    trouble: str


class StreamActor:
    """Joins outbox and weights gate. Times are on the steady clock that it is given."""

    def __init__(
        self,
        policy: HilSerlPolicy,
        identity: ReplayIdentity,
        actor: str,
        folder: Path,
        clock: Clock,
        *,
        weights_when: str = "episode",
        outbox: OutboxConfig | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        """Open the outbox of `actor` in `folder`.

        Args:
            policy: what acts.
            identity: of its steps.
            actor: its name, unique among the actors of the learner.
            folder: where its steps are kept until the learner has them.
            clock: steady clock.
            weights_when: one of `WEIGHTS_WHEN`: new weights are taken when an episode begins, or when they come.
            outbox: how much is kept.
            silence_s: a learner that says nothing for so long is not waited for [s].

        Raises:
            UnknownNameError: there is no such time to take weights.
            ConfigurationError: the silence is not positive.
            CheckpointError: the outbox is damaged, or another process has it open.
            ContractMismatchError: it holds steps of another robot, trunk or layout.
        """
        if weights_when not in WEIGHTS_WHEN:
            raise UnknownNameError("time to take weights", weights_when, WEIGHTS_WHEN)
        if not silence_s > 0.0:
            raise ConfigurationError(f"a learner's silence must be positive, got {silence_s} s")
        self._at_once = weights_when == "now"
        self._silence_ns = round(silence_s * NS_PER_S)
        self._clock = clock
        self._gate = WeightsGate(policy, identity)
        self._packet: WeightsPacket | None = None
        self._heard_ns: int | None = None
        self._begun_ns = clock.now_ns()
        self.outbox = Outbox(folder, actor, StepCodec(identity), outbox)

    @property
    def learner_is_heard(self) -> bool:
        """Whether the learner has spoken lately."""
        return self._heard_ns is not None and self._clock.now_ns() - self._heard_ns <= self._silence_ns

    def hear(self, word: Acknowledgement) -> None:
        """Take a word of the learner.

        Raises:
            CheckpointError: the disk does not take the name of its run.
        """
        self._heard_ns = self._clock.now_ns()
        self.outbox.acknowledge(word, self._heard_ns)

    def offer(self, packet: WeightsPacket) -> None:
        """Take new weights; only the newest are kept until they are looked at."""
        self._packet = packet
        if self._at_once:
            self.renew()

    def renew(self) -> bool:
        """Give the policy the newest weights if they are good; return whether it has others now."""
        self._look_at_weights()
        return self._gate.apply()

    def objection(self) -> str:
        """Return why no episode may begin now, empty if one may; new weights are looked at, so ask between episodes."""
        word = self.outbox.word
        if (objection := self.outbox.objection()) or word is None:
            return objection
        self._look_at_weights()
        if self._gate.good is None or self._gate.run != word.run:
            return self._gate.trouble or "the learner's weights have not come yet"
        if not self.learner_is_heard:
            return ""
        if len(self.outbox):
            return f"the learner has not kept {len(self.outbox)} steps yet"
        if word.wait:
            return "the learner owes too many updates"
        if self._gate.heard is None or self._gate.heard < word.newest:
            return f"the learner's weights of {word.newest.updates} updates have not come yet"
        return ""

    def put(self, step: Step) -> bool:
        """Keep a step and return whether there is room for more.

        Raises:
            ReplayError: no learner takes it; nothing changed.
        """
        applied = self._gate.applied
        self.outbox.put(step, -1 if applied is None else applied.updates)
        return not self.outbox.is_full

    def to_send(self) -> list[Parcel]:
        """Return the steps that have to be sent now."""
        return self.outbox.to_send(self._clock.now_ns())

    def report(self) -> ActorReport:
        """Return how the stream does."""
        word, applied = self.outbox.word, self._gate.applied
        has = -1 if applied is None else applied.updates
        staleness = 0 if word is None or applied is None else max(0, word.newest.updates - has)
        trouble = self._gate.trouble or self.outbox.trouble
        is_new = self._clock.now_ns() - self._begun_ns <= self._silence_ns
        if not trouble and not self.learner_is_heard and not is_new:
            trouble = "the learner is silent: is learner_node running?"
        run = "" if word is None else word.run
        return ActorReport(len(self.outbox), self.outbox.resent, has, staleness, self._gate.refused, run, trouble)

    def close(self) -> None:
        """Sync what is kept, and let go of the folder."""
        self.outbox.close()

    def _look_at_weights(self) -> None:
        packet, self._packet = self._packet, None
        try:
            if packet is not None:
                self._gate.offer(packet)
        except WeightsRefusedError:
            pass  # counted and told by the gate; those in use stay
