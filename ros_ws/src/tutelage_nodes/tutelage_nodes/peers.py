"""Whether the nodes that an episode needs are alive."""

from __future__ import annotations

import math

from rclpy.node import Node

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_nodes.heartbeat import Pulse
from tutelage_nodes.one_graph import PeerProcess

ARM_SILENCE_S = 1.0
"""Without an arm state for so long an episode ends [s, steady]."""


class Peers:
    """Looks after arm and policy. In lock-step nobody hurries, and only the end of a process counts."""

    def __init__(self, node: Node, clock: Clock, policy_silence_s: float, *, lockstep: bool) -> None:
        """Listen on `node`; a policy that gives no sign of life for `policy_silence_s` [s] is dead."""
        self._clock, self._lockstep = clock, lockstep
        self._pulse = Pulse(node, "policy_node", clock, math.inf if lockstep else policy_silence_s)
        self._arm_process = PeerProcess("/arm_node")
        self._arm_heard_ns = clock.now_ns()

    def note_alive(self) -> None:
        """See who is alive now: whose process is gone later has ended in between."""
        self._pulse.trouble()
        self._arm_process.has_ended()
        self.arm_spoke()

    def arm_spoke(self) -> None:
        """Note a state of the arm."""
        self._arm_heard_ns = self._clock.now_ns()

    def policy_trouble(self) -> str:
        """Return what is wrong with the policy, empty if nothing is."""
        return self._pulse.trouble()

    def arm_trouble(self) -> str:
        """Return what is wrong with the arm, empty if nothing is."""
        if self._arm_process.has_ended():
            return "the process of arm_node has ended: the arm's controller holds by itself; start arm_node again"
        silent_s = (self._clock.now_ns() - self._arm_heard_ns) / NS_PER_S
        if self._lockstep or silent_s <= ARM_SILENCE_S:
            return ""
        return f"no arm state for {silent_s:.2f} s: look at arm_node and at the arm's connection"
