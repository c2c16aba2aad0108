"""A sign of life, sent from a thread of its own: a node that computes for long is not dead, one that is killed is."""

from __future__ import annotations

import threading

from builtin_interfaces.msg import Time
from rclpy.node import Node

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_nodes import convert, topics

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
    """Listens to another node's heartbeat, on the listener's own steady clock."""

    def __init__(self, node: Node, other: str, clock: Clock) -> None:
        """Listen on `node` to the node named `other`."""
        self._clock, self.other = clock, other
        self._heard_ns: int | None = None
        node.create_subscription(Time, topics.heartbeat(other), self._on_beat, topics.newest())

    def silent_s(self) -> float:
        """Return for how long nothing was heard [s]; 0 as long as it was never heard at all."""
        return 0.0 if self._heard_ns is None else (self._clock.now_ns() - self._heard_ns) / NS_PER_S

    def _on_beat(self, _: Time) -> None:
        self._heard_ns = self._clock.now_ns()
