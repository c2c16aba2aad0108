"""A measuring tool: plays cameras, an arm and a session to `recorder_node`, and says what it has sent.

Pictures are pans over a drawn scene with noise, because what is easy to compress would flatter the recorder. With
`--episodes 0` it records one episode after the other, each of `--seconds`, until it is ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import count

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from tutelage_interfaces import msg as ti
from tutelage_interfaces.srv import RecordEpisode

from tutelage_core.config import to_mapping
from tutelage_core.contract import RobotContract, load_contract
from tutelage_core.types import ArmState, EpisodeResult, ExecutedStep, ImageArray, Pose, Source
from tutelage_nodes import convert, topics

PICTURES = 12
"""Different pictures of each camera, sent in turn."""

NOISE = 3.0
"""Standard deviation of the pictures' noise, of 255."""

ANSWER_LIMIT_S = 60.0
STATE_RATE_HZ = 100.0
WARM_UP_S = 1.0
"""Before the first episode messages flow for so long: a recorder opens only once it hears every topic."""


def draw_pictures(width: int, height: int, seed: int) -> list[ImageArray]:
    """Return pictures of one scene, seen along a pan, each of shape (height, width, 3), uint8."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((height, 2 * width, 3))
    for _ in range(60):
        x, y = int(rng.integers(2 * width)), int(rng.integers(height))
        w, h = int(rng.integers(8, width // 3)), int(rng.integers(8, height // 3))
        shade = np.linspace(0.6, 1.0, scene[y : y + h, x : x + w].shape[1])[None, :, None]
        scene[y : y + h, x : x + w] = rng.uniform(30, 230, 3) * shade
    views = [scene[:, (shift := k * width // PICTURES) : shift + width] for k in range(PICTURES)]
    return [np.clip(view + rng.normal(0.0, NOISE, view.shape), 0, 255).astype(np.uint8) for view in views]


class RecordProbe(Node):
    """Sends what a graph would send, at the contract's rates."""

    def __init__(self, contract: RobotContract) -> None:
        """Open the topics of the robot with this `contract`."""
        super().__init__("record_probe")
        self.sent: dict[str, int] = {}
        self._contract = contract
        self._state = self.create_publisher(ti.ArmState, topics.ARM_STATE, topics.reliable())
        self._executed = self.create_publisher(ti.ExecutedAction, topics.ARM_EXECUTED, topics.reliable())
        self._images = {
            name: (
                self.create_publisher(Image, topics.camera_image(name), topics.reliable()),
                convert.ImageMessage(name, camera.width, camera.height),
                draw_pictures(camera.width, camera.height, seed),
            )
            for seed, (name, camera) in enumerate(contract.cameras.items())
        }
        self._client = self.create_client(RecordEpisode, topics.RECORD_EPISODE)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)
        self._number = count()

    def send_for(self, seconds: float) -> None:
        """Send every topic at its rate for so long [s]."""
        contract = self._contract
        rates = {name: camera.rate_hz for name, camera in contract.cameras.items()}
        rates |= {topics.ARM_STATE: STATE_RATE_HZ, topics.ARM_EXECUTED: contract.control_rate_hz}
        begun = time.monotonic()
        due = dict.fromkeys(rates, begun)
        while (now := time.monotonic()) - begun < seconds:
            for topic, rate_hz in rates.items():
                if now >= due[topic]:
                    self._send(topic)
                    due[topic] += 1.0 / rate_hz
            time.sleep(max(min(due.values()) - time.monotonic(), 0.0))

    def send_pictures(self) -> None:
        """Send one more picture of each camera: a recording is closed once they are past its last step."""
        for topic in self._images:
            self._send(topic)

    def ask(self, episode: str, *, is_open: bool, steps: int = 0) -> RecordEpisode.Response:
        """Open or close a recording and return the recorder's answer."""
        now_ns = self.get_clock().now().nanoseconds
        data = {"task": "probe", "instruction": "be recorded", "seed": 0, "start_stamp_ns": now_ns}
        if not is_open:
            data = to_mapping(EpisodeResult(False, steps, "time_limit"))
        request = RecordEpisode.Request(open=is_open, episode=episode, metadata_json=json.dumps(data))
        request.not_before = convert.to_time(now_ns)
        if not self._client.wait_for_service(timeout_sec=ANSWER_LIMIT_S):
            raise RuntimeError(f"nobody answers on {topics.RECORD_EPISODE}: is recorder_node running?")
        future = self._client.call_async(request)
        self._executor.spin_until_future_complete(future, timeout_sec=ANSWER_LIMIT_S)
        if not future.done():
            raise RuntimeError(f"no answer on {topics.RECORD_EPISODE} within {ANSWER_LIMIT_S:g} s")
        return future.result()

    def _send(self, topic: str) -> None:
        stamp_ns = self.get_clock().now().nanoseconds
        number = next(self._number)
        if topic == topics.ARM_STATE:
            pose = Pose(np.array([0.45, 0.0, 0.25]), np.array([1.0, 0.0, 0.0, 0.0]))
            joints = np.full(len(self._contract.arm.joints), 1e-6 * number)
            state = ArmState(stamp_ns, joints, joints, pose, np.zeros(6), np.zeros(6), 1.0)
            self._state.publish(convert.to_arm_state_msg(state))
        elif topic == topics.ARM_EXECUTED:
            step = np.full(7, 1e-6 * number)
            done = ExecutedStep(stamp_ns, number, Source.POLICY, step, step)
            self._executed.publish(convert.to_executed_msg(done, stamp_ns))
        else:
            publisher, message, pictures = self._images[topic]
            publisher.publish(message.fill(pictures[self.sent.get(topic, 0) % PICTURES], stamp_ns))
        self.sent[topic] = self.sent.get(topic, 0) + 1


def probe(arguments: Sequence[str]) -> int:
    """Record as the command line asks; print one JSON line an episode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robot", required=True, help="robot, or YAML file with its contract")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of an episode")
    parser.add_argument("--episodes", type=int, default=1, help="0: until it is ended")
    parser.add_argument("--prefix", default="probe", help="of the episodes' names")
    settings = parser.parse_args(arguments)
    rclpy.init()
    node = RecordProbe(load_contract(settings.robot))
    try:
        node.send_for(WARM_UP_S)
        for number in count():
            if settings.episodes and number >= settings.episodes:
                break
            name = f"{settings.prefix}-{number:04d}"
            opened = node.ask(name, is_open=True)
            node.sent.clear()
            if opened.accepted:
                node.send_for(settings.seconds)
                node.send_pictures()
                closed = node.ask(name, is_open=False, steps=node.sent.get(topics.ARM_EXECUTED, 0))
                said = {"episode": name, "sent": node.sent, "path": closed.path, "message": closed.message}
            else:
                said = {"episode": name, "sent": {}, "path": "", "message": opened.message}
                node.send_for(WARM_UP_S)
            print(json.dumps(said), flush=True)
    except (KeyboardInterrupt, RuntimeError) as error:
        print(f"record_probe: {error or 'ended'}", file=sys.stderr, flush=True)
        return 1
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def main() -> None:
    """Run the program."""
    sys.exit(probe(rclpy.utilities.remove_ros_args(sys.argv)[1:]))
