"""A test tool: runs an episode, lets things go wrong at given times, and writes down what the arm did, as JSON.

Times of the script count from the first motion after a few steady steps [s]. Stamps in the report are of the steady
clock, which all processes of a machine share, so that a test can compare them with the moment at which it killed a
node.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from std_msgs.msg import String
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode
from tutelage_interfaces.srv import Command

from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_nodes import convert, topics

MOVING_RAD_S = 0.05
"""Joint speed from which on the arm counts as in motion [rad/s]."""

STEADY_STEPS = 5
"""The policy drives for so many steps in a row before the script begins."""

START_AGAIN_S = 0.5
"""How often a pause that is not the fault's is ended by START, as an operator would [s]."""

TELEOP_PERIOD_S = 0.02
TELEOP_SPEED_M_S = 0.1


class FaultProbe(Node):
    """Watches the arm and plays a script of `(time, what, word)`.

    `what` is `inject` (a fault), `event` (a session event), `arm` (an arm event), or `key` (`down`, `up`, `silent`).
    """

    def __init__(
        self, script: list[tuple[float, str, str]], seconds: float, task: str, seed: int, expect: str = ""
    ) -> None:
        """Run an episode of `task` from `seed` and end `seconds` [s] after the first motion.

        On a machine that is busy an episode may be paused for want of a picture or of a sign of life. Before the
        script begins such a pause is ended at once. With `expect`, so is a later one that does not name it: it is
        counted as `false_pauses` and the fault is waited for.
        """
        super().__init__("fault_probe")
        self._script, self._seconds, self._expect = sorted(script), seconds, expect
        self._state, self._reason, self._steady_steps = "", "", 0
        self._steady = SteadyClock()
        self._moved_ns: int | None = None
        self.done = False
        self.report: dict[str, Any] = {"speeds": [], "executed": [], "session": [], "script": [], "answers": []}
        self.report["false_pauses"] = 0
        self._key, self._sequence = "", 0
        faults = {word.split()[0] for _, what, word in script if what == "inject"}
        self._faults = {c: self.create_publisher(String, topics.fault(c), topics.reliable()) for c in faults}
        self._teleop = self.create_publisher(ti.TeleopInput, topics.TELEOP, topics.reliable())
        self._doors = {
            "event": self.create_client(Command, topics.SESSION_EVENT),
            "arm": self.create_client(Command, topics.ARM_EVENT),
        }
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())
        self.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_session, topics.latched())
        self.create_timer(0.005, self._play)
        self.create_timer(TELEOP_PERIOD_S, self._tell_key)
        self.create_timer(START_AGAIN_S, self._end_false_pause)
        self._goal = RunEpisode.Goal(task=task, seed=seed, max_steps=10_000)
        self._session_client = ActionClient(self, RunEpisode, topics.RUN_EPISODE)

    def begin(self) -> None:
        """Ask for the episode."""
        if not self._session_client.wait_for_server(30.0):
            raise SystemExit("no session answers")
        self._session_client.send_goal_async(self._goal).add_done_callback(self._on_goal)

    def _on_goal(self, accepted: Any) -> None:
        handle = accepted.result()
        self.report["accepted"] = bool(handle.accepted)
        if handle.accepted:
            handle.get_result_async().add_done_callback(self._on_result)

    def _on_result(self, future: Any) -> None:
        result = future.result().result
        self.report["result"] = {
            "at_ns": self._steady.now_ns(),
            "termination": result.termination,
            "message": result.message,
        }

    def _on_state(self, message: ti.ArmState) -> None:
        now_ns = self._steady.now_ns()
        speed = float(np.abs(message.joint_velocities).max())
        position = convert.from_pose_msg(message.pose).position
        self.report["speeds"].append([now_ns, speed, *position.tolist()])
        if self._moved_ns is None and speed > MOVING_RAD_S and self._steady_steps >= STEADY_STEPS:
            self._moved_ns = now_ns
            print(f"MOVING {now_ns}", flush=True)

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        executed = np.array(message.executed)
        self._steady_steps = self._steady_steps + 1 if message.source == ti.ArmCommand.POLICY else 0
        self.report["executed"].append(
            [self._steady.now_ns(), int(message.source), float(np.linalg.norm(executed[:3])), list(message.reasons)]
        )
        self.report["finite"] = self.report.get("finite", True) and bool(np.isfinite(executed).all())

    def _on_session(self, message: ti.SessionState) -> None:
        if message.state == "PAUSED" != self._state:
            self.report["false_pauses"] += self._is_false_pause(message.state, message.reason)
        self._state, self._reason = (message.state if message.episode else ""), message.reason
        self.report["session"].append([self._steady.now_ns(), message.state, message.reason])

    def _is_false_pause(self, state: str, reason: str) -> bool:
        missed = bool(self._expect) and self._expect not in reason
        return state == "PAUSED" and (self._moved_ns is None or missed)

    def _end_false_pause(self) -> None:
        if self._is_false_pause(self._state, self._reason):
            self._doors["event"].call_async(Command.Request(event="START", reason="fault_probe"))

    def _play(self) -> None:
        if self._moved_ns is None:
            return
        passed_s = (self._steady.now_ns() - self._moved_ns) / NS_PER_S
        while self._script and self._script[0][0] <= passed_s:
            _, what, word = self._script.pop(0)
            self.report["script"].append([self._steady.now_ns(), what, word])
            if what == "inject":
                component, mode = word.split()
                self._faults[component].publish(String(data=mode))
            elif what == "key":
                self._key = word
            else:
                call = self._doors[what].call_async(Command.Request(event=word, reason="fault_probe"))
                call.add_done_callback(self._on_answer)
        self.done = passed_s > self._seconds

    def _on_answer(self, future: Any) -> None:
        answer = future.result()
        self.report["answers"].append([self._steady.now_ns(), answer.accepted, answer.state, answer.message])

    def _tell_key(self) -> None:
        """Hold the enabling key down or up and ask for motion along y; say nothing while it is silent."""
        if self._key in ("", "silent"):
            return
        self._sequence += 1
        message = ti.TeleopInput(sequence=self._sequence, device="probe", deadman=self._key == "down")
        message.header.stamp = self.get_clock().now().to_msg()
        message.twist.linear.y = TELEOP_SPEED_M_S
        message.gripper_opening = 1.0
        self._teleop.publish(message)


def main() -> None:
    """Run the probe and write its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--task", default="PickCube")
    parser.add_argument("--seed", type=int, default=1_000_000)
    parser.add_argument("--script", default="[]", help="JSON list of [seconds, what, word]")
    parser.add_argument("--expect", default="", help="words of the fault's pause; START ends every other one")
    settings = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    rclpy.init()
    script = [(float(at), str(what), str(word)) for at, what, word in json.loads(settings.script)]
    probe = FaultProbe(script, settings.seconds, settings.task, settings.seed, settings.expect)
    probe.begin()
    while not probe.done:
        rclpy.spin_once(probe, timeout_sec=0.2)
    settings.out.write_text(json.dumps(probe.report), encoding="utf-8")
    probe.destroy_node()
    rclpy.try_shutdown()
