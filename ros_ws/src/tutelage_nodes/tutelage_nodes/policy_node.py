"""Runs one policy: observations in, stamped action chunks out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import Command, ResetPolicy, Sentence

from policies.policy import Correctable, Policy
from policies.registry import find_checkpoint, load_policy
from tutelage_core.assembler import ObservationAssembler
from tutelage_core.camera_watch import CameraWatch, CameraWatchSettings
from tutelage_core.chunks import ChunkBuffer
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, STATE_KEYS, check_fit, load_contract
from tutelage_core.episodes.parity import inputs_of
from tutelage_core.sealed_folder import seal_of
from tutelage_core.session import DriveEvent, DriveState
from tutelage_core.types import ArmState, Observation
from tutelage_core.window import ObservationWindow
from tutelage_nodes import convert, topics
from tutelage_nodes.episode_setup import NOT_CONNECTED
from tutelage_nodes.faults import FaultInjector
from tutelage_nodes.heartbeat import Heartbeat
from tutelage_nodes.node import TutelageNode, run_node

WARM_UP_THOUGHTS = 5
RECENT_THOUGHTS = 50
"""Over so many the published mean of the thinking time is taken."""

LOOK_S = 0.01
"""How often the cameras are looked after [s]."""

STALL_S = 0.05
"""Between two looks so far apart this node itself stood still: pictures may wait in its queue [s]."""


@dataclass(frozen=True)
class PolicyNodeParameters:
    """Parameters of `policy_node`.

    Attributes:
        robot: name of the robot's contract.
        policy: name of a shipped checkpoint, or the folder of one.
        threads: threads that the policy computes with.
        sync_tolerance_s: frames and states this far apart count as one instant [s]; 0 for simulated time.
        watch_cameras: pause the session when a camera is silent or frozen; not in lock-step, where time waits.
        reliable_images: ask for every frame (lock-step) and not only for the newest one.
        camera_pause_s: without a picture for so long the policy may not drive [s, steady]; a slow camera needs more.
        camera_end_s: and for so long, the episode ends [s, steady].
    """

    robot: str = "twin"
    policy: str = "bc_pick_cube"
    threads: int = 1
    sync_tolerance_s: float = 0.02
    reliable_images: bool = False
    watch_cameras: bool = True
    camera_pause_s: float = CameraWatchSettings.pause_s
    camera_end_s: float = CameraWatchSettings.end_s


class PolicyNode(TutelageNode[PolicyNodeParameters]):
    """Asks the policy when a chunk is due."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("policy_node", PolicyNodeParameters)

    def setup(self) -> None:
        """Load the checkpoint, refuse it if it does not fit the robot, warm up, open the topics."""
        torch.set_num_threads(self.params.threads)
        contract = load_contract(self.params.robot)
        folder = find_checkpoint(self.params.policy)
        self._policy: Policy = load_policy(folder)
        self._seal = seal_of(folder)
        spec = self._policy.spec
        check_fit(spec, contract)
        self._steady = SteadyClock()
        self._window = ObservationWindow(spec.history)
        self._chunks = ChunkBuffer(spec.replan_every)
        self._assembler = ObservationAssembler(
            spec.cameras, spec.state_keys, round(self.params.sync_tolerance_s * NS_PER_S)
        )
        self._warm_up()
        self._active, self._not_before_ns = False, 0
        self._waiting: Observation | None = None
        self._thought_s: deque[float] = deque(maxlen=RECENT_THOUGHTS)
        self._publisher = self.create_publisher(ti.ActionChunk, topics.POLICY_CHUNK, topics.reliable())
        quality = topics.reliable() if self.params.reliable_images else topics.newest()
        for camera in spec.cameras:
            self.create_subscription(Image, topics.camera_image(camera), partial(self._on_image, camera), quality)
        self._faults = FaultInjector(self, "policy", "steps")
        self._heartbeat = Heartbeat(self, self._steady)
        patience = CameraWatchSettings(self.params.camera_pause_s, self.params.camera_end_s)
        self._looked_ns, self._let_pass = self._steady.now_ns(), False
        self._watches = {camera: CameraWatch(camera, patience, self._looked_ns) for camera in spec.cameras}
        self._session = self.create_client(Command, topics.SESSION_EVENT)
        self._reported = self._trouble = ""
        if self.params.watch_cameras:
            self.create_timer(LOOK_S, self._look)
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_session, topics.latched())
        self.create_service(ResetPolicy, topics.POLICY_RESET, self._on_reset)
        self.create_service(Sentence, topics.POLICY_CORRECT, self._on_correct)

    def _warm_up(self) -> None:
        """Think a few times about nothing: a network's first thoughts take many times as long as the later ones."""
        spec = self._policy.spec
        images = {name: np.zeros((need.height, need.width, 3), dtype=np.uint8) for name, need in spec.cameras.items()}
        nothing = Observation(0, images, {key: np.zeros(STATE_KEYS[key]) for key in spec.state_keys})
        self._policy.reset("", 0)
        for _ in range(WARM_UP_THOUGHTS):
            self._policy.act((nothing,) * spec.history)

    def teardown(self) -> None:
        """End the heartbeat."""
        self._heartbeat.stop()

    def _look(self) -> None:
        """Pause the session when a camera is lost, and end the episode when it stays so."""
        now_ns = self._steady.now_ns()
        stalled, self._looked_ns = now_ns - self._looked_ns > STALL_S * NS_PER_S, now_ns
        self._let_pass = stalled and not self._let_pass
        if self._let_pass:
            return  # what came meanwhile is seen first; but not twice in a row, or a busy node would never look
        troubles = [watch.trouble(now_ns) for watch in self._watches.values()]
        self._trouble = next((said for said, _ in troubles if said), "")
        if not self._active or not self._trouble:
            return
        event = DriveEvent.EPISODE_ENDED if any(ends for _, ends in troubles) else DriveEvent.PAUSE
        if event != self._reported:
            self._reported = event
            self.get_logger().error(self._trouble)
            self._session.call_async(Command.Request(event=event, reason=self._trouble, sender=self.get_name()))

    def missing(self) -> list[str]:
        """Name the cameras that are silent or frozen."""
        return [self._trouble] if self._trouble else []

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say how long the policy thinks."""
        recent = self._thought_s
        mean_ms = 1e3 * sum(recent) / len(recent) if recent else 0.0
        return (
            not self._trouble,
            self._trouble or ("driving" if self._active else "idle"),
            {"inference_ms": round(mean_ms, 2), "chunks": self.counters.get("chunks", 0)},
        )

    def _on_image(self, camera: str, message: Image) -> None:
        try:
            frame = convert.from_image_msg(message)
        except ValueError as error:
            self.count("bad_images")
            self.get_logger().error(f"camera {camera}: {error}", throttle_duration_sec=1.0)
            return
        self._watches[camera].see(frame.image, self._steady.now_ns())
        self._consider(self._assembler.add_frame(camera, frame))

    def _on_state(self, message: ti.ArmState) -> None:
        state: ArmState = convert.from_arm_state_msg(message)
        for watch in self._watches.values():
            watch.move(state.T_base_tcp.position)
        self._consider(self._assembler.add_state(state))

    def _consider(self, observation: Observation | None) -> None:
        if observation is None:
            return
        if not self._active:
            self._waiting = observation
            return
        window = self._window.push(observation)
        if not self._chunks.wants_chunk(observation.stamp_ns):
            return
        begun_ns = self._steady.now_ns()
        chunk = self._policy.act(window)
        thought_s = (self._steady.now_ns() - begun_ns) / NS_PER_S
        self._thought_s.append(thought_s)
        self.count("chunks")
        self._chunks.add(chunk)
        message = convert.to_chunk_msg(chunk, self._policy.spec.name, thought_s, inputs_of(observation))
        self._faults.send(message, self._publisher.publish)

    def _on_session(self, message: ti.SessionState) -> None:
        # no episode, or one without us: do not heat the room
        begins, self._active = not self._active, bool(message.episode) and message.driver != "hand"
        if message.state == DriveState.AUTONOMOUS and (begins or self._reported):
            self._reported = ""
            for watch in self._watches.values():
                watch.restart(self._steady.now_ns())
        if not self._active:
            return
        # begin with the observation that came while nobody asked
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.stamp_ns >= self._not_before_ns:
            self._consider(waiting)

    def _on_reset(self, request: ResetPolicy.Request, response: ResetPolicy.Response) -> ResetPolicy.Response:
        if self._publisher.get_subscription_count() == 0:
            response.message = f"{NOT_CONNECTED}: nobody listens on {topics.POLICY_CHUNK}"
            return response
        self._not_before_ns = convert.to_ns(request.not_before)
        # not active until the session says that the episode runs
        self._active, self._waiting = False, self._assembler.restart(self._not_before_ns)
        self._window.clear()
        self._chunks.clear()
        self._policy.reset(request.task, request.seed)
        response.accepted = True
        response.replan_every = self._policy.spec.replan_every
        response.policy, response.policy_sha256 = self._policy.spec.name, self._seal
        return response

    def _on_correct(self, request: Sentence.Request, response: Sentence.Response) -> Sentence.Response:
        if isinstance(self._policy, Correctable):
            response.message = self._policy.correct(request.sentence)
            self._chunks.clear()  # think again at once
        else:
            response.message = f"policy {self._policy.spec.name} takes no phrases"
        response.accepted = not response.message
        return response


def main() -> None:
    """Run the node."""
    run_node(PolicyNode)
