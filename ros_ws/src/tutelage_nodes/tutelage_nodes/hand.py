"""The hand at a teleoperation device, as the session hears it: pressed, released, silent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from tutelage_interfaces import msg as ti

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.session import DriveEvent
from tutelage_core.types import STEP_SIZE, FloatArray
from tutelage_nodes import topics


class Hand:
    """Turns teleoperation messages into events and steps. Liveness is on the steady clock.

    A key that is held already when the first message comes does not count: it must be pressed anew. A device that is
    silent for `timeout_s` has let go.
    """

    def __init__(
        self, node: Node, clock: Clock, period_s: float, timeout_s: float, tell: Callable[[DriveEvent, str], None]
    ) -> None:
        """Listen on `node`.

        Args:
            node: whose topic it is.
            clock: steady clock.
            period_s: control period: a step is the twist times this [s].
            timeout_s: silence after which the key counts as released [s].
            tell: called with each press and release, and why.
        """
        self._clock, self._period_s, self._timeout_ns, self._tell = clock, period_s, round(timeout_s * NS_PER_S), tell
        self._heard_ns: int | None = None
        self._sequence = -1
        self._device = ""
        self._held = False
        self._released_once = False
        self._step: FloatArray | None = None
        node.create_subscription(ti.TeleopInput, topics.TELEOP, self._on_input, topics.reliable())

    @property
    def step(self) -> FloatArray | None:
        """The step for this control period, shape (7,) [m, rad, 0..1]; None while the key is not held."""
        return self._step if self._held else None

    def look(self) -> None:
        """Let go of a device that has been silent for too long; call it often."""
        if self._held and self._heard_ns is not None and self._clock.now_ns() - self._heard_ns > self._timeout_ns:
            self._release(f"no word from {self._device} for {self._timeout_ns / 1e6:.0f} ms")

    def _on_input(self, message: ti.TeleopInput) -> None:
        if message.device != self._device:
            if self._held:
                return  # one hand at a time: the other one waits until this one lets go
            self._device, self._sequence, self._released_once = message.device, -1, False
        restarted = message.sequence <= 1 < self._sequence
        if message.sequence <= self._sequence and not restarted:
            return
        self._sequence, self._heard_ns = message.sequence, self._clock.now_ns()
        linear, angular = message.twist.linear, message.twist.angular
        step = np.empty(STEP_SIZE)
        step[:6] = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z]) * self._period_s
        step[6] = message.gripper_opening
        self._step = step
        if not message.deadman:
            self._released_once = True
            if self._held:
                self._release(f"{self._device} released")
        elif self._released_once and not self._held:
            self._held = True
            self._tell(DriveEvent.DEADMAN_PRESSED, f"{self._device} pressed")

    def _release(self, why: str) -> None:
        self._held, self._step, self._released_once = False, None, True
        self._tell(DriveEvent.DEADMAN_RELEASED, why)
