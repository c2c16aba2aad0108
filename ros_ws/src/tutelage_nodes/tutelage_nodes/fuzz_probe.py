"""A test tool: malformed messages, drawn from a seed, on the topics of a running graph; prints what came of them.

The first half also holds commands to the arm. A second sender of those keeps every episode from beginning, so in the
second half there are none, and episodes run, one after the other.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

import numpy as np
import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command

from tutelage_nodes import topics

NUMBERS = (0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, 1e9)
WORDS = ("", "rgb8", "bgr8", "mono8", "16UC1", "RGB8", "x" * 300, "front", "policy", "session_node")
NODES = ("arm_node", "policy_node", "session_node", "recorder_node", "twin_node")
PERIOD_S = 0.004
EPISODE_LOOK_S = 0.5
ANSWER_S = 5.0


class FuzzProbe(Node):
    """Sends one malformed message every `PERIOD_S` and listens to what is executed."""

    def __init__(self, messages: int, seed: int) -> None:
        """Send `messages` messages drawn from `seed`."""
        super().__init__("fuzz_probe")
        self._rng, self._all, self.sent = np.random.default_rng(seed), messages, 0
        self.executed: list[np.ndarray] = []
        self.episodes, self._runs = 0, False
        command = self.create_publisher(ti.ArmCommand, topics.ARM_COMMAND, topics.reliable())
        self._doors = (
            (command, self._command),
            (self.create_publisher(Image, topics.camera_image("front"), topics.reliable()), self._image),
            (self.create_publisher(ti.ActionChunk, topics.POLICY_CHUNK, topics.reliable()), self._chunk),
            (self.create_publisher(ti.TeleopInput, topics.TELEOP, topics.reliable()), self._teleop),
        )
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable(1000))
        self._event = self.create_client(Command, topics.SESSION_EVENT)
        self._session = ActionClient(self, RunEpisode, topics.RUN_EPISODE)
        self.create_timer(PERIOD_S, self._send)
        self.create_timer(EPISODE_LOOK_S, self._look_for_episode)

    @property
    def is_done(self) -> bool:
        """Whether everything is sent."""
        return self.sent >= self._all

    def silent_nodes(self) -> list[str]:
        """Return the nodes that do not answer when they are asked what they lack."""
        silent: list[str] = []
        for name in NODES:
            client = self.create_client(Trigger, topics.ready(name))
            answer = client.call_async(Trigger.Request())
            rclpy.spin_until_future_complete(self, answer, timeout_sec=ANSWER_S)
            silent += [] if answer.done() else [name]
        return silent

    def clear_stop(self) -> None:
        """Leave the stop that malformed commands latched."""
        answer = self._event.call_async(Command.Request(event="CLEAR_STOP", reason=self.get_name()))
        rclpy.spin_until_future_complete(self, answer, timeout_sec=ANSWER_S)

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self.executed.append(np.array(message.executed))

    def _send(self) -> None:
        if any(publisher.get_subscription_count() == 0 for publisher, _ in self._doors):
            return  # not everybody is there yet
        if self.is_done:
            return
        publisher, make = self._doors[self.sent % len(self._doors)]
        publisher.publish(make())
        self.sent += 1
        if self.sent == self._all // 2:
            command, _ = self._doors[0]
            self._doors = self._doors[1:]
            self.destroy_publisher(command)

    def _look_for_episode(self) -> None:
        if self._runs or self.sent < self._all // 2 or self.is_done:
            return
        self._runs = True
        cleared = self._event.call_async(Command.Request(event="CLEAR_STOP", reason=self.get_name()))
        cleared.add_done_callback(lambda _: self._begin_episode())

    def _begin_episode(self) -> None:
        goal = RunEpisode.Goal(task="PickCube", seed=1_000_000 + self.episodes, max_steps=50)
        self._session.send_goal_async(goal).add_done_callback(self._on_goal)

    def _on_goal(self, answer: Any) -> None:
        handle = answer.result()
        if not handle.accepted:
            self._runs = False
            return
        self.episodes += 1
        handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, _: Any) -> None:
        self._runs = False

    # malformed messages

    def _number(self) -> float:
        return float(self._rng.choice(NUMBERS)) if self._rng.random() < 0.5 else float(self._rng.normal())

    def _numbers(self, count: int) -> list[float]:
        return [self._number() for _ in range(count)]

    def _count(self, most: int) -> int:
        return int(self._rng.integers(most))

    def _stamped(self, message: Any) -> Any:
        """Stamp with the present in half of the cases, such as get further, else with anything."""
        message.header.stamp = self.get_clock().now().to_msg()
        if self._count(2):
            message.header.stamp.sec = int(self._rng.integers(-(2**31), 2**31))
            message.header.stamp.nanosec = int(self._rng.integers(0, 2**32))
        return message

    def _word(self) -> str:
        return str(self._rng.choice(WORDS))

    def _command(self) -> ti.ArmCommand:
        message = ti.ArmCommand(sequence=self._count(2**40), source=self._count(256), sender=self._word())
        message.step = np.array(self._numbers(7))
        return self._stamped(message)

    def _image(self) -> Image:
        """Make a picture whose parts contradict each other, or a sound one of a wrong size."""
        height, width = self._count(8), self._count(8)
        message = Image(height=height, width=width, encoding=self._word(), step=self._count(30))
        length = self._count(200)
        if self._count(3) == 0:
            message.encoding, message.step, length = "rgb8", 3 * width, 3 * width * height
        message.data = self._rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        return self._stamped(message)

    def _chunk(self) -> ti.ActionChunk:
        message = ti.ActionChunk(length=self._count(5), phrase=self._word(), policy=self._word())
        message.period.sec, message.period.nanosec = self._count(3) - 1, self._count(10**9)
        message.steps = self._numbers(7 * message.length if self._count(2) else self._count(40))
        return self._stamped(message)

    def _teleop(self) -> ti.TeleopInput:
        message = ti.TeleopInput(sequence=self._count(2**40), device=self._word(), deadman=bool(self._count(2)))
        for axes in (message.twist.linear, message.twist.angular):
            axes.x, axes.y, axes.z = self._numbers(3)
        message.gripper_opening = self._number()
        message.buttons = [self._word() for _ in range(self._count(40))]
        return self._stamped(message)


def main() -> None:
    """Run the probe and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    rclpy.init()
    probe = FuzzProbe(settings.messages, settings.seed)
    while not probe.is_done:
        rclpy.spin_once(probe, timeout_sec=0.2)
    probe.clear_stop()
    silent = probe.silent_nodes()
    steps = np.array(probe.executed)
    report = {
        "sent": probe.sent,
        "executed": len(steps),
        "episodes": probe.episodes,
        "silent": silent,
        "finite": bool(np.isfinite(steps).all()),
        "longest_step_m": float(np.linalg.norm(steps[:, :3], axis=1).max()),
    }
    print(json.dumps(report), flush=True)
    probe.destroy_node()
    rclpy.try_shutdown()
