"""Injected faults, for tests of what the rest of the graph makes of them. Off unless the environment allows them.

`TUTELAGE_FAULTS=1` makes nodes listen on `/faults/<component>`, such as `/faults/policy` or `/faults/camera/front`, for
a `FaultMode`; `none` ends a fault. The program `inject` sends one. What a node says is spoilt on its way to the
publisher; only `kill` touches the node itself.
"""

from __future__ import annotations

import copy
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.timer import Timer
from std_msgs.msg import String

from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import UnknownNameError
from tutelage_nodes import topics

ALLOWED = "TUTELAGE_FAULTS"
DELAY_S = 0.2
DELAY_LOOK_S = 0.005
"""How often delayed messages are looked after [s]."""

DROP_EVERY = 3
NOISE_SEED = 0
"""Seed of the bytes that garbage is made of."""


class FaultMode(StrEnum):
    """What is wrong with a component."""

    NONE = "none"
    OFF = "off"  # says nothing
    STUCK = "stuck"  # says the same content for ever, with fresh stamps
    GARBAGE = "garbage"  # not a number where numbers should be, noise where bytes should be
    WRONG = "wrong"  # numbers far beyond every limit, half of the bytes
    SLOW = "slow"  # each message takes DELAY_S to make: the whole node slows down
    DELAYED = "delayed"  # each message comes DELAY_S later, as often as ever: a slow network
    INTERMITTENT = "intermittent"  # every third message is lost
    KILL = "kill"  # the node ends at once, without a word


class FaultInjector:
    """Stands between a node and a publisher: `send(message, publish)` publishes what the fault makes of it."""

    def __init__(self, node: Node, component: str, field: str) -> None:
        """Listen for faults of `component`, whose content is the message's `field`; does nothing unless allowed."""
        self._node, self._component, self._field = node, component, field
        self._mode, self._count, self._kept = FaultMode.NONE, 0, None
        self._steady = SteadyClock()
        self._late: deque[tuple[int, Any, Callable[[Any], None]]] = deque()
        self._timer: Timer | None = None
        if os.environ.get(ALLOWED) == "1":
            node.create_subscription(String, topics.fault(component), self._on_fault, topics.reliable())
            node.get_logger().warning(f"faults of {component} can be injected: {ALLOWED}=1")

    def send(self, message: Any, publish: Callable[[Any], None]) -> None:
        """Publish `message`, or what the present fault makes of it."""
        mode = self._mode
        self._count += 1
        if mode is FaultMode.OFF or (mode is FaultMode.INTERMITTENT and self._count % DROP_EVERY == 0):
            return
        if mode is FaultMode.DELAYED:
            # a node may fill the same message again before this one leaves
            due_ns = self._steady.now_ns() + round(DELAY_S * NS_PER_S)
            self._late.append((due_ns, copy.deepcopy(message), publish))
        elif mode in (FaultMode.STUCK, FaultMode.GARBAGE, FaultMode.WRONG):
            self._publish_spoilt(message, publish)
        else:
            if mode is FaultMode.SLOW:
                time.sleep(DELAY_S)
            publish(message)

    def _publish_spoilt(self, message: Any, publish: Callable[[Any], None]) -> None:
        """Publish other content and give the message its own back: a node may fill the same one again."""
        content = getattr(message, self._field)
        if self._mode is FaultMode.STUCK:
            if self._kept is None:
                self._kept = copy.copy(content)
            setattr(message, self._field, self._kept)
        else:
            setattr(message, self._field, spoil(content, self._mode))
        publish(message)
        setattr(message, self._field, content)

    def _publish_late(self) -> None:
        while self._late and self._late[0][0] <= self._steady.now_ns():
            _, message, publish = self._late.popleft()
            publish(message)

    def _on_fault(self, message: String) -> None:
        if message.data not in tuple(FaultMode):
            self._node.get_logger().error(str(UnknownNameError("fault mode", message.data, FaultMode)))
            return
        self._mode, self._count, self._kept = FaultMode(message.data), 0, None
        self._node.get_logger().warning(f"fault of {self._component}: {message.data}")
        if self._mode is FaultMode.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        self._late.clear()  # what is still on its way when another fault begins is lost
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
        if self._mode is FaultMode.DELAYED:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._timer = self._node.create_timer(DELAY_LOOK_S, self._publish_late, clock=steady)


def listen_for_kill(node: Node) -> None:
    """Let `node` be killed by its own name; does nothing unless faults are allowed. It has no other faults."""
    if os.environ.get(ALLOWED) != "1":
        return

    def on_fault(message: String) -> None:
        if message.data == FaultMode.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        node.get_logger().error(f"a node knows only the fault '{FaultMode.KILL}', got '{message.data}'")

    node.create_subscription(String, topics.fault(node.get_name()), on_fault, topics.reliable())


def spoil(content: Any, mode: FaultMode) -> Any:
    """Return content of the same kind that is garbage or wrong: a sequence of numbers, or of bytes (a picture)."""
    if getattr(content, "typecode", "") != "B":
        return [math.nan if mode is FaultMode.GARBAGE else 1.0] * len(content)
    if mode is FaultMode.WRONG:
        return content[: len(content) // 2]
    noise = np.random.default_rng(NOISE_SEED).integers(0, 256, len(content), dtype=np.uint8)
    return type(content)("B", noise.tobytes())
