"""Who drives, and one episode after the other: reset, drive, end on success, label, time limit or stop."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from rclpy.task import Future
from tutelage_interfaces import msg as ti

from tutelage_core.chunks import SeamSettings
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import UnknownNameError
from tutelage_core.session import DriveEvent, DriveState, Session
from tutelage_nodes import convert, topics
from tutelage_nodes.command_stream import CommandStream
from tutelage_nodes.episode_runner import EpisodeRunner
from tutelage_nodes.episode_setup import EpisodeSetup, Scene
from tutelage_nodes.hand import Hand
from tutelage_nodes.home import Home
from tutelage_nodes.lockstep_hand import LockstepHand
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.operator_desk import OperatorDesk
from tutelage_nodes.peers import Peers
from tutelage_nodes.preparation import Preparation
from tutelage_nodes.task_runner import TaskRunner

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
        blend_steps: over so many steps a new chunk takes over from the one before; 0 at once.
        catch_up: what the dropped steps of a late chunk would have moved is made up over those that follow.
        ensemble: instead, all chunks have a say, weighted exp(-ensemble * i), i = 0 for the oldest; NaN for none.
        person: in lock-step: a hand answers each observation, as `twin_node` with `person` does, and is waited for.
    """

    robot: str = "twin"
    time: str = "wall"
    patience_s: float = 10.0
    speed: float = 1.0
    policy_silence_s: float = 0.25
    blend_steps: int = 0
    catch_up: bool = True
    ensemble: float = math.nan
    person: bool = False


class SessionNode(TutelageNode[SessionNodeParameters]):
    """Says who drives, and takes one episode after the other from its goal to its result."""

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
        name = f"{self.get_name()}-{os.getpid()}"
        is_twin = contract.arm.driver == "twin"
        self._peers = Peers(self, self._steady, self.params.policy_silence_s, lockstep=self._lockstep)
        self._setup = EpisodeSetup(self, name, lambda: self._stream.is_heard, self._goes_on_waiting, self._stamp_ns)
        self._waited_for = ""
        period_s = contract.period_ns / NS_PER_S
        waits_for_hand = self._lockstep and self.params.person
        self._hand: Hand | LockstepHand = (
            LockstepHand(self, period_s, contract.safety, self._on_word)
            if waits_for_hand
            else Hand(self, self._steady, period_s, contract.safety, self._on_hand)
        )
        self._state_pub = self.create_publisher(ti.SessionState, topics.SESSION_STATE, topics.latched())
        self._stream = CommandStream(
            self,
            contract,
            self._steady,
            self._session,
            self._hand,
            self._peers,
            sender=name,
            lockstep=self._lockstep,
            speed=self.params.speed,
            seams=self._seams(),
            episode=lambda: self._runner.episode,
            finish=self.finish,
            give_up=self.give_up,
            on_state=self._look_at_way,
        )
        self._preparation = Preparation(
            self._session,
            self._setup,
            Home(contract, self._steady, homes=not is_twin, lockstep=self._lockstep),
            homes=not is_twin,
            lockstep=self._lockstep,
            restart=self._stream.restart,
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
            stamp_ns=self._stamp_ns,
        )
        self._desk = OperatorDesk(self, self._session, self._setup, self._runner, self)
        self._tasks = TaskRunner(self, self._setup)
        # in lock-step the timer only looks for a stand-still
        self.create_timer(LOOK_S if self._lockstep else period_s / 10, self._on_timer)
        self.publish_state("started")

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say who drives."""
        return True, str(self._session.state), {"starved": self._stream.starved, **self._hand.counters}

    # what the operator's desk asks for

    def finish(self, termination: str, message: str = "", failure: str = "") -> None:
        """End the episode that runs."""
        self._runner.finish(self._stream.result(termination, failure), message)

    def hand_over(self) -> None:
        """Forget what was planned: somebody else drives from now on."""
        self._stream.hand_over()

    def follow_phrase(self, phrase: str) -> None:
        """Count what the policy does on this phrase as a person's correction."""
        self._stream.follow_phrase(phrase)

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
        message.header.stamp = convert.to_time(self._stream.stamp_ns())
        self._state_pub.publish(message)

    def _seams(self) -> SeamSettings:
        ensemble = self.params.ensemble
        return SeamSettings(
            self.params.blend_steps, None if math.isnan(ensemble) else ensemble, catch_up=self.params.catch_up
        )

    def _stamp_ns(self) -> int:
        return self._stream.stamp_ns()

    def _ask_person(self, what: str) -> Future:
        self.publish_state(what)
        return self._desk.wait_for_start()

    def _goes_on_waiting(self, why: str) -> bool:
        """Say what an episode waits for before it begins; return False once a person has broken that off."""
        if self._session.state is DriveState.STOPPED or self._runner.is_cancelled:
            return False
        if why != self._waited_for:
            self._waited_for = why
            self.publish_state(why)
        return True

    def _begin(self, scene: Scene) -> None:
        self._waited_for = ""
        self._peers.note_alive()  # they have just answered
        self._preparation.note_start(self._stream.measured)
        self._stream.begin(scene.replan_every)

    def _on_hand(self, event: DriveEvent, why: str) -> None:
        """Follow enabling key and buttons: a hand takes over, and letting go pauses."""
        if event in (DriveEvent.STOP, DriveEvent.START, DriveEvent.PAUSE):
            self.executor.create_task(self._desk.apply, event, why)
        elif not self._lockstep and self._runner.episode.runs and self._session.apply(event):
            self.hand_over()
            self.publish_state(why)

    def _on_word(self, held: bool) -> None:
        """Follow a hand in lock-step: letting go hands back at once, for there is nobody to press a second key."""
        if self._runner.episode.runs:
            if held and self._session.state is DriveState.AUTONOMOUS:
                self._session.apply(DriveEvent.DEADMAN_PRESSED)
                self.publish_state("the hand takes over")
            elif not held and self._session.state is DriveState.CORRECTING:
                self._session.apply(DriveEvent.DEADMAN_RELEASED)
                self._session.apply(DriveEvent.START)
                self._stream.hand_back()
                self.publish_state("the hand lets go")
        self._stream.pulse_lockstep()

    def _on_timer(self) -> None:
        self._hand.look()
        if self._session.state is DriveState.PAUSED:
            self._stream.note_progress()  # somebody thinks: that is no stand-still
        if self._runner.episode.runs:
            self._mind_the_others()
        else:
            self._look_at_way()
        self._stream.look()

    def _look_at_way(self) -> None:
        self._preparation.look(self._stream.measured, self._peers.arm_trouble(), self._stream.send_home)

    def _mind_the_others(self) -> None:
        """Pause when the policy has died, and end the episode when the arm has or nothing goes on."""
        if self._session.state is DriveState.AUTONOMOUS and (trouble := self._peers.policy_trouble()):
            self._session.apply(DriveEvent.PAUSE)
            self.hand_over()
            self.publish_state(f"{trouble}; then START")
        if trouble := self._peers.arm_trouble():
            self.finish("error", trouble)
        elif waiting := self._stream.waits_in_vain(self.params.patience_s * NS_PER_S):
            self.finish("error", f"no progress for {self.params.patience_s:g} s: waiting for {waiting}")


def main() -> None:
    """Run the node."""
    run_node(SessionNode)
