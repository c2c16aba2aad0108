"""A measuring tool: a hand that leads the arm along a path, in an episode of its own; prints what the arm did as JSON.

The path is a JSON file of `[time, vx, vy, vz]` rows [s, m/s] of equal spacing; each row is one message of the hand.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command

from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import STEP_SIZE
from tutelage_nodes import convert, topics

WAIT_S = 60.0


class TeleopProbe(Node):
    """Asks for an episode by hand, sets the scene (there is none), presses the key and follows the path."""

    def __init__(self, path: list[list[float]]) -> None:
        """Follow `path`."""
        super().__init__("teleop_probe")
        self._path, self._ended, self._sequence = path, False, 0
        self._steady = SteadyClock()
        self._begun_ns: int | None = None
        self.done = False
        self.report: dict[str, Any] = {"states": [], "executed": [], "session": [], "result": {}}
        self._teleop = self.create_publisher(ti.TeleopInput, topics.TELEOP, topics.reliable())
        self._event = self.create_client(Command, topics.SESSION_EVENT)
        self._session = ActionClient(self, RunEpisode, topics.RUN_EPISODE)
        self.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_session, topics.latched())
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())
        self.create_timer(path[1][0] - path[0][0], self._on_timer)

    def begin(self) -> None:
        """Ask for the episode.

        Raises:
            SystemExit: no session answers.
        """
        if not self._session.wait_for_server(WAIT_S) or not self._event.wait_for_service(WAIT_S):
            raise SystemExit("no session answers")
        goal = RunEpisode.Goal(task="follow the hand", max_steps=1_000_000, driver="hand")
        self._session.send_goal_async(goal).add_done_callback(self._on_goal)

    def _on_goal(self, accepted: Any) -> None:
        if not accepted.result().accepted:
            raise SystemExit("the session rejects the episode")
        accepted.result().get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        result = future.result().result
        self.report["result"] = {"termination": result.termination, "message": result.message}
        self.done = True

    def _on_session(self, message: ti.SessionState) -> None:
        self.report["session"].append([self._steady.now_ns(), message.state, message.reason])
        if message.reason.startswith("set the scene"):
            self._event.call_async(Command.Request(event="START", reason="teleop_probe: the scene is set"))
        elif message.reason == "waiting for a hand":
            self._begun_ns = self._steady.now_ns()

    def _on_state(self, message: ti.ArmState) -> None:
        place = convert.from_pose_msg(message.pose).position.tolist()
        row = [convert.to_ns(message.header.stamp), *place, math.hypot(*message.tcp_velocity[:3])]
        self.report["states"].append(row)

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        executed = [float(v) for v in message.executed[: STEP_SIZE - 1]]
        row = [convert.to_ns(message.executed_at), int(message.source), *executed[:3], list(message.reasons)]
        self.report["executed"].append(row)

    def _on_timer(self) -> None:
        if self._begun_ns is None or self.done:
            return
        self._sequence += 1
        message = ti.TeleopInput(sequence=self._sequence, device="probe", gripper_opening=1.0)
        message.header.stamp = self.get_clock().now().to_msg()
        # the key is seen up first, and pressed then; the hand follows its own clock, not the number of its messages
        passed_s = (self._steady.now_ns() - self._begun_ns) / NS_PER_S - 0.5
        index = int(passed_s / (self._path[1][0] - self._path[0][0]))
        message.deadman = 0 <= index < len(self._path)
        if message.deadman:
            linear = message.twist.linear
            linear.x, linear.y, linear.z = self._path[index][1:]
        elif index >= len(self._path) and not self._ended:
            self._ended = True
            self._event.call_async(Command.Request(event="EPISODE_ENDED", reason="the path is at its end"))
        self._teleop.publish(message)


def main() -> None:
    """Run the probe and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    rclpy.init()
    probe = TeleopProbe(json.loads(settings.path.read_text(encoding="utf-8")))
    probe.begin()
    while not probe.done:
        rclpy.spin_once(probe, timeout_sec=0.2)
    settings.out.write_text(json.dumps(probe.report), encoding="utf-8")
    probe.destroy_node()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
