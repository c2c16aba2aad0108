"""The stream of commands to the arm: one a control period, from what policy, hand, arm and ground truth say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode

from tutelage_core.chunks import SeamSettings
from tutelage_core.clock import Clock
from tutelage_core.contract import RobotContract
from tutelage_core.session import MOVING_STATES, DriveState, Session
from tutelage_core.types import EpisodeResult, FloatArray, Pose
from tutelage_nodes import convert, topics
from tutelage_nodes.drive import Drive
from tutelage_nodes.episode_runner import Episode
from tutelage_nodes.hand import Hand
from tutelage_nodes.lockstep_hand import LockstepHand
from tutelage_nodes.node import TutelageNode
from tutelage_nodes.peers import Peers
from tutelage_nodes.stages import Stages

LATCHED = "LATCHED"
FEEDBACK_EVERY = 5
"""So many steps from one feedback of the action to the next."""


class CommandStream:
    """Sends a command when one is due, and ends the episode that is over.

    The beat is set by the policy's chunk, or by the timer where none comes or a hand drives; in lock-step by the
    observation that is to be answered.
    """

    def __init__(
        self,
        node: TutelageNode[Any],
        contract: RobotContract,
        clock: Clock,
        session: Session,
        hand: Hand | LockstepHand,
        peers: Peers,
        *,
        sender: str,
        lockstep: bool,
        speed: float,
        seams: SeamSettings,
        episode: Callable[[], Episode],
        finish: Callable[[str, str], None],
        give_up: Callable[[str], None],
        on_state: Callable[[], None],
    ) -> None:
        """Open the topics on `node`.

        Args:
            node: whose they are.
            contract: of the robot.
            clock: steady clock.
            session: who drives.
            hand: whose steps are sent while it drives.
            peers: hear of each state of the arm.
            sender: name that the commands carry.
            lockstep: whether time waits for the command.
            speed: seconds of simulated time per second of `clock`.
            seams: how one chunk goes over into the next.
            episode: returns the episode that runs, or the nothing between two.
            finish: ends it, with its termination and a message.
            give_up: breaks off what goes on before an episode, and takes why.
            on_state: called in lock-step with each new state of the arm that no episode waits for.
        """
        self._node, self._steady, self._session, self._hand, self._peers = node, clock, session, hand, peers
        self._lockstep, self._speed, self._seams = lockstep, speed, seams
        self._episode, self._finish, self._give_up, self._on_new_state = episode, finish, give_up, on_state
        self._limits, self._period_ns, self._sender = contract.safety, contract.period_ns, sender
        self._stages = Stages(clock)
        # what was last seen outlives a restart: the first observation of an episode may be there already
        self._state_ns = self._status_ns = -1
        self._status: ti.TaskStatus | None = None
        self._gripper = 1.0
        self.measured: Pose | None = None
        """Where the TCP is, base frame; None before the first state."""
        self.restart()
        self._command_pub = node.create_publisher(ti.ArmCommand, topics.ARM_COMMAND, topics.reliable())
        node.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        node.create_subscription(ti.TaskStatus, topics.TWIN_TASK_STATUS, self._on_status, topics.reliable())
        node.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, self._on_chunk, topics.reliable())
        node.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())

    @property
    def is_heard(self) -> bool:
        """Whether somebody takes the commands."""
        return self._command_pub.get_subscription_count() > 0

    @property
    def starved(self) -> int:
        """How often a step was due and no chunk had one."""
        return self._drive.arbiter.starved

    def restart(self, replan_every: int = 1) -> None:
        """Begin a new stream; ask for a chunk every `replan_every` steps."""
        self._drive = Drive(self._limits, self._period_ns, self._sender, replan_every, self._seams)
        self.note_progress()

    def begin(self, replan_every: int) -> None:
        """Begin the stream of an episode."""
        self.restart(replan_every)
        self._drive.arbiter.restart(self._gripper)
        self._stages.restart()
        if self._episode().is_by_hand:  # no chunk will set the beat
            self._drive.pulse.sent(self._now_ns(), round(self._steady.now_ns() * self._speed))

    def result(self, termination: str, failure: str) -> EpisodeResult:
        """Return how the episode ended; without a kind of `failure`, with the one that the ground truth names."""
        failure = failure or (self._status.failure if self._status is not None else "")
        return self._drive.result(termination, self._stages.means_ms(), failure)

    def hand_over(self) -> None:
        """Forget what was planned: somebody else drives from now on."""
        self._drive.arbiter.hand_over()

    def hand_back(self) -> None:
        """Let the policy come to full speed again; its chunk for this observation is of after the hand let go."""
        chunk = self._drive.chunks.chunk
        self._drive.arbiter.hand_over()
        if chunk is not None:
            self._drive.chunks.add(chunk)

    def follow_phrase(self, phrase: str) -> None:
        """Count what the policy does on this phrase as a person's correction."""
        self._drive.arbiter.set_phrase(phrase)

    def note_progress(self) -> None:
        """Note that things go on."""
        self._progress_ns = self._steady.now_ns()

    def waits_in_vain(self, patience_ns: float) -> str:
        """Return what has not come for `patience_ns` [ns, steady], empty while things go on."""
        if self._steady.now_ns() - self._progress_ns <= patience_ns:
            return ""
        return "the policy's chunk" if self._drive.chunks.wants_chunk(self._state_ns) else "the arm"

    def stamp_ns(self) -> int:
        """Return the stamp of what is recorded now, on the clock of the data [ns]."""
        return max(self._state_ns, 0) if self._lockstep else self._now_ns()

    def send_home(self, step: FloatArray) -> None:
        """Send a step of the way home, shape (7,) [m, rad, 0..1]."""
        self._drive.arbiter.set_homing_step(step)
        self._send(self.stamp_ns())

    def look(self) -> None:
        """Send what the timer makes due; call it often."""
        if self._lockstep or not self._drives():
            return
        by_policy = self._session.state is DriveState.AUTONOMOUS
        due_ns = self._drive.pulse.due_for_timer(round(self._steady.now_ns() * self._speed), for_policy=by_policy)
        if due_ns is not None and not by_policy:
            due_ns = max(due_ns, self._now_ns())  # no chunk sets the stamps right again: they would fall behind
        self._send(due_ns)

    # what the others say

    def _on_state(self, message: ti.ArmState) -> None:
        self._gripper = message.gripper_opening
        self.measured = convert.from_pose_msg(message.pose)
        self._peers.arm_spoke()
        stamp_ns = convert.to_ns(message.header.stamp)
        if stamp_ns > self._state_ns:
            self._state_ns = stamp_ns
            self._stages.event("observation", {"executed": "world"})
            if self._lockstep and not self._episode().runs:
                self._on_new_state()
        self.pulse_lockstep()

    def _on_status(self, message: ti.TaskStatus) -> None:
        self._status, self._status_ns = message, convert.to_ns(message.header.stamp)
        if not self._lockstep:
            self._drives()
        self.pulse_lockstep()

    def _on_chunk(self, message: ti.ActionChunk) -> None:
        try:
            chunk = convert.from_chunk_msg(message)
            taken = self._drive.take(chunk, self._episode().not_before_ns, self.stamp_ns())
        except ValueError as error:
            self._node.count("refused_chunks")
            self._node.get_logger().error(str(error), throttle_duration_sec=1.0)
            if self._drive.is_hopeless and self._episode().runs:
                self._finish("error", f"{self._drive.bad_chunks} chunks in a row were refused, the last: {error}")
            return
        if not taken:
            self._node.count("old_chunks")
            return
        self._stages.event("chunk", {"observation": "policy"})
        self._stages.add("inference", message.inference_s * 1e3)
        if self._lockstep:
            self.pulse_lockstep()
        elif self._drives():
            self._send(self._drive.pulse.due_for_chunk())

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self._stages.event("executed", {"command": "gate"})
        self._drive.interventions += bool(message.reasons)
        if LATCHED in message.reasons:
            why = "the arm's gate is latched: look why, then send CLEAR_STOP"
            self._give_up(why)
            if self._episode().runs:
                self._finish("stopped", why)
        self.note_progress()

    # what is sent

    def _now_ns(self) -> int:
        """Return the time on the clock of stamps [ns]: the node's own, or in simulated time the newest state's."""
        return self._node.get_clock().now().nanoseconds if self._speed == 1.0 else self._state_ns

    def pulse_lockstep(self) -> None:
        """Answer the observation at hand once arm state, ground truth, chunk and hand of its instant are all there."""
        if not self._lockstep or self._status_ns != self._state_ns:
            return
        if isinstance(self._hand, LockstepHand) and self._hand.stamp_ns != self._state_ns:
            return
        if self._state_ns >= self._episode().not_before_ns and self._drives():
            self._send(self._drive.pulse.due_for_observation(self._state_ns))

    def _send(self, stamp_ns: int | None) -> None:
        if stamp_ns is None:
            return
        steady_ns = round(self._steady.now_ns() * self._speed)
        command = self._drive.command(self._session.state, stamp_ns, steady_ns, self._hand.step)
        self._stages.event("command", {})
        self._command_pub.publish(convert.to_arm_command_msg(command))
        handle = self._episode().handle
        if handle is not None and self._drive.steps % FEEDBACK_EVERY == 0:
            progress = self._status.progress if self._status is not None else math.nan
            state = str(self._session.state)
            handle.publish_feedback(RunEpisode.Feedback(step=self._drive.steps, state=state, progress=progress))

    def _is_done(self, since_ns: int) -> bool:
        return self._status is not None and self._status_ns >= since_ns and self._status.success

    def _drives(self) -> bool:
        """Return whether an episode runs and somebody drives it; an episode that is over ends here."""
        episode = self._episode()
        if not episode.runs:
            return False
        if episode.handle is not None and episode.handle.is_cancel_requested:
            self._finish("stopped", "cancelled")
        elif not episode.is_blind and self._is_done(episode.not_before_ns):
            self._finish("success", "")
        elif self._drive.steps >= episode.limit and not (self._lockstep and self._drive.pulse.waits(self._state_ns)):
            self._finish("time_limit", "")
        # a paused robot is told to hold, again and again; in lock-step simulated time stands still instead
        return self._episode().runs and (self._session.state in MOVING_STATES or not self._lockstep)
