"""What teleoperation devices send, written down byte by byte from their formats, and stand-ins that send it.

No physical device was recorded: the reports are what a terminal, a two-button SpaceMouse and SDL's pad layout give.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from hardware.teleop import TeleopInput
from hardware.teleop_devices import Gamepad, HandDevice, Keyboard, SpaceMouse, StreamDevice
from hardware.teleop_devices.gamepad import GamepadOptions
from hardware.teleop_devices.keyboard import KeyboardOptions
from hardware.teleop_devices.pygame_pad import PadReport
from hardware.teleop_devices.spacemouse import SpaceMouseOptions
from hardware.teleop_devices.stream import StreamMessage, StreamOptions
from tutelage_core.clock import ManualClock

R = TypeVar("R")

MS = 1_000_000
PERIOD_MS = 40
"""How often a key repeats, and in these tests everything else too."""

SPACE, W, G = b" ", b"w", b"g"

PUCK_FORWARD = bytes.fromhex("01 0000 a2fe 0000")  # report 1: y = -350, away from the user
PUCK_REST = bytes.fromhex("01 0000 0000 0000")
PUCK_STILL = bytes.fromhex("02 0000 0000 0000")  # report 2: no turn
NO_BUTTON, LEFT_BUTTON, RIGHT_BUTTON, BOTH_BUTTONS = (bytes((3, bits, 0)) for bits in range(4))
PUCK_BATTERY = bytes.fromhex("17 64 00")

STICK_FORWARD, STICK_REST = (0.0, -1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)

FORWARD = np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0])
"""Full deflection ahead at the default speed [m/s, rad/s]."""


def is_still(asked: TeleopInput) -> bool:
    """Tell whether nothing is enabled and nothing moves."""
    return not asked.deadman and not asked.twist.any()


class Wire(Generic[R]):
    """A `Source` that a test fills."""

    def __init__(self) -> None:
        self.waiting: list[R] = []
        self.plugged = True
        self.closed = 0

    def poll(self, limit: int) -> list[R]:
        if not self.plugged:
            raise OSError(errno.ENODEV, "No such device")
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    def close(self) -> None:
        self.closed += 1


class Rig:
    """A device and a hand at it. Each state of the hand is sent anew every `PERIOD_MS`, as the devices do."""

    name = ""
    device: HandDevice
    release_ms = 0
    """How long after the release the device may still not know [ms]."""

    def __init__(self) -> None:
        self.clock = ManualClock(start_ns=1_000 * MS)

    def send(self, *, enabling: bool, forward: bool, gripper: bool) -> None:
        """Let the device report this state of the hand."""
        raise NotImplementedError

    def send_garbage(self, junk: bytes) -> None:
        """Let the device report something that it never should."""
        raise NotImplementedError

    def unplug(self) -> None:
        raise NotImplementedError

    def flood(self) -> None:
        """Let more reports wait than one reading takes."""
        raise NotImplementedError

    def wait(self, ms: int) -> None:
        self.clock.advance_ns(ms * MS)

    def hold(
        self, ms: int, *, enabling: bool = False, forward: bool = False, gripper: bool = False
    ) -> list[TeleopInput]:
        """Keep the hand in one state for so long, reading all the while; return all readings."""
        readings: list[TeleopInput] = []
        for _ in range(max(1, ms // PERIOD_MS)):
            self.wait(PERIOD_MS)
            self.send(enabling=enabling, forward=forward, gripper=gripper)
            readings.append(self.device.read())
        return readings

    def rest(self) -> TeleopInput:
        """Let the hand be off the device for long enough that it is known to be."""
        return self.hold(1_200)[-1]

    def take_over(self) -> TeleopInput:
        """Rest, press the enabling key and push forward."""
        self.rest()
        self.hold(200, enabling=True)
        return self.hold(200, enabling=True, forward=True)[-1]


class KeyboardRig(Rig):
    """A terminal repeats the key that was pressed last, and only that one."""

    name = "keyboard"
    release_ms = 160

    def __init__(self, options: KeyboardOptions | None = None) -> None:
        super().__init__()
        self.wire: Wire[bytes] = Wire()
        self.device = Keyboard(options or KeyboardOptions(), self.clock, lambda _: self.wire)

    def send(self, *, enabling: bool, forward: bool, gripper: bool) -> None:
        keys = [key for key, down in ((G, gripper), (W, forward), (SPACE, enabling)) if down]
        self.wire.waiting += keys[:1]

    def send_garbage(self, junk: bytes) -> None:
        self.wire.waiting.append(junk)

    def unplug(self) -> None:
        self.wire.plugged = False

    def flood(self) -> None:
        self.wire.waiting += [W] * 10_000


class GamepadRig(Rig):
    name = "gamepad"

    def __init__(self, options: GamepadOptions | None = None) -> None:
        super().__init__()
        self.wire: Wire[PadReport] = Wire()
        self.device = Gamepad(options or GamepadOptions(), self.clock, lambda _: self.wire)

    def send(self, *, enabling: bool, forward: bool, gripper: bool) -> None:
        names = {"right_shoulder": enabling, "a": gripper}
        self.wire.waiting.append(
            PadReport(STICK_FORWARD if forward else STICK_REST, frozenset(name for name, down in names.items() if down))
        )

    def send_garbage(self, junk: bytes) -> None:
        values = np.frombuffer(junk.ljust(16, b"\xff")[:16], dtype=np.float32)
        sticks = (float("nan"), *(float(value) for value in values[1:]))
        self.wire.waiting.append(PadReport(sticks, frozenset({"right_shoulder"})))

    def unplug(self) -> None:
        self.wire.plugged = False

    def flood(self) -> None:
        self.wire.waiting += [PadReport(STICK_FORWARD, frozenset({"right_shoulder"}))] * 10_000


class SpaceMouseRig(Rig):
    name = "spacemouse"

    def __init__(self, options: SpaceMouseOptions | None = None) -> None:
        super().__init__()
        self.wire: Wire[bytes] = Wire()
        self.device = SpaceMouse(options or SpaceMouseOptions(), self.clock, lambda _: self.wire)

    def send(self, *, enabling: bool, forward: bool, gripper: bool) -> None:
        buttons = (NO_BUTTON, LEFT_BUTTON, RIGHT_BUTTON, BOTH_BUTTONS)[enabling + 2 * gripper]
        self.wire.waiting += [PUCK_FORWARD if forward else PUCK_REST, PUCK_STILL, buttons]

    def send_garbage(self, junk: bytes) -> None:
        self.wire.waiting.append(b"\x01\xff" + junk[:3])  # a translation that is cut off

    def unplug(self) -> None:
        self.wire.plugged = False

    def flood(self) -> None:
        self.wire.waiting += [PUCK_FORWARD, LEFT_BUTTON] * 10_000


class StreamRig(Rig):
    name = "stream"

    def __init__(self, options: StreamOptions | None = None) -> None:
        super().__init__()
        self.stream = self.device = StreamDevice(options or StreamOptions(), self.clock)
        self.sequence = 0
        self.opening = 1.0
        self._gripper = False

    def offer(self, asked: TeleopInput, sender: str = "page", late_ms: int = 0) -> bool:
        self.sequence += 1
        return self.stream.offer(StreamMessage(sender, self.sequence, self.clock.now_ns() - late_ms * MS, asked))

    def send(self, *, enabling: bool, forward: bool, gripper: bool) -> None:
        if enabling and gripper and not self._gripper:
            self.opening = 1.0 - self.opening  # the page turns its gripper round by itself
        self._gripper = gripper
        twist = np.array([0.1 if forward else 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
        self.offer(TeleopInput(twist, self.opening, deadman=enabling))

    def send_garbage(self, junk: bytes) -> None:
        numbers = np.frombuffer(junk.ljust(48, b"\xff")[:48], dtype=np.float64).copy()
        numbers[0] = np.nan
        self.offer(TeleopInput(numbers, 0.5, deadman=True))

    def unplug(self) -> None:
        self.stream.disconnect()

    def flood(self) -> None:
        for _ in range(10_000):
            self.send(enabling=False, forward=True, gripper=False)


RIGS: dict[str, Callable[[], Rig]] = {rig.name: rig for rig in (GamepadRig, KeyboardRig, SpaceMouseRig, StreamRig)}
