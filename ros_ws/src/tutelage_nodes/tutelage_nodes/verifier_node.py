"""Answers whether a task is done at the end of what the cameras saw: verify and retry asks it, between two attempts.

It looks at pictures and moves nothing. While it thinks the arm stands still, so that a model behind a network may take
its time.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from rclpy.task import Future
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import VerifyEpisode

from reward_models.serving.model_process import NICENESS
from reward_models.verifier.accounts import VerifierWatch
from reward_models.verifier.loading import load_verifier
from tutelage_core.assembler import ObservationAssembler
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, check_cameras, load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation
from tutelage_core.verdict import Answer, Verdict
from tutelage_nodes import convert, topics
from tutelage_nodes.node import TutelageNode, run_node

BACKLOG = 100
"""Messages that may wait for this node in lock-step: nothing waits for it."""

LAST_PICTURE_S = 2.0
"""The picture of an attempt's end is waited for so long [s, steady]."""

LOOK_S = 0.05


@dataclass(frozen=True)
class VerifierNodeParameters:
    """Parameters of `verifier_node`.

    Attributes:
        robot: name of the robot's contract.
        verifier: `vlm:FILE`, `reward:FILE`, or a reward model's name, such as `success_classifier:FOLDER`.
        memory_mb: of pictures that are kept [MB]; an attempt that takes more is judged by its last ones.
        sync_tolerance_s: pictures and states this far apart count as one moment [s]; 0 for simulated time.
        reliable_images: ask for every picture (lock-step) and not only for the newest one.
        threads: threads that a model computes with.
    """

    robot: str = "twin"
    verifier: str = ""
    memory_mb: float = 256.0
    sync_tolerance_s: float = 0.02
    reliable_images: bool = False
    threads: int = 1


class VerifierNode(TutelageNode[VerifierNodeParameters]):
    """Keeps what was seen lately, and shows it to a verifier when it is asked."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("verifier_node", VerifierNodeParameters)

    def setup(self) -> None:
        """Load the verifier, refuse it if it does not fit the robot, open the topics."""
        p = self.params
        if not p.verifier or not p.memory_mb > 0.0:
            raise ConfigurationError(
                f"verifier_node: needs a verifier and memory for pictures, got '{p.verifier}' and {p.memory_mb} MB"
            )
        os.nice(NICENESS)
        torch.set_num_threads(p.threads)
        contract = load_contract(p.robot)
        self._steady = SteadyClock()
        self._verifier = load_verifier(p.verifier)
        check_cameras(f"verifier '{p.verifier}'", self._verifier.cameras, contract)
        cameras = dict.fromkeys(self._verifier.cameras)
        self._frames: deque[Observation] = deque()
        self._bytes = 0
        self._assembler = ObservationAssembler(cameras, contract.state_keys, round(p.sync_tolerance_s * NS_PER_S))
        self._watch, self._doubt, self._last = VerifierWatch(), "", ""
        self._finished: deque[tuple[Future, Verdict]] = deque()
        self._thought = self.create_guard_condition(self._hand_out)
        quality = topics.reliable(BACKLOG) if p.reliable_images else topics.newest()
        for camera in cameras:
            self.create_subscription(Image, topics.camera_image(camera), partial(self._on_image, camera), quality)
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable(BACKLOG))
        self.create_service(VerifyEpisode, topics.VERIFY_EPISODE, self._on_verify)

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say what was answered last, and whether it always says the same."""
        return not self._doubt, self._doubt or "waiting", {"last": self._last, "frames": len(self._frames)}

    def _on_image(self, camera: str, message: Image) -> None:
        frame = self.frame_of(camera, message)
        if frame is None:
            return
        self._take(self._assembler.add_frame(camera, frame))

    def _on_state(self, message: ti.ArmState) -> None:
        self._take(self._assembler.add_state(convert.from_arm_state_msg(message)))

    def _take(self, observation: Observation | None) -> None:
        if observation is None:
            return
        self._frames.append(observation)
        self._bytes += _size(observation)
        while self._bytes > self.params.memory_mb * 1e6 and len(self._frames) > 1:
            self._bytes -= _size(self._frames.popleft())

    async def _on_verify(
        self, request: VerifyEpisode.Request, response: VerifyEpisode.Response
    ) -> VerifyEpisode.Response:
        begin_ns, end_ns = convert.to_ns(request.begin), convert.to_ns(request.end)
        await self._wait_for_picture(end_ns)
        frames = [frame for frame in self._frames if begin_ns <= frame.stamp_ns <= end_ns]
        if not frames:
            verdict = Verdict(Answer.UNKNOWN, self.params.verifier, "no picture of the attempt was seen")
        else:
            thought = Future(executor=self.executor)
            threading.Thread(target=self._think, args=(frames, request.task, thought), daemon=True).start()
            verdict = await thought
        self._last = str(verdict.answer)
        self._doubt = self._watch.hear(verdict.answer)
        response.answer, response.reason = str(verdict.answer), verdict.reason
        response.verifier, response.irreversible = verdict.verifier, verdict.irreversible
        response.stamps = [convert.to_time(stamp) for stamp in verdict.stamps_ns]
        return response

    async def _wait_for_picture(self, stamp_ns: int) -> None:
        """Wait until a moment as new as this one was seen, or is not to be expected any more."""
        begun_ns = self._steady.now_ns()
        seen = Future(executor=self.executor)

        def look() -> None:
            is_there = bool(self._frames) and self._frames[-1].stamp_ns >= stamp_ns
            if not seen.done() and (is_there or self._steady.now_ns() - begun_ns > LAST_PICTURE_S * NS_PER_S):
                seen.set_result(None)

        timer = self.create_timer(LOOK_S, look)
        look()
        await seen
        self.destroy_timer(timer)

    def _think(self, frames: Sequence[Observation], task: str, thought: Future) -> None:
        """Ask the verifier, in a thread of its own: pictures go on coming meanwhile."""
        try:
            verdict = self._verifier.verify(frames, task)
        except Exception as error:
            verdict = Verdict(Answer.UNKNOWN, self.params.verifier, f"{type(error).__name__}: {error}")
        self._finished.append((thought, verdict))
        self._thought.trigger()

    def _hand_out(self) -> None:
        while self._finished:
            future, verdict = self._finished.popleft()
            future.set_result(verdict)


def _size(observation: Observation) -> int:
    return sum(image.nbytes for image in observation.images.values())


def main() -> None:
    """Run the node."""
    run_node(VerifierNode)
