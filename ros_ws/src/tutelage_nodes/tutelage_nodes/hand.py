"""The hand at a teleoperation device, as the session hears it: pressed, released, silent, and its buttons."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from tutelage_interfaces import msg as ti

from hardware.safety.profiles import find_profile
from hardware.teleop import TeleopInput
from hardware.teleop_devices.stream import StreamDevice, StreamMessage, StreamOptions
from tutelage_core.clock import Clock
from tutelage_core.limits import SafetyLimits
from tutelage_core.session import DriveEvent
from tutelage_core.types import FloatArray
from tutelage_nodes import convert, topics

BUTTON_EVENTS = {"stop": DriveEvent.STOP, "pause": DriveEvent.PAUSE, "resume": DriveEvent.START}
"""What a button of this name asks for when it is pressed."""


class Hand:
    """Turns teleoperation messages into events and steps. Liveness is on the steady clock.

    What may be believed of a message is `StreamDevice`'s business: a key that is held already when the first message
    comes does not count, late and disordered messages are dropped, what is not finite lets go, and of two devices the
    second one waits until the first has fallen silent.
    """

    def __init__(
        self,
        node: Node,
        clock: Clock,
        period_s: float,
        limits: SafetyLimits,
        tell: Callable[[DriveEvent, str], None],
    ) -> None:
        """Listen on `node`.

        Args:
            node: whose topic it is.
            clock: steady clock.
            period_s: control period: a step is the twist times this [s].
            limits: how long a silent device counts as held, and how fast a hand may go.
            tell: called with each press, release and button, and why.
        """
        self._period_s, self._tell = period_s, tell
        profile = find_profile(limits.speed_profile)
        self._timeout_ms = 1e3 * limits.deadman_timeout_s
        options = StreamOptions(
            max_speed_m_s=profile.max_speed_m_s,
            max_turn_rad_s=profile.max_speed_rad_s,
            speed_profile=profile.name,
            timeout_s=limits.deadman_timeout_s,
        )
        self._device = StreamDevice(options, clock)
        self._sender, self._says_held = "", False
        self._held = False
        self._buttons: frozenset[str] = frozenset()
        self._step: FloatArray | None = None
        node.create_subscription(ti.TeleopInput, topics.TELEOP, self._on_input, topics.reliable())

    @property
    def step(self) -> FloatArray | None:
        """The step for this control period, shape (7,) [m, rad, 0..1]; None while the key is not held."""
        return self._step if self._held else None

    @property
    def counters(self) -> dict[str, int]:
        """What was dropped, and how often."""
        return self._device.counters

    def look(self) -> None:
        """Take what the hand asks for now, and let go of a device that is silent; call it often."""
        asked = self._device.read()
        pressed, self._buttons = asked.buttons - self._buttons, asked.buttons
        for button in sorted(pressed & BUTTON_EVENTS.keys()):
            self._tell(BUTTON_EVENTS[button], f"{self._sender}: button {button}")
        if asked.deadman:
            self._step = np.append(asked.twist * self._period_s, asked.gripper_opening)
        if asked.deadman and not self._held:
            self._held = True
            self._tell(DriveEvent.DEADMAN_PRESSED, f"{self._sender} pressed")
        elif self._held and not asked.deadman:
            self._held, self._step = False, None
            silent = f"no word from {self._sender} for {self._timeout_ms:.0f} ms"
            self._tell(DriveEvent.DEADMAN_RELEASED, silent if self._says_held else f"{self._sender} released")

    def _on_input(self, message: ti.TeleopInput) -> None:
        linear, angular = message.twist.linear, message.twist.angular
        twist = np.array([linear.x, linear.y, linear.z, angular.x, angular.y, angular.z])
        asked = TeleopInput(twist, message.gripper_opening, message.deadman, frozenset(message.buttons))
        stamp_ns = convert.to_ns(message.header.stamp)
        if self._device.offer(StreamMessage(message.device, message.sequence, stamp_ns, asked)):
            self._sender, self._says_held = message.device, message.deadman
        self.look()
