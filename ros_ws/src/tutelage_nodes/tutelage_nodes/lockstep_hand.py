"""A hand in lock-step: its word is for one observation, and is waited for as the policy's chunk is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from tutelage_interfaces import msg as ti

from hardware.safety.chunk_check import object_to_chunk
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import FloatArray
from tutelage_nodes import convert, topics


class LockstepHand:
    """Keeps the newest word. Time waits for it, so silence is no sign of anything: no liveness is looked after."""

    def __init__(self, node: Node, period_s: float, limits: SafetyLimits, tell: Callable[[bool], None]) -> None:
        """Listen on `node`.

        Args:
            node: whose topic it is.
            period_s: control period: a step is the twist times this [s].
            limits: of the robot; a word beyond them lets go.
            tell: called with each word: whether the enabling key is held.
        """
        self._period_s, self._limits, self._tell = period_s, limits, tell
        self.step: FloatArray | None = None
        """The step for the observation of `stamp_ns`, shape (7,) [m, rad, 0..1]; None while the key is not held."""
        self.stamp_ns = -1
        """Observation that the newest word is for [ns]."""
        self.counters: dict[str, int] = {}
        """What was refused, and how often."""
        node.create_subscription(ti.TeleopInput, topics.TELEOP, self._on_word, topics.reliable())

    def look(self) -> None:
        """Nothing happens by itself in lock-step."""

    def _on_word(self, message: ti.TeleopInput) -> None:
        stamp_ns = convert.to_ns(message.header.stamp)
        if stamp_ns <= self.stamp_ns:
            return
        self.stamp_ns, self.step = stamp_ns, None
        if message.deadman:
            linear, angular = message.twist.linear, message.twist.angular
            twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
            step = np.append(twist * self._period_s, message.gripper_opening)
            if object_to_chunk(step[None], self._limits):
                self.counters["refused_words"] = self.counters.get("refused_words", 0) + 1
            else:
                self.step = step
        self._tell(self.step is not None)
