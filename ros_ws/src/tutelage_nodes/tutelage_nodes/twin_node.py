"""Plays the robot controller and the cameras "on the network", in MuJoCo. Simulation only."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rosgraph_msgs.msg import Clock as ClockMsg
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import ResetScene

from hardware.arms import with_host
from sim.human import InterventionSettings
from sim.served_twin import ServedTwin
from sim.tasks import TASKS
from sim.twin import Twin
from tutelage_core.config import load_yaml
from tutelage_core.contract import NS_PER_S, load_contract
from tutelage_core.errors import TutelageError, UnknownNameError
from tutelage_core.memory import give_back
from tutelage_core.types import ArmCommand
from tutelage_nodes import convert, topics
from tutelage_nodes.faults import FaultInjector
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.twin_cameras import TwinCameras
from tutelage_nodes.twin_person import TwinPerson

CLOCK_MODES = ("realtime", "fast", "lockstep")
HEARTBEAT_S = 0.03
"""In lock-step an observation that nobody answers is sent again after so long [s, wall]."""

PAUSE_BETWEEN_SCENES_NS = NS_PER_S
"""Simulated time goes on over a reset, by this gap, so that stamps never go back."""


@dataclass(frozen=True)
class TwinNodeParameters:
    """Parameters of `twin_node`.

    Attributes:
        robot: robot whose contract the twin plays. With another arm driver than the twin's own, its world is served
            behind that arm's network protocol, and here are its cameras.
        arm_host: address to serve the arm at, instead of the contract's; empty for that.
        task: task of the scene at start.
        seed: seed of the scene at start.
        rooms: split that rooms are drawn from: lab, train, test or held_out.
        clock: realtime (stamps are wall time), fast (simulated time runs `speed` times as fast as the wall's) or
            lockstep (one period per action).
        speed: of the fast clock. Delays count `speed` times in simulated time: the gate refuses what is too old.
        state_rate_hz: rate of arm states in realtime and fast [Hz]; in lock-step it is the control rate.
        person: in lock-step: a scripted person corrects the policy by hand; the session's `person` goes with it.
        person_settings: YAML file of `sim.human.InterventionSettings`; empty for the defaults.
    """

    robot: str = "twin"
    arm_host: str = ""
    task: str = "PickCube"
    seed: int = 0
    rooms: str = "lab"
    clock: str = "realtime"
    state_rate_hz: float = 50.0
    speed: float = 2.0
    person: bool = False
    person_settings: str = ""


class TwinNode(TutelageNode[TwinNodeParameters]):
    """Steps the twin and publishes what its arm and cameras see."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("twin_node", TwinNodeParameters)
        self._twin: Twin | None = None

    def setup(self) -> None:
        """Load the twin and start its clock."""
        if self.params.clock not in CLOCK_MODES:
            raise UnknownNameError("clock", self.params.clock, CLOCK_MODES, "node twin_node")
        self._contract = with_host(load_contract(self.params.robot), self.params.arm_host)
        self._served = self._contract.arm.driver != "twin"
        self._check_served()
        self._twin = self._new_twin(self.params.task, self.params.seed)
        self._offset_ns = NS_PER_S
        self._target: ArmCommand | None = None
        self._clock_pub = self.create_publisher(ClockMsg, topics.CLOCK, topics.reliable())
        self._state_pub = self.create_publisher(ti.ArmState, topics.TWIN_LINK_STATE, topics.reliable())
        self._status_pub = self.create_publisher(ti.TaskStatus, topics.TWIN_TASK_STATUS, topics.reliable())
        self._arm_fault = FaultInjector(self, "arm", "joint_positions")
        self._cameras = TwinCameras(self, self._contract.cameras)
        self.create_subscription(ti.ArmTarget, topics.TWIN_LINK_TARGET, self._on_target, topics.reliable())
        self.create_service(ResetScene, topics.TWIN_RESET_SCENE, self._on_reset)
        self._cameras.describe(self._twin)
        self._person = None
        if self.params.person:
            file = self.params.person_settings
            settings = load_yaml(Path(file), InterventionSettings) if file else InterventionSettings()
            self._person = TwinPerson(self, settings, self._contract.period_ns / NS_PER_S, self._now_ns)
        if self.params.clock == "lockstep":
            self._observe()
            self.create_timer(HEARTBEAT_S, self._heartbeat)
        else:
            self._slice_ns = round(NS_PER_S / self.params.state_rate_hz)
            self._slices_per_image = max(1, round(self._contract.period_ns / self._slice_ns))
            self._slices = 0
            pace_s = self._slice_ns / NS_PER_S / (self.params.speed if self.params.clock == "fast" else 1.0)
            self.create_timer(pace_s, self._slice, callback_group=MutuallyExclusiveCallbackGroup())

    def teardown(self) -> None:
        """Free the renderer."""
        if self._twin is not None:
            self._twin.close()
            self._twin = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say where simulated time is."""
        if self._twin is None:
            return False, "not configured", {}
        values: dict[str, object] = {"time_s": self._now_ns() / NS_PER_S, "task": self._twin.task.name}
        if self._person is not None:
            values["takeovers"] = self._person.takeovers
        return True, f"{self.params.clock}", values

    def _now_ns(self) -> int:
        if self.params.clock == "realtime":
            return self.get_clock().now().nanoseconds
        return self._offset_ns + self._require_twin().time_ns

    def _require_twin(self) -> Twin:
        if self._twin is None:
            raise TutelageError("twin_node is not configured")
        return self._twin

    def _on_target(self, message: ti.ArmTarget) -> None:
        target = convert.from_arm_target_msg(message)
        if self.params.clock != "lockstep":
            self._target = target
            return
        # the stamp of a target is that of the observation it answers: a doubled or late one must not step time
        if target.stamp_ns != self._now_ns():
            self.count("targets_not_for_now")
            return
        self._require_twin().advance(target)
        self._observe()

    def _observe(self) -> None:
        """Render and publish everything at the present instant."""
        now_ns = self._now_ns()
        self._publish_state(now_ns)
        self._cameras.publish(self._require_twin(), now_ns)
        self._quiet = False

    def _publish_state(self, now_ns: int) -> None:
        twin = self._require_twin()
        if self._clock_pub.get_subscription_count():
            self._clock_pub.publish(ClockMsg(clock=convert.to_time(now_ns)))
        self._last_status = convert.to_task_status_msg(now_ns, twin.task_status())
        self._status_pub.publish(self._last_status)
        if self._served:  # whoever is connected to the arm reads its state there
            return
        self._last_state = convert.to_arm_state_msg(dataclasses.replace(twin.arm_state(), stamp_ns=now_ns))
        self._arm_fault.send(self._last_state, self._state_pub.publish)

    def _heartbeat(self) -> None:
        """Send the present observation again when nobody has answered it for a whole beat."""
        if not self._quiet:
            self._quiet = True
            return
        self._status_pub.publish(self._last_status)
        self._state_pub.publish(self._last_state)
        self._cameras.repeat()

    def _slice(self) -> None:
        """Advance by one slice of free-running time."""
        images_due = self._slices % self._slices_per_image == 0
        now_ns = self._now_ns()
        if images_due:
            self._cameras.publish(self._require_twin(), now_ns)
        self._publish_state(now_ns)
        self._require_twin().advance(self._target, self._slice_ns)
        self._slices += 1

    def _on_reset(self, request: ResetScene.Request, response: ResetScene.Response) -> ResetScene.Response:
        twin = self._require_twin()
        task = request.task or twin.task.name
        if task not in TASKS:
            response.accepted = False
            response.message = str(UnknownNameError("task", task, TASKS))
            return response
        if request.seed < 0:
            response.accepted, response.message = False, f"seed must be at least 0, got {request.seed}"
            return response
        last_ns = self._now_ns()
        try:
            if isinstance(twin, ServedTwin):
                twin.set_scene(task, request.seed)
            elif task != twin.task.name:
                fresh = self._new_twin(task, request.seed)
                twin.close()
                self._twin = twin = fresh
            else:
                twin.reset(request.seed)
        except TutelageError as error:  # this room leaves the task no layout
            response.accepted, response.message = False, str(error)
            return response
        give_back()  # the last scene's model
        self._cameras.describe(twin)
        self._target = None
        if self.params.clock != "realtime":
            self._offset_ns = last_ns + PAUSE_BETWEEN_SCENES_NS - twin.time_ns
        response.accepted, response.instruction = True, twin.instruction
        response.step_limit, response.room = twin.step_limit, twin.room.name
        response.stamp = convert.to_time(self._now_ns())
        if self._person is not None:
            self._person.restart(twin, request.seed)
        if self.params.clock == "lockstep":
            self._observe()
        return response

    def _check_served(self) -> None:
        """Refuse a robot that is no simulation, and a clock that a served robot cannot keep."""
        contract = self._contract
        if self._served and (real := sorted({c.driver for c in contract.cameras.values()} - {"twin"})):
            raise TutelageError(
                f"robot '{contract.name}' has the arm driver '{contract.arm.driver}' and cameras of {', '.join(real)}: "
                "it needs no twin"
            )
        if self.params.person and self.params.clock != "lockstep":
            raise TutelageError(f"a scripted person needs clock:=lockstep, got {self.params.clock}")
        if self._served and self.params.clock != "realtime":
            raise TutelageError(f"robot '{contract.name}' keeps its own time: launch with clock:=realtime")

    def _new_twin(self, task: str, seed: int) -> Twin:
        if self._served:
            return ServedTwin(self._contract, task, seed, self.params.rooms)
        return Twin(self._contract, task, seed, rooms=self.params.rooms)


def main() -> None:
    """Run the node."""
    run_node(TwinNode)
