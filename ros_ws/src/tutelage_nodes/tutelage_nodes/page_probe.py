"""Begins an episode by hand, and prints when the session's state changes and when a hand's step leaves for the arm.

One JSON line each: the state with the monotonic clock's time [s], or the wall time of a hand's step [ms].
"""

from __future__ import annotations

import json
import time

import rclpy
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunEpisode

from tutelage_core.types import Source
from tutelage_nodes import convert, topics

SEED = 1_000_000
MAX_STEPS = 100_000
"""More than any measurement takes: the episode does not end by itself."""


class PageProbe(Node):
    """Sees in the graph what becomes of what a page does."""

    def __init__(self) -> None:
        """Begin the episode once the session answers."""
        super().__init__("page_probe")
        self._episodes = ActionClient(self, RunEpisode, topics.RUN_EPISODE)
        self.create_subscription(ti.SessionState, topics.SESSION_STATE, self._on_state, topics.latched())
        self.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable())
        self._episodes.wait_for_server()
        goal = RunEpisode.Goal(task="PickCube", seed=SEED, max_steps=MAX_STEPS, driver="hand")
        self._episodes.send_goal_async(goal)

    def _on_state(self, message: ti.SessionState) -> None:
        print(json.dumps({"state": message.state, "reason": message.reason, "s": time.monotonic()}), flush=True)

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        if message.source == Source.HUMAN:
            print(json.dumps({"step_ms": convert.to_ns(message.executed_at) / 1e6}), flush=True)


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    rclpy.init()
    try:
        rclpy.spin(PageProbe())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
