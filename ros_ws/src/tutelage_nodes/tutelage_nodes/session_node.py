"""Who drives, and one episode after the other: reset, drive, end on success, label, time limit or stop."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from rclpy.task import Future
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode

from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import UnknownNameError
from tutelage_core.session import MOVING_STATES, DriveEvent, DriveState, Session
from tutelage_core.types import FloatArray, Pose
from tutelage_nodes import convert, topics
from tutelage_nodes.drive import Drive
from tutelage_nodes.episode_runner import EpisodeRunner
from tutelage_nodes.episode_setup import EpisodeSetup, Scene
from tutelage_nodes.hand import Hand
from tutelage_nodes.home import Home
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.operator_desk import OperatorDesk
from tutelage_nodes.peers import Peers
from tutelage_nodes.preparation import Preparation
from tutelage_nodes.stages import Stages

LATCHED = "LATCHED"
LOOK_S = 0.5
"""How often a lock-step session looks whether it stands still [s]."""


@dataclass(frozen=True)
class SessionNodeParameters:
    """Parameters of `session_node`.

    Attributes:
        robot: name of the robot's contract.
        time: wall, or data (lock-step: one command for each observation).
        patience_s: without progress for so long an episode ends with an error [s, steady].
        speed: seconds of simulated time per second of the steady clock; 1 for a robot.
        policy_silence_s: a policy that gives no sign of life for so long is dead: the arm holds [s, steady].
    """

    robot: str = "twin"
    time: str = "wall"
    patience_s: float = 10.0
    speed: float = 1.0
    policy_silence_s: float = 0.25


class SessionNode(TutelageNode[SessionNodeParameters]):
    """Joins chunks, hand, drive state and ground truth into one stream of commands."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("session_node", SessionNodeParameters)

    def setup(self) -> None:
        """Open topics, services and the action."""
        if self.params.time not in ("wall", "data"):
            raise UnknownNameError("time", self.params.time, ("wall", "data"), "node session_node")
        contract = load_contract(self.params.robot)
        self._lockstep = self.params.time == "data"
        self._steady = SteadyClock()
        self._session = Session()
        self._limits, self._name = contract.safety, f"{self.get_name()}-{os.getpid()}"
        self._stages = Stages(self._steady)
        # what was last seen outlives a restart: the first observation of an episode may be there already
        self._state_ns = self._status_ns = -1
        self._measured: Pose | None = None
        self._status: ti.TaskStatus | None = None
        self._gripper, self._period_ns = 1.0, contract.period_ns
        self._restart_drive(replan_every=1)
        is_twin = contract.arm.driver == "twin"
        self._peers = Peers(self, self._steady, self.params.policy_silence_s, lockstep=self._lockstep)
        self._setup = EpisodeSetup(self, self._name, lambda: self._command_pub.get_subscription_count() > 0)
        period_s = contract.period_ns / NS_PER_S
        self._hand = Hand(self, self._steady, period_s, self._limits, self._on_hand)
        self._state_pub = self.create_publisher(ti.SessionState, topics.SESSION_STATE, topics.latched())
        self._command_pub = self.create_publisher(ti.ArmCommand, topics.ARM_COMMAND, topics.reliable())
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_subscription(ti.TaskStatus, topics.TWIN_TASK_STATUS, self._on_status, topics.reliable())
        self.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, self._on_chunk, topics.reliable())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())
        self._preparation = Preparation(
            self._session,
            self._setup,
            None if is_twin else Home(contract, self._steady),
            lockstep=self._lockstep,
            restart=lambda: self._restart_drive(replan_every=1),
            ask_person=self._ask_person,
        )
        self._runner = EpisodeRunner(
            self,
            self._session,
            self._setup,
            prepare=self._preparation.prepare,
            scene_needed=is_twin,
            begin=self._begin,
            publish_state=self.publish_state,
        )
        self._desk = OperatorDesk(self, self._session, self._setup, self._runner, self)
        # in lock-step the timer only looks for a stand-still
        self.create_timer(LOOK_S if self._lockstep else period_s / 10, self._on_timer)
        self.publish_state("started")

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say who drives."""
        return True, str(self._session.state), {"starved": self._drive.arbiter.starved, **self._hand.counters}

    # what the operator's desk asks for

    def finish(self, termination: str, message: str = "", failure: str = "") -> None:
        """End the episode that runs."""
        failure = failure or (self._status.failure if self._status is not None else "")
        self._runner.finish(self._drive.result(termination, self._stages.means_ms(), failure), message)

    def hand_over(self) -> None:
        """Forget what was planned: somebody else drives from now on."""
        self._drive.arbiter.hand_over()

    def follow_phrase(self, phrase: str) -> None:
        """Count what the policy does on this phrase as a person's correction."""
        self._drive.arbiter.set_phrase(phrase)

    def give_up(self, why: str) -> None:
        """Break off what goes on before an episode."""
        self._desk.end_wait(why)
        self._preparation.give_up(why)

    def publish_state(self, reason: str) -> None:
        """Say who drives, and why."""
        episode = self._runner.episode
        message = ti.SessionState(
            state=str(self._session.state), task=episode.instruction, episode=episode.name, reason=reason
        )
        message.driver = "" if episode.goal is None else "hand" if episode.is_by_hand else "policy"
        # as everything that is recorded, on the clock of the data
        stamp_ns = max(self._state_ns, 0) if self._lockstep else self._now_ns()
        message.header.stamp = convert.to_time(stamp_ns)
        self._state_pub.publish(message)

    def _ask_person(self, what: str) -> Future:
        self.publish_state(what)
        return self._desk.wait_for_start()

    def _begin(self, scene: Scene) -> None:
        self._restart_drive(scene.replan_every)
        self._drive.arbiter.restart(self._gripper)
        self._stages.restart()
        self._peers.note_alive()  # they have just answered
        if self._runner.episode.is_by_hand:  # no chunk will set the beat
            self._drive.pulse.sent(self._now_ns(), round(self._steady.now_ns() * self.params.speed))

    def _restart_drive(self, replan_every: int) -> None:
        self._drive = Drive(self._limits, self._period_ns, self._name, replan_every)
        self._progress_ns = self._steady.now_ns()

    # what the others say

    def _on_state(self, message: ti.ArmState) -> None:
        self._gripper = message.gripper_opening
        self._measured = convert.from_pose_msg(message.pose)
        self._peers.arm_spoke()
        stamp_ns = convert.to_ns(message.header.stamp)
        if stamp_ns > self._state_ns:
            self._state_ns = stamp_ns
            self._stages.event("observation", {"executed": "world"})
        self._pulse_lockstep()

    def _on_status(self, message: ti.TaskStatus) -> None:
        self._status, self._status_ns = message, convert.to_ns(message.header.stamp)
        if not self._lockstep:
            self._drives()
        self._pulse_lockstep()

    def _on_chunk(self, message: ti.ActionChunk) -> None:
        try:
            chunk = convert.from_chunk_msg(message)
            taken = self._drive.take(chunk, self._runner.episode.not_before_ns)
        except ValueError as error:
            self.count("refused_chunks")
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            if self._drive.is_hopeless and self._runner.episode.runs:
                self.finish("error", f"{self._drive.bad_chunks} chunks in a row were refused, the last: {error}")
            return
        if not taken:
            self.count("old_chunks")
            return
        self._stages.event("chunk", {"observation": "policy"})
        self._stages.add("inference", message.inference_s * 1e3)
        if self._lockstep:
            self._pulse_lockstep()
        elif self._drives():
            self._send(self._drive.pulse.due_for_chunk())

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self._stages.event("executed", {"command": "gate"})
        self._drive.interventions += bool(message.reasons)
        if LATCHED in message.reasons:
            why = "the arm's gate is latched: look why, then send CLEAR_STOP"
            self.give_up(why)
            if self._runner.episode.runs:
                self.finish("stopped", why)
        self._progress_ns = self._steady.now_ns()

    def _on_hand(self, event: DriveEvent, why: str) -> None:
        """Follow enabling key and buttons: a hand takes over, and letting go pauses."""
        if event in (DriveEvent.STOP, DriveEvent.START, DriveEvent.PAUSE):
            self.executor.create_task(self._desk.apply, event, why)
        elif not self._lockstep and self._runner.episode.runs and self._session.apply(event):
            self.hand_over()
            self.publish_state(why)

    # the stream of commands

    def _on_timer(self) -> None:
        now_ns = self._steady.now_ns()
        self._hand.look()
        if self._session.state is DriveState.PAUSED:
            self._progress_ns = now_ns  # somebody thinks: that is no stand-still
        if self._runner.episode.runs:
            self._mind_the_others(now_ns)
        else:
            self._preparation.look(self._measured, self._peers.arm_trouble(), self._send_home)
        if not self._lockstep and self._drives():
            by_policy = self._session.state is DriveState.AUTONOMOUS
            due_ns = self._drive.pulse.due_for_timer(round(now_ns * self.params.speed), for_policy=by_policy)
            if due_ns is not None and not by_policy:
                due_ns = max(due_ns, self._now_ns())  # no chunk sets the stamps right again: they would fall behind
            self._send(due_ns)

    def _mind_the_others(self, now_ns: int) -> None:
        """Pause when the policy has died, and end the episode when the arm has or nothing goes on."""
        if self._session.state is DriveState.AUTONOMOUS and (trouble := self._peers.policy_trouble()):
            self._session.apply(DriveEvent.PAUSE)
            self.hand_over()
            self.publish_state(f"{trouble}; then START")
        if trouble := self._peers.arm_trouble():
            self.finish("error", trouble)
        elif now_ns - self._progress_ns > self.params.patience_s * NS_PER_S:
            waiting = "the policy's chunk" if self._drive.chunks.wants_chunk(self._state_ns) else "the arm"
            self.finish("error", f"no progress for {self.params.patience_s:g} s: waiting for {waiting}")

    def _send_home(self, step: FloatArray) -> None:
        self._drive.arbiter.set_homing_step(step)
        self._send(self._now_ns())

    def _now_ns(self) -> int:
        """Return the time on the clock of stamps [ns]: the node's own, or in simulated time the newest state's."""
        return self.get_clock().now().nanoseconds if self.params.speed == 1.0 else self._state_ns

    def _pulse_lockstep(self) -> None:
        """Answer the observation at hand once arm state, ground truth and chunk of its instant are all there."""
        if not self._lockstep or self._status_ns != self._state_ns:
            return
        if self._state_ns >= self._runner.episode.not_before_ns and self._drives():
            self._send(self._drive.pulse.due_for_observation(self._state_ns))

    def _send(self, stamp_ns: int | None) -> None:
        if stamp_ns is None:
            return
        steady_ns = round(self._steady.now_ns() * self.params.speed)
        command = self._drive.command(self._session.state, stamp_ns, steady_ns, self._hand.step)
        self._stages.event("command", {})
        self._command_pub.publish(convert.to_arm_command_msg(command))
        handle = self._runner.episode.handle
        if handle is not None and self._drive.steps % 5 == 0:
            progress = self._status.progress if self._status is not None else math.nan
            state = str(self._session.state)
            handle.publish_feedback(RunEpisode.Feedback(step=self._drive.steps, state=state, progress=progress))

    def _drives(self) -> bool:
        """Return whether an episode runs and somebody drives it; an episode that is over ends here."""
        episode = self._runner.episode
        if not episode.runs:
            return False
        if episode.handle is not None and episode.handle.is_cancel_requested:
            self.finish("stopped", "cancelled")
        elif self._status is not None and self._status_ns >= episode.not_before_ns and self._status.success:
            self.finish("success")
        elif self._drive.steps >= episode.limit and not (self._lockstep and self._drive.pulse.waits(self._state_ns)):
            self.finish("time_limit")
        # a paused robot is told to hold, again and again; in lock-step simulated time stands still instead
        return self._runner.episode.runs and (self._session.state in MOVING_STATES or not self._lockstep)


def main() -> None:
    """Run the node."""
    run_node(SessionNode)
