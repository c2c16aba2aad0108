"""Runs one policy: observations in, stamped action chunks out."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import ResetPolicy, Sentence

from policies.hil_serl.stored_views import ViewsConfig
from policies.hil_serl.stream_actor import SILENCE_S
from policies.policy import Correctable
from tutelage_core.assembler import ObservationAssembler
from tutelage_core.camera_watch import CameraWatchSettings
from tutelage_core.chunks import ChunkBuffer
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, RobotContract, check_chunk_outlasts, check_fit, load_contract
from tutelage_core.episodes.parity import inputs_of
from tutelage_core.memory import give_back
from tutelage_core.session import DriveState
from tutelage_core.types import ArmState, Observation
from tutelage_core.window import ObservationWindow
from tutelage_nodes import convert, topics
from tutelage_nodes.camera_lookout import CameraLookout
from tutelage_nodes.episode_setup import NOT_CONNECTED, WAIT
from tutelage_nodes.experience import Experience, ExperienceSettings
from tutelage_nodes.faults import FaultInjector
from tutelage_nodes.heartbeat import Heartbeat
from tutelage_nodes.node import TutelageNode, run_node
from tutelage_nodes.policy_loading import load_patiently, warm_up

RECENT_THOUGHTS = 50
"""Over so many the published mean of the thinking time is taken."""


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
        learn_as: name of this actor; the policy then learns online, and `learner_node` has to run. Empty: it does not.
        outbox: folder of the steps that the learner does not have yet.
        weights_when: `episode` takes new weights when an episode begins, `now` when they come.
        learner_silence_s: an episode does not wait for a learner that says nothing for so long [s, steady].
        learner_domain: ROS domain of the learner; -1 for that of this node.
        views: maps that are stored of each picture, the plain one among them; as the learner's.
        shift_px: random shift of the others each way [px].
        in_step: think only when what was executed before is known; in lock-step.
        policy_patience_s: an actor waits for so long for its policy to be written by the learner [s].
    """

    robot: str = "twin"
    policy: str = "bc_pick_cube"
    threads: int = 1
    sync_tolerance_s: float = 0.02
    reliable_images: bool = False
    watch_cameras: bool = True
    camera_pause_s: float = CameraWatchSettings.pause_s
    camera_end_s: float = CameraWatchSettings.end_s
    learn_as: str = ""
    outbox: str = "runs/outbox"
    weights_when: str = "episode"
    learner_silence_s: float = SILENCE_S
    learner_domain: int = -1
    views: int = ViewsConfig.views
    shift_px: int = ViewsConfig.shift_px
    in_step: bool = False
    policy_patience_s: float = 300.0


class PolicyNode(TutelageNode[PolicyNodeParameters]):
    """Asks the policy when a chunk is due."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("policy_node", PolicyNodeParameters)
        self._heartbeat: Heartbeat | None = None
        self._experience: Experience | None = None

    def setup(self) -> None:
        """Load the checkpoint, refuse it if it does not fit the robot, warm up, open the topics."""
        torch.set_num_threads(self.params.threads)
        contract = load_contract(self.params.robot)
        patience_s = self.params.policy_patience_s if self.params.learn_as else 0.0
        self._policy, self._seal = load_patiently(self.params.policy, patience_s, self.get_logger())
        spec = self._policy.spec
        check_fit(spec, contract)
        self._steady = SteadyClock()
        self._window = ObservationWindow(spec.history)
        self._chunks = ChunkBuffer(spec.replan_every)
        self._assembler = ObservationAssembler(
            spec.cameras, spec.state_keys, round(self.params.sync_tolerance_s * NS_PER_S)
        )
        thinks_s = warm_up(self._policy)
        self.get_logger().info(f"policy {spec.name} thinks for {1e3 * thinks_s:.0f} ms")
        # in lock-step time stands still meanwhile
        if not self.params.reliable_images and (warning := check_chunk_outlasts(spec, thinks_s)):
            self.get_logger().warning(warning)
        self._active, self._not_before_ns = False, 0
        self._waiting: Observation | None = None
        self._thought_s: deque[float] = deque(maxlen=RECENT_THOUGHTS)
        self._publisher = self.create_publisher(ti.ActionChunk, topics.POLICY_CHUNK, topics.reliable())
        quality = topics.reliable() if self.params.reliable_images else topics.newest()
        for camera in spec.cameras:
            self.create_subscription(Image, topics.camera_image(camera), partial(self._on_image, camera), quality)
        self._faults = FaultInjector(self, "policy", "steps")
        self._heartbeat = Heartbeat(self, self._steady)
        self._lookout = CameraLookout(
            self,
            spec.cameras,
            CameraWatchSettings(self.params.camera_pause_s, self.params.camera_end_s),
            self._steady,
            watches=self.params.watch_cameras,
            is_active=lambda: self._active,
        )
        self._experience = self._make_experience(contract) if self.params.learn_as else None
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_session, topics.latched())
        self.create_service(ResetPolicy, topics.POLICY_RESET, self._on_reset)
        self.create_service(Sentence, topics.POLICY_CORRECT, self._on_correct)

    def _make_experience(self, contract: RobotContract) -> Experience:
        params = self.params
        domain = None if params.learner_domain < 0 else params.learner_domain
        views, outbox = ViewsConfig(params.views, params.shift_px), Path(params.outbox)
        patience = (params.weights_when, params.learner_silence_s)
        settings = ExperienceSettings(params.learn_as, outbox, *patience, domain, views, params.in_step)
        return Experience(self, self._policy, contract, settings, self._steady, self._think_about)

    def teardown(self) -> None:
        """End the heartbeat, and leave the learner."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._experience is not None:
            self._experience.close()

    def missing(self) -> list[str]:
        """Name the cameras that are silent or frozen."""
        return [self._lookout.trouble] if self._lookout.trouble else []

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say how long the policy thinks."""
        recent = self._thought_s
        mean_ms = 1e3 * sum(recent) / len(recent) if recent else 0.0
        values: dict[str, object] = {"inference_ms": round(mean_ms, 2), "chunks": self.counters.get("chunks", 0)}
        trouble = self._lookout.trouble
        if self._experience is not None:
            learning, more = self._experience.diagnose()
            trouble, values = trouble or learning, values | more
        return not trouble, trouble or ("driving" if self._active else "idle"), values

    def _on_image(self, camera: str, message: Image) -> None:
        frame = self.frame_of(camera, message)
        if frame is None:
            return
        self._lookout.see(camera, frame.image)
        self._consider(self._assembler.add_frame(camera, frame))

    def _on_state(self, message: ti.ArmState) -> None:
        state: ArmState = convert.from_arm_state_msg(message)
        self._lookout.move(state.T_base_tcp.position)
        self._consider(self._assembler.add_state(state))

    def _consider(self, observation: Observation | None) -> None:
        if observation is None:
            return
        if self._experience is not None:
            self._experience.see(observation)
        if not self._active:
            self._waiting = observation
        elif self._experience is None or self._experience.admits(observation):
            self._think_about(observation)

    def _think_about(self, observation: Observation) -> None:
        if not self._active:
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
        if self._experience is not None:
            self._experience.hear_session(message)
        if message.state == DriveState.AUTONOMOUS and (begins or self._lookout.has_reported):
            self._lookout.restart()
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
        if self._experience is not None:
            if objection := self._experience.objection():
                response.message = f"{WAIT}: {objection}"
                return response
            self._experience.begin(request.seed, self._not_before_ns)
        # not active until the session says that the episode runs
        self._active, self._waiting = False, self._assembler.restart(self._not_before_ns)
        self._window.clear()
        self._chunks.clear()
        self._policy.reset(request.task, request.seed)
        give_back()
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
