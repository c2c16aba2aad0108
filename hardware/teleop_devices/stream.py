"""Input that comes over a network: from another node or from the page. Silence, disorder and delay let go."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from hardware.teleop import TeleopInput
from hardware.teleop_devices.device import HandDevice
from hardware.teleop_devices.enabling_key import EnablingKey
from hardware.teleop_devices.speed import SpeedOptions, is_twist
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError

MAX_BUTTONS = 32
MAX_NAME = 64
CLOCK_DRIFT = 1e-3
"""How much faster than ours a sender's clock may run before its messages look late."""


@dataclass(frozen=True)
class StreamMessage:
    """One message of a sender.

    Attributes:
        sender: name of the device that sends; two senders never share one.
        sequence: grows with each message of one sender; after a silence it may begin anew, with later stamps.
        stamp_ns: when it was read, on the sender's own clock [ns]; only differences count.
        input: what the hand asks for; may hold anything.
    """

    sender: str
    sequence: int
    stamp_ns: int
    input: TeleopInput


@dataclass(frozen=True)
class StreamOptions(SpeedOptions):
    """Options of a stream.

    Attributes:
        timeout_s: without a message for so long the enabling key counts as released [s].
        max_delay_s: a message that took so much longer than the quickest one is dropped [s].
        gripper_opening: where the gripper is before anybody has told, 0 closed .. 1 open.
    """

    timeout_s: float = 0.2
    max_delay_s: float = 0.2
    gripper_opening: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what would hold a motion for too long."""
        super().__post_init__()
        for name in ("timeout_s", "max_delay_s"):
            if not 0.02 <= getattr(self, name) <= 1.0:
                raise ConfigurationError(f"{name} must be in [0.02, 1], got {getattr(self, name)}")
        if not 0.0 <= self.gripper_opening <= 1.0:
            raise ConfigurationError(f"gripper_opening must be in [0, 1], got {self.gripper_opening}")


class StreamDevice(HandDevice):
    """Keeps the newest message of one sender. `offer` may be called from another thread than `read`."""

    Options = StreamOptions

    def __init__(self, options: StreamOptions, clock: Clock) -> None:
        """Begin with no sender."""
        super().__init__("stream", clock)
        self._options = options
        self._lock = threading.Lock()
        self._key = EnablingKey()
        self._last: StreamMessage | None = None  # kept after a time-out: it tells what is old
        self._fresh = False
        self._arrived_ns = clock.now_ns()
        self._quickest_ns = 0.0
        self._opening = options.gripper_opening

    def offer(self, message: StreamMessage) -> bool:
        """Take a message that has just arrived; return whether it counts.

        Each message is also a heartbeat. One that is out of order, late, from a second sender while the first is
        heard, or holds what is no input is dropped and counted; the last of these lets go, too.
        """
        with self._lock:
            now_ns = self._clock.now_ns()
            self._expire(now_ns)
            return self._judge(message, now_ns)

    def disconnect(self) -> None:
        """Let go at once: the connection to the sender is known to be lost."""
        with self._lock:
            self._forget()

    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open)."""
        with self._lock:
            if not self._key.held and math.isfinite(opening):
                self._opening = min(max(opening, 0.0), 1.0)

    def _read(self, now_ns: int) -> TeleopInput:
        with self._lock:
            self._expire(now_ns)
            held = self._key.take()
            if self._last is None or not self._fresh:
                return TeleopInput(np.zeros(6), self._opening, deadman=False)
            asked = self._last.input
            if not held:
                return TeleopInput(np.zeros(6), self._opening, deadman=False, buttons=asked.buttons)
            self._opening = float(asked.gripper_opening)
            twist = self._options.limited(np.array(asked.twist, dtype=np.float64))
            return TeleopInput(twist, self._opening, deadman=True, buttons=asked.buttons)

    def _release(self) -> None:
        self.disconnect()

    def _expire(self, now_ns: int) -> None:
        if self._fresh and not 0 <= now_ns - self._arrived_ns <= self._options.timeout_s * NS_PER_S:
            self._count("timeouts")
            self._forget()

    def _forget(self) -> None:
        self._fresh = False
        self._key.doubt()

    def _judge(self, message: StreamMessage, now_ns: int) -> bool:
        last = self._last if self._last is not None and self._last.sender == message.sender else None
        if self._fresh and last is None:
            self._count("other_senders")
            return False
        if last is not None and _is_before(message, last, self._fresh):
            self._count("out_of_order")
            return False
        if not _is_input(message):
            self._count("refused_reports")
            self._key.doubt()
            return False
        took_ns = float(now_ns - message.stamp_ns)  # the clocks may differ: only against the quickest does it count
        if last is None:
            self._quickest_ns = took_ns
        else:
            self._quickest_ns = min(took_ns, self._quickest_ns + CLOCK_DRIFT * (message.stamp_ns - last.stamp_ns))
        if took_ns - self._quickest_ns > self._options.max_delay_s * NS_PER_S:
            self._count("late")
            return False
        self._last, self._fresh, self._arrived_ns = message, True, now_ns
        self._key.see(message.input.deadman)
        return True


def _is_before(message: StreamMessage, last: StreamMessage, fresh: bool) -> bool:
    """Tell whether the message is not newer than the last one; a sequence counts only while the sender is heard."""
    if fresh:
        return message.sequence <= last.sequence or message.stamp_ns < last.stamp_ns
    return message.stamp_ns <= last.stamp_ns


def _is_input(message: StreamMessage) -> bool:
    """Tell whether the message is of the right shape, finite and within bounds."""
    asked = message.input
    return (
        len(message.sender) <= MAX_NAME
        and is_twist(np.asarray(asked.twist))
        and 0.0 <= asked.gripper_opening <= 1.0
        and len(asked.buttons) <= MAX_BUTTONS
        and all(len(name) <= MAX_NAME for name in asked.buttons)
    )
