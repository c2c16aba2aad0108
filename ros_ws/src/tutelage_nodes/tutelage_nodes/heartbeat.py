"""A sign of life, sent from a thread of its own: a node that computes for long is not dead, one that is killed is."""

from __future__ import annotations

import threading

from builtin_interfaces.msg import Time
from rclpy.node import Node

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_nodes import convert, topics
from tutelage_nodes.one_graph import PeerProcess

PERIOD_S = 0.04


class Heartbeat:
    """Sends a message on `/<node>/heartbeat` every `PERIOD_S` until `stop`."""

    def __init__(self, node: Node, clock: Clock) -> None:
        """Begin at once."""
        self._publisher = node.create_publisher(Time, topics.heartbeat(node.get_name()), topics.newest())
        self._clock = clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join(timeout=1.0)

    def _beat(self) -> None:
        while not self._over.wait(PERIOD_S):
            self._publisher.publish(convert.to_time(self._clock.now_ns()))


class Pulse:
    """Says when another node is dead.

    Two signs: its process has ended (known at once, on the same machine), or its heartbeat is silent on the listener's
    own steady clock.
    """

    def __init__(self, node: Node, other: str, clock: Clock, silence_s: float) -> None:
        """Listen on `node` to the node named `other`; it is dead after `silence_s` [s] of silence."""
        self._clock, self.other, self._silence_s = clock, other, silence_s
        self._heard_ns: int | None = None
        self._process = PeerProcess(f"/{other}")
        node.create_subscription(Time, topics.heartbeat(other), self._on_beat, topics.newest())

    def trouble(self) -> str:
        """Return what is wrong with the other node, empty if nothing is or if it was never heard."""
        if self._process.has_ended():
            return f"the process of {self.other} has ended: start it again"
        if self._heard_ns is None:
            return ""
        silent_s = (self._clock.now_ns() - self._heard_ns) / NS_PER_S
        return f"{self.other} is silent for {silent_s:.2f} s: has it died?" if silent_s > self._silence_s else ""

    def _on_beat(self, _: Time) -> None:
        self._heard_ns = self._clock.now_ns()
