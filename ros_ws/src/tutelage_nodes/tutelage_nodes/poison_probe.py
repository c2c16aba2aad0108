"""A test tool: sends poisoned commands to the arm and says what became of them, as one JSON line."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter

import numpy as np
import rclpy
from rclpy.node import Node
from tutelage_interfaces import msg as ti

from tutelage_core.contract import NS_PER_S
from tutelage_core.types import STEP_SIZE
from tutelage_nodes import convert, topics

PERIOD_S = 0.05
KINDS = ("nan", "inf", "huge", "stale")


class PoisonProbe(Node):
    """Sends one bad command every `PERIOD_S` and listens to what was executed and where the arm is."""

    def __init__(self, kind: str, commands: int) -> None:
        """Send `commands` commands of one `kind`."""
        super().__init__("poison_probe")
        self._kind, self._left = kind, commands
        self._sequence = 0
        self.reasons: Counter[str] = Counter()
        self.executed: list[np.ndarray] = []
        self.positions: list[np.ndarray] = []
        self.done = False
        self._publisher = self.create_publisher(ti.ArmCommand, topics.ARM_COMMAND, topics.reliable())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())
        self.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable())
        self.create_timer(PERIOD_S, self._send)

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self.reasons.update(message.reasons)
        self.executed.append(np.array(message.executed))

    def _on_state(self, message: ti.ArmState) -> None:
        self.positions.append(convert.from_pose_msg(message.pose).position)

    def _send(self) -> None:
        if not self.positions or self._publisher.get_subscription_count() == 0:
            return  # the arm is not there yet
        if self._left == 0:
            self.done = len(self.executed) > 0
            return
        self._left -= 1
        self._sequence += 1
        step = np.zeros(STEP_SIZE)
        step[0] = {"nan": np.nan, "inf": np.inf, "huge": 5.0, "stale": 0.01}[self._kind]
        stamp_ns = self.get_clock().now().nanoseconds - (10 * NS_PER_S if self._kind == "stale" else 0)
        message = ti.ArmCommand(sequence=self._sequence, source=ti.ArmCommand.POLICY, step=step)
        message.header.stamp = convert.to_time(stamp_ns)
        self._publisher.publish(message)


def main() -> None:
    """Run the probe and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--commands", type=int, default=20)
    settings = parser.parse_args(rclpy.utilities.remove_ros_args(sys.argv)[1:])
    rclpy.init()
    probe = PoisonProbe(settings.kind, settings.commands)
    while not probe.done:
        rclpy.spin_once(probe, timeout_sec=0.2)
    executed, positions = np.array(probe.executed), np.array(probe.positions)
    print(
        json.dumps(
            {
                "reasons": dict(probe.reasons),
                "executed_finite": bool(np.isfinite(executed).all()),
                "largest_executed_m": float(np.abs(executed[:, :3]).max()),
                "moved_m": float(np.linalg.norm(positions - positions[0], axis=1).max()),
            }
        ),
        flush=True,
    )
    probe.destroy_node()
    rclpy.try_shutdown()
