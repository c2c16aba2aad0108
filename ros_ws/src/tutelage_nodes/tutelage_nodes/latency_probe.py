"""A measuring tool: listens to executed actions and chunks, and prints them with their times as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from tutelage_interfaces import msg as ti

from tutelage_core.contract import NS_PER_S
from tutelage_nodes import convert, topics

DEPTH = 100


class LatencyProbe(Node):
    """Notes executed actions and chunks."""

    def __init__(self, settle_s: float) -> None:
        """Listen to the arm and the policy; actions of the first `settle_s` [s] are left out.

        A process that joins makes all others exchange discovery messages: its own arrival must not be measured.
        """
        super().__init__("latency_probe")
        self.executed: list[dict[str, object]] = []
        self.chunks: list[dict[str, object]] = []
        self._settle_ns = round(settle_s * NS_PER_S)
        self.start_ns: int | None = None
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable(DEPTH))
        self.create_subscription(ti.ActionChunk, topics.POLICY_CHUNK, self._on_chunk, topics.reliable(DEPTH))

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        executed_ns = convert.to_ns(message.executed_at)
        if self.start_ns is None:
            self.start_ns = executed_ns + self._settle_ns
        if executed_ns < self.start_ns:
            return
        self.executed.append(
            {
                "sequence": message.sequence,
                "source": message.source,
                "reasons": list(message.reasons),
                "stamp_ns": convert.to_ns(message.header.stamp),
                "executed_ns": executed_ns,
            }
        )

    def _on_chunk(self, message: ti.ActionChunk) -> None:
        self.chunks.append(
            {
                "stamp_ns": convert.to_ns(message.header.stamp),
                "inference_s": message.inference_s,
                "seen_ns": self.get_clock().now().nanoseconds,
            }
        )


def probe(arguments: Sequence[str]) -> int:
    """Listen as the command line asks; return 1 when the arm executes nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to listen")
    parser.add_argument("--settle-s", type=float, default=3.0, help="from the first executed action until that begins")
    parser.add_argument("--patience-s", type=float, default=30.0, help="how long to wait for the first action")
    settings = parser.parse_args(arguments)
    rclpy.init()
    node = LatencyProbe(settings.settle_s)
    begun_ns = node.get_clock().now().nanoseconds
    try:
        while True:
            rclpy.spin_once(node, timeout_sec=0.1)
            limit_s = settings.patience_s if node.start_ns is None else settings.seconds
            if node.get_clock().now().nanoseconds - (node.start_ns or begun_ns) > limit_s * NS_PER_S:
                break
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # what was seen until now counts
    print(json.dumps({"executed": node.executed, "chunks": node.chunks}), flush=True)
    if not node.executed:
        print(f"latency_probe: the arm executed nothing within {settings.patience_s:g} s", file=sys.stderr, flush=True)
    code = 0 if node.executed else 1
    node.destroy_node()
    rclpy.try_shutdown()
    return code


def main() -> None:
    """Run the program."""
    sys.exit(probe(rclpy.utilities.remove_ros_args(sys.argv)[1:]))
