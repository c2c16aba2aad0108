"""Injected faults, for tests of what the rest of the graph makes of them. Off unless the environment allows them.

`TUTELAGE_FAULTS=1` makes a node listen on `/faults/inject` for `<component> <mode>`, such as `policy garbage` or
`camera/front stuck`; `none` ends a fault.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String

from tutelage_nodes import topics

ALLOWED = "TUTELAGE_FAULTS"
DELAY_S = 0.2
DROP_EVERY = 3


class FaultMode(StrEnum):
    """What is wrong with a component."""

    NONE = "none"
    OFF = "off"  # says nothing
    STUCK = "stuck"  # says the same content for ever, with fresh stamps
    GARBAGE = "garbage"  # not a number where numbers should be
    WRONG = "wrong"  # numbers far beyond every limit
    SLOW = "slow"  # each message takes DELAY_S to make
    INTERMITTENT = "intermittent"  # every third message is lost


class FaultInjector:
    """Stands between a node and a publisher: `send(message, publish)` publishes what the fault makes of it."""

    def __init__(self, node: Node, component: str, field: str) -> None:
        """Listen for faults of `component`, whose content is the message's `field`; does nothing unless allowed."""
        self._component, self._field = component, field
        self._mode, self._count, self._kept = FaultMode.NONE, 0, None
        if os.environ.get(ALLOWED) == "1":
            node.create_subscription(String, topics.FAULTS, self._on_fault, topics.reliable())
            node.get_logger().warning(f"faults of {component} can be injected: {ALLOWED}=1")

    def send(self, message: Any, publish: Callable[[Any], None]) -> None:
        """Publish `message`, or what the present fault makes of it."""
        mode = self._mode
        self._count += 1
        if mode is FaultMode.OFF or (mode is FaultMode.INTERMITTENT and self._count % DROP_EVERY == 0):
            return
        if mode is FaultMode.SLOW:
            time.sleep(DELAY_S)
        elif mode is not FaultMode.NONE and mode is not FaultMode.INTERMITTENT:
            self._publish_spoilt(message, publish)
            return
        publish(message)

    def _publish_spoilt(self, message: Any, publish: Callable[[Any], None]) -> None:
        """Publish other content and give the message its own back: a node may fill the same one again."""
        content = getattr(message, self._field)
        if self._mode is FaultMode.STUCK:
            if self._kept is None:
                self._kept = copy.copy(content)
            setattr(message, self._field, self._kept)
        else:
            value = math.nan if self._mode is FaultMode.GARBAGE else 1.0
            setattr(message, self._field, [value] * len(content))
        publish(message)
        setattr(message, self._field, content)

    def _on_fault(self, message: String) -> None:
        component, _, mode = message.data.partition(" ")
        if component == self._component and mode in FaultMode.__members__.values():
            self._mode, self._count, self._kept = FaultMode(mode), 0, None
