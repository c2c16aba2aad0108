"""What makes a policy node an actor: steps to the learner, weights from it, and episodes that wait for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage_interfaces import msg as ti

from policies.hil_serl.actor import StepMaker
from policies.hil_serl.policy import HilSerlPolicy
from policies.hil_serl.step_joiner import StepJoiner
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.stream_actor import StreamActor
from policies.policy import Policy
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S, RobotContract
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.session import MOVING_STATES, DriveState
from tutelage_core.types import Observation
from tutelage_nodes import convert, topics
from tutelage_nodes.learner_link import LearnerLink
from tutelage_nodes.node import TutelageNode
from tutelage_nodes.truth import Truth

LOOK_S = 0.02
"""How often words, weights and steps are looked after [s]."""

LATE_S = 0.05
"""In real time what was executed before a pause or an end may be heard so long after it [s, steady]."""

DRAIN_S = 2.0
"""The outcome of an episode's last step is waited for so long at most [s, steady]."""

STEPS = 50
"""Depth of the topics that are joined."""


@dataclass(frozen=True)
class ExperienceSettings:
    """How a policy node acts for a learner.

    Attributes:
        actor: its name, unique among the actors of the learner.
        outbox: folder in which each actor keeps what the learner does not have yet.
        weights_when: `episode` or `now`.
        silence_s: a learner that says nothing for so long is not waited for [s].
        domain: ROS domain of the learner; None for the node's own.
        views: what is stored of each observation.
        in_step: think about an observation only when what was executed before it is known: in lock-step.
    """

    actor: str
    outbox: Path
    weights_when: str
    silence_s: float
    domain: int | None
    views: ViewsConfig
    in_step: bool


class Experience:
    """Joins what the policy saw, `/arm/executed` and the outcome into steps, and speaks with the learner."""

    def __init__(
        self,
        node: TutelageNode[Any],
        policy: Policy,
        contract: RobotContract,
        settings: ExperienceSettings,
        clock: Clock,
        think: Callable[[Observation], None],
    ) -> None:
        """Act on `node`.

        Args:
            node: whose topics are read.
            policy: what acts; it explores from now on.
            contract: of the robot.
            settings: for which learner, and how.
            clock: steady clock.
            think: called with an observation that `admits` has held back, once it is due.

        Raises:
            ConfigurationError: the policy does not learn online, or a setting is not legal.
            CheckpointError: the outbox is damaged, or another actor has it open.
        """
        if not isinstance(policy, HilSerlPolicy):
            raise ConfigurationError(f"learn_as: policy '{policy.spec.name}' does not learn online; hil_serl does")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", settings.actor):
            raise ConfigurationError(f"learn_as: '{settings.actor}' names a folder; use letters, digits, - and _ only")
        self._node, self._clock, self._think = node, clock, think
        self._in_step, self._period_ns = settings.in_step, contract.period_ns
        policy.explores = True
        views = StoredViews(policy, settings.views, 0)
        self._actor = StreamActor(
            policy,
            views.identity(contract.name),
            settings.actor,
            settings.outbox / settings.actor,
            clock,
            weights_when=settings.weights_when,
            silence_s=settings.silence_s,
        )
        self._truth = Truth()

        def maker() -> StepMaker:
            outbox = self._actor.outbox
            next_segment, was_cut = outbox.next_segment, outbox.is_cut
            return StepMaker(policy, views, settings.actor, next_segment=next_segment, after_restart=was_cut)

        self._joiner = StepJoiner(contract.period_ns, maker, self._truth.outcome, self._actor.put)
        self._held: Observation | None = None
        self._thought_ns = self._executed_ns = -1
        self._has_begun = False
        self._unsettled_ns: int | None = None
        self._pausing_ns: int | None = None
        self._stopped = False
        self._told = ""
        self._link = LearnerLink(f"actor_{settings.actor.replace('-', '_')}", settings.domain)
        node.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable(STEPS))
        node.create_subscription(ti.TaskStatus, topics.TWIN_TASK_STATUS, self._on_status, topics.reliable(STEPS))
        node.create_timer(LOOK_S, self._look)

    def objection(self) -> str:
        """Return why no episode may begin now, empty if one may."""
        if not self._node.count_publishers(topics.TWIN_TASK_STATUS):
            return f"nobody says what is a success on {topics.TWIN_TASK_STATUS}: is twin_node running?"
        now_ns = self._clock.now_ns()
        self._pause_when_due()
        if not self._joiner.is_settled:
            self._unsettled_ns = self._unsettled_ns or now_ns
            if now_ns - self._unsettled_ns < DRAIN_S * NS_PER_S:
                return "what came of the last episode's last step is not known yet"
            self._joiner.give_up(f"nothing was seen after it for {DRAIN_S:g} s")
        self._unsettled_ns = None
        self._look()
        return self._actor.objection()

    def begin(self, seed: int, not_before_ns: int) -> None:
        """Begin an episode, before the policy's own reset: it takes the newest weights now."""
        self._actor.renew()
        self._has_begun = True
        self._joiner.begin(seed, not_before_ns)
        self._held, self._thought_ns = None, -1

    def see(self, obs: Observation) -> None:
        """Take an observation of the robot, whether the policy thinks about it or not."""
        self._joiner.see(obs)
        self._send()

    def admits(self, obs: Observation) -> bool:
        """Return whether the policy may think about `obs` now; else it is held back until what went before is known.

        In lock-step a step that somebody else took, such as a person, is known to the policy before its next thought.
        """
        if self._is_due(obs):
            self._thought_ns = obs.stamp_ns
            return True
        self._held = obs
        return False

    def hear_session(self, message: ti.SessionState) -> None:
        """Follow who drives: a pause ends a segment, and the end of the episode the last one; a stop is a failure."""
        self._stopped = message.state == DriveState.STOPPED
        if message.episode and message.driver != "hand" and message.state in MOVING_STATES:
            self._pausing_ns = None
            self._joiner.resume()
        else:
            self._pausing_ns = self._pausing_ns or self._clock.now_ns()
            self._pause_when_due()

    def diagnose(self) -> tuple[str, dict[str, object]]:
        """Return what is wrong, empty if nothing is, and values worth seeing."""
        report = self._actor.report()
        values: dict[str, object] = {
            "learner_run": report.run,
            "steps_unacknowledged": report.unacknowledged,
            "steps_resent": report.resent,
            "steps_lost": self._joiner.lost,
            "weights_updates": report.applied,
            "weights_staleness": report.staleness,
            "weights_refused": report.refused,
        }
        return report.trouble or self._joiner.trouble, values

    def close(self) -> None:
        """Leave the learner's domain; what it does not have yet stays in the outbox."""
        self._link.close()
        self._actor.close()

    def _pause_when_due(self) -> None:
        patience_s = 0.0 if self._in_step else LATE_S
        if self._pausing_ns is not None and self._clock.now_ns() - self._pausing_ns >= patience_s * NS_PER_S:
            self._pausing_ns = None
            self._joiner.pause(failed=self._stopped)
            self._send()

    def _is_due(self, obs: Observation) -> bool:
        if not self._has_begun:  # started again in the middle of somebody's episode: nothing of it could be learnt from
            return False
        if not self._in_step:
            return True
        # an arm that stopped by itself lets time pass without any step: then none is waited for
        passed_by = self._thought_ns >= 0 and obs.stamp_ns - self._thought_ns > 1.5 * self._period_ns
        return passed_by or (self._executed_ns >= self._thought_ns and self._joiner.has_taken_all)

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        executed = convert.from_executed_msg(message)
        self._executed_ns = max(self._executed_ns, executed.stamp_ns)
        self._joiner.execute(executed)
        self._go_on()

    def _on_status(self, message: ti.TaskStatus) -> None:
        self._truth.hear(message)
        self._joiner.look()
        self._go_on()

    def _go_on(self) -> None:
        held = self._held
        if held is not None and self._is_due(held):
            self._held, self._thought_ns = None, held.stamp_ns
            self._think(held)
        self._send()

    def _send(self) -> None:
        if self._link.is_heard:
            for parcel in self._actor.to_send():
                self._link.send(parcel)

    def _look(self) -> None:
        self._pause_when_due()
        word, packet = self._link.heard()
        if packet is not None:
            self._actor.offer(packet)
        if word is not None:
            try:
                self._actor.hear(word)
            except CheckpointError as error:
                self._node.count("outbox_refusals")
                self._node.get_logger().error(str(error), throttle_duration_sec=1.0)
        self._send()
        trouble = self._actor.report().trouble
        if trouble != self._told:
            self._told = trouble
            if trouble:
                self._node.get_logger().warning(trouble)
