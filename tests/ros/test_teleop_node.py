"""`teleop_node` on real DDS, with a terminal that the test types into."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from running_graph import test_environment as graph_of
from tutelage_interfaces import msg as ti

from tutelage_nodes import topics

pytestmark = pytest.mark.ros

LIMIT_S = 40.0
REPEAT_S = 0.03


class Desk:
    """A keyboard, the node that reads it, and a listener to what the node says."""

    def __init__(self, domain: int, folder: Path) -> None:
        self.keyboard, terminal = os.openpty()
        options = folder / "options.yaml"
        options.write_text(f"terminal: {os.ttyname(terminal)}\nquiet_s: 0.7\narmed_s: 5.0\n", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tutelage_nodes.teleop_node", "--ros-args", "-p", f"options_file:={options}"],
            env=graph_of(domain),
        )
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard: list[ti.TeleopInput] = []
        self.node.create_subscription(ti.TeleopInput, topics.TELEOP, self.heard.append, topics.reliable())
        self.executed = self.node.create_publisher(ti.ExecutedAction, topics.ARM_EXECUTED, topics.reliable())
        self.terminal = terminal

    def type_until(self, key: bytes, seen: Callable[[ti.TeleopInput], bool]) -> ti.TeleopInput:
        """Hold `key` (nothing if empty) until a message that came from now on fits."""
        end, begin = time.monotonic() + LIMIT_S, len(self.heard)
        while True:
            if fitting := [message for message in self.heard[begin:] if seen(message)]:
                return fitting[0]
            assert time.monotonic() < end, f"not heard within {LIMIT_S} s; last: {self.heard[-1:]}"
            if key:
                os.write(self.keyboard, key)
            self.executor.spin_once(timeout_sec=REPEAT_S)

    def unplug(self) -> None:
        os.close(self.terminal)
        os.close(self.keyboard)

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=LIMIT_S)

    def clear_away(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def desk(domain: int, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(domain, tmp_path)
    yield desk
    desk.clear_away()


def test_a_held_key_moves_and_a_released_or_lost_one_lets_go(desk: Desk) -> None:
    first = desk.type_until(b"", lambda _: True)
    assert (first.device, first.deadman, first.header.frame_id) == ("keyboard", False, "base")
    begin = len(desk.heard)
    desk.type_until(b"", lambda _: len(desk.heard) >= begin + 20)  # 1 s at 20 Hz: long enough without a key
    desk.type_until(b" ", lambda message: message.deadman)
    moving = desk.type_until(b"w", lambda message: message.twist.linear.x > 0.0)
    assert moving.deadman
    assert moving.twist.linear.x == pytest.approx(0.1)
    assert desk.type_until(b"", lambda message: not message.deadman).twist.linear.x == 0.0
    desk.unplug()
    last = desk.heard[-1].sequence
    assert not desk.type_until(b"", lambda message: message.sequence > last + 5).deadman
    sequences = [message.sequence for message in desk.heard]
    assert sequences == sorted(set(sequences))
    assert desk.end() == 0


def test_the_gripper_follows_what_was_executed_until_the_hand_takes_over(desk: Desk) -> None:
    desk.type_until(b"", lambda _: True)
    executed = ti.ExecutedAction()
    executed.executed[6] = 0.25

    def told(message: ti.TeleopInput) -> bool:
        desk.executed.publish(executed)
        return message.gripper_opening == 0.25

    assert not desk.type_until(b"", told).deadman


def test_a_device_that_is_not_there_is_refused_by_name(domain: int) -> None:
    command = [sys.executable, "-m", "tutelage_nodes.teleop_node", "--ros-args", "-p"]
    for device, reason in (
        ("spacemouse", "no SpaceMouse among"),
        ("gamepad", "no gamepad number 0"),
        ("mouse", "legal:"),
    ):
        done = subprocess.run(
            [*command, f"device:={device}"],
            env=graph_of(domain),
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert done.returncode == 1
        assert reason in done.stdout + done.stderr
