"""Who drives, and one episode after the other: reset, drive, end on success, time limit or stop."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command

from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import UnknownNameError
from tutelage_core.session import MOVING_STATES, DriveEvent, DriveState, Session
from tutelage_nodes import convert, topics
from tutelage_nodes.drive import Drive
from tutelage_nodes.episode_setup import EpisodeSetup, to_answer
from tutelage_nodes.hand import Hand
from tutelage_nodes.heartbeat import Pulse
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.operator_desk import OperatorDesk
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
        policy_silence_s: a policy that gives no sign of life for so long is dead: the arm holds [s, steady].
        speed: seconds of simulated time per second of the steady clock; 1 for a robot.
    """

    robot: str = "twin"
    time: str = "wall"
    patience_s: float = 10.0
    speed: float = 1.0
    policy_silence_s: float = 0.25


class SessionNode(TutelageNode[SessionNodeParameters]):
    """Joins chunks, drive state and ground truth into one stream of commands."""

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
        self._state_ns = self._status_ns = self._not_before_ns = -1
        self._status: ti.TaskStatus | None = None
        self._period_ns = contract.period_ns
        self._restart_drive(replan_every=1)
        self._instruction = self._episode = ""
        self._goal: RunEpisode.Goal | None = None
        self._done: Future | None = None
        self._goal_handle = None
        self._setup = EpisodeSetup(self, self._name, lambda: self._command_pub.get_subscription_count() > 0)
        period_s = contract.period_ns / NS_PER_S
        self._policy_pulse = Pulse(self, "policy_node", self._steady)
        self._hand = Hand(self, self._steady, period_s, self._limits.deadman_timeout_s, self._on_hand)
        self._state_pub = self.create_publisher(ti.SessionState, topics.SESSION_STATE, topics.latched())
        self._command_pub = self.create_publisher(ti.ArmCommand, topics.ARM_COMMAND, topics.reliable())
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_subscription(ti.TaskStatus, topics.TWIN_TASK_STATUS, self._on_status, topics.reliable())
        self.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, self._on_chunk, topics.reliable())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())
        self.create_service(Command, topics.SESSION_EVENT, OperatorDesk(self._session, self._setup, self).serve)
        self._server = ActionServer(
            self,
            RunEpisode,
            topics.RUN_EPISODE,
            self._run_episode,
            goal_callback=self._on_goal,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        # in lock-step the timer only looks for a stand-still
        self.create_timer(LOOK_S if self._lockstep else period_s / 10, self._on_timer)
        self.publish_state("started")

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say who drives."""
        return True, str(self._session.state), {"starved": self._drive.arbiter.starved}

    def _on_state(self, message: ti.ArmState) -> None:
        self._gripper = message.gripper_opening
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
        except ValueError as error:
            self.count("bad_chunks")
            self.get_logger().error(str(error), throttle_duration_sec=1.0)
            return
        if objection := self._drive.object_to(chunk):
            self.count("refused_chunks")
            self.get_logger().error(f"the policy's chunk is refused whole: {objection}", throttle_duration_sec=1.0)
            if self._drive.is_hopeless and self.episode_runs():
                self.finish("error", f"{self._drive.bad_chunks} chunks in a row were refused, the last: {objection}")
            return
        if chunk.stamp_ns < self._not_before_ns or not self._drive.chunks.add(chunk):
            self.count("old_chunks")
            return
        self._stages.event("chunk", {"observation": "policy"})
        self._stages.add("inference", message.inference_s * 1e3)
        if self._lockstep:
            self._pulse_lockstep()
        elif self._drives():
            self._send(self._drive.pulse.due_for_chunk())

    def _on_hand(self, event: DriveEvent, why: str) -> None:
        """Follow the enabling key: a hand takes over, and letting go pauses."""
        if self._lockstep or not self.episode_runs():
            return
        if self._session.apply(event):
            self.take_over()
            self.publish_state(why)

    def _mind_the_policy(self) -> None:
        """Pause when the policy has died: what it planned is not carried out to the end without it."""
        silent_s = self._policy_pulse.silent_s()
        if silent_s > self.params.policy_silence_s and self._session.apply(DriveEvent.PAUSE):
            self.take_over()
            self.publish_state(f"policy_node is silent for {silent_s:.2f} s: has it died? Start it again, then START")

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self._stages.event("executed", {"command": "gate"})
        self._drive.interventions += bool(message.reasons)
        if LATCHED in message.reasons and self.episode_runs():
            self.finish("stopped", "the arm's gate is latched: look why, then send CLEAR_STOP")
        self._progress_ns = self._steady.now_ns()

    def _on_timer(self) -> None:
        now_ns = self._steady.now_ns()
        self._hand.look()
        if self._session.state is DriveState.AUTONOMOUS and not self._lockstep:
            self._mind_the_policy()
        if self._session.state is DriveState.PAUSED:
            self._progress_ns = now_ns  # somebody thinks: that is no stand-still
        if self.episode_runs() and now_ns - self._progress_ns > self.params.patience_s * NS_PER_S:
            waiting = "the policy's chunk" if self._drive.chunks.wants_chunk(self._state_ns) else "the arm"
            self.finish("error", f"no progress for {self.params.patience_s:g} s: waiting for {waiting}")
        if not self._lockstep and self._drives():
            self._send(self._drive.pulse.due_for_timer(round(now_ns * self.params.speed)))

    def _pulse_lockstep(self) -> None:
        """Answer the observation at hand once arm state, ground truth and chunk of its instant are all there."""
        if not self._lockstep or self._status_ns != self._state_ns or self._state_ns < self._not_before_ns:
            return
        if self._drives():
            self._send(self._drive.pulse.due_for_observation(self._state_ns))

    def _send(self, stamp_ns: int | None) -> None:
        if stamp_ns is None:
            return
        steady_ns = round(self._steady.now_ns() * self.params.speed)
        command = self._drive.command(self._session.state, stamp_ns, steady_ns, self._hand.step)
        self._stages.event("command", {})
        self._command_pub.publish(convert.to_arm_command_msg(command))
        if self._goal_handle is not None and self._drive.steps % 5 == 0:
            progress = self._status.progress if self._status is not None else math.nan
            self._goal_handle.publish_feedback(
                RunEpisode.Feedback(step=self._drive.steps, state=str(self._session.state), progress=progress)
            )

    def episode_runs(self) -> bool:
        """Return whether an episode runs."""
        return self._done is not None and not self._done.done()

    def _drives(self) -> bool:
        """Return whether an episode runs and somebody drives it; an episode that is over ends here."""
        if not self.episode_runs():
            return False
        if self._goal_handle is not None and self._goal_handle.is_cancel_requested:
            self.finish("stopped", "cancelled")
        elif self._status is not None and self._status_ns >= self._not_before_ns and self._status.success:
            self.finish("success")
        elif self._drive.steps >= self._limit and not (self._lockstep and self._drive.pulse.waits(self._state_ns)):
            self.finish("time_limit")
        # a paused robot is told to hold, again and again; in lock-step simulated time stands still instead
        return self.episode_runs() and (self._session.state in MOVING_STATES or not self._lockstep)

    def finish(self, termination: str, message: str = "") -> None:
        """End the episode that runs."""
        self._session.apply(DriveEvent.STOP if termination == "error" else DriveEvent.EPISODE_ENDED)
        failure = self._status.failure if self._status is not None else ""
        if self._done is not None:
            self._done.set_result((self._drive.result(termination, self._stages.means_ms(), failure), message))

    def _on_goal(self, goal: RunEpisode.Goal) -> GoalResponse:
        if self._goal is not None:
            self.get_logger().warning("an episode runs already: goal rejected")
            return GoalResponse.REJECT
        if self._session.state is not DriveState.PAUSED:
            self.get_logger().warning(f"session is {self._session.state}, not PAUSED: goal rejected")
            return GoalResponse.REJECT
        self._goal = goal
        return GoalResponse.ACCEPT

    async def _run_episode(self, goal_handle) -> RunEpisode.Result:
        goal: RunEpisode.Goal = goal_handle.request
        self._session.apply(DriveEvent.RESET_BEGUN)
        self._instruction = goal.task
        self.publish_state("resetting")
        scene = await self._setup.begin(goal)
        self._session.apply(DriveEvent.RESET_DONE)
        if scene.refusal:
            goal_handle.abort()
            self._goal, self._instruction = None, ""
            self.publish_state(scene.refusal)
            return RunEpisode.Result(termination="error", message=scene.refusal)
        self._restart_drive(scene.replan_every)
        self._drive.arbiter.restart(self._gripper)
        self._stages.restart()
        self._not_before_ns, self._limit = scene.not_before_ns, goal.max_steps or scene.step_limit
        self._done, self._goal_handle = Future(), goal_handle
        self._session.apply(DriveEvent.START)
        self._instruction, self._episode = scene.instruction, scene.episode
        self.publish_state("driving")
        result, message = await self._done
        self._goal_handle, self._instruction, self._episode = None, "", ""
        self.publish_state(result.termination)
        recording = await self._setup.end(goal, scene.episode, result)
        self._goal = None
        (goal_handle.abort if result.termination == "error" else goal_handle.succeed)()
        return to_answer(result, message or recording)

    def take_over(self) -> None:
        """Forget what was planned: somebody else drives from now on."""
        self._drive.arbiter.hand_back(self._gripper)

    def _restart_drive(self, replan_every: int) -> None:
        self._drive = Drive(self._limits, self._period_ns, self._name, replan_every)
        self._progress_ns = self._steady.now_ns()

    def publish_state(self, reason: str) -> None:
        """Say who drives, and why."""
        message = ti.SessionState(
            state=str(self._session.state), task=self._instruction, episode=self._episode, reason=reason
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._state_pub.publish(message)


def main() -> None:
    """Run the node."""
    run_node(SessionNode)
