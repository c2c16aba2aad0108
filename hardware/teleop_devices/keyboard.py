"""A terminal's keyboard. A terminal tells of no key that comes up, so here a key is held while it repeats.

Holding the enabling key (space) arms the keyboard; then a motion key moves the arm for as long as it repeats. A tap
moves nothing, and a connection that stalls stops the arm, since no repeat comes through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hardware.teleop import TeleopInput
from hardware.teleop_devices.device import MAX_REPORTS, HandDevice, Source
from hardware.teleop_devices.hand import RESUME, STOP, Hand, HandOptions
from hardware.teleop_devices.terminal import Terminal
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ArmError, ConfigurationError

ENABLE = "space"
GRIPPER = "g"
BUTTONS: Mapping[str, str] = {"enter": RESUME, "escape": STOP}
MOTION: Mapping[str, tuple[int, float]] = {
    "w": (0, 1.0),
    "s": (0, -1.0),
    "a": (1, 1.0),
    "d": (1, -1.0),
    "r": (2, 1.0),
    "f": (2, -1.0),
    "o": (3, 1.0),
    "u": (3, -1.0),
    "i": (4, 1.0),
    "k": (4, -1.0),
    "j": (5, 1.0),
    "l": (5, -1.0),
}
"""Key to the number of its axis in `hand.AXES` and its deflection."""

HELD_KEYS = frozenset({ENABLE, GRIPPER, *MOTION})


@dataclass(frozen=True)
class KeyEvent:
    """A key that went down, or was repeated, or came up (where the keyboard tells)."""

    key: str
    down: bool = True


@dataclass(frozen=True)
class KeyboardOptions(HandOptions):
    """Options of a keyboard.

    Attributes:
        terminal: the terminal to read.
        hold_timeout_s: a key that is not repeated for so long is up [s].
        armed_s: how long after the last held key a motion key still counts without the enabling key [s]; a terminal
            repeats only one key, and the change from one to the next takes the keyboard's repeat delay.
        quiet_s: after start no key may come for so long before the enabling key counts [s]: longer than the repeat
            delay, so that a key which was down before the start is not taken for a fresh press.
    """

    terminal: str = "/dev/tty"
    hold_timeout_s: float = 0.15
    armed_s: float = 2.0
    quiet_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse times that would hold a key for too long, and a gripper that one repeating key cannot hold."""
        super().__post_init__()
        for name, low, high in (("hold_timeout_s", 0.05, 0.2), ("armed_s", 0.0, 5.0), ("quiet_s", 0.7, 10.0)):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")
        if self.gripper == "hold":
            raise ConfigurationError("a keyboard's gripper must be 'toggle', got 'hold': a terminal repeats one key")


class KeyboardMapping:
    """From key events to what the hand asks for. Pure: events and times come in, nothing is read."""

    def __init__(self, options: KeyboardOptions, start_ns: int) -> None:
        """Begin at `start_ns` [ns] with nothing held."""
        self._options = options
        self._hand = Hand(options)
        self._hold_ns = round(options.hold_timeout_s * NS_PER_S)
        self._quiet_ns = round(options.quiet_s * NS_PER_S)
        self._last_ns: dict[str, int] = {}
        self._held: set[str] = set()
        self._pressed: set[str] = set()
        self._heard_ns: int = start_ns
        self._ready = False
        self._armed_until_ns: int | None = None

    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open)."""
        self._hand.follow_gripper(opening)

    def see(self, events: Iterable[KeyEvent], now_ns: int) -> int:
        """Take the events that came since the last call, at `now_ns` [ns]; return how many keys mean nothing.

        Each key counts once a call: a pasted line is no held key.
        """
        self._expire(now_ns)
        unknown = 0
        down: set[str] = set()
        for event in events:
            if event.key in BUTTONS:
                self._pressed |= {BUTTONS[event.key]} if event.down else set()
            elif event.key not in HELD_KEYS:
                unknown += 1
            elif event.down:
                down.add(event.key)
            else:
                down.discard(event.key)
                self._held.discard(event.key)
                self._last_ns.pop(event.key, None)
        for key in down:
            if key in self._last_ns and now_ns > self._last_ns[key]:
                self._held.add(key)
            self._last_ns[key] = now_ns
        if down:
            self._heard_ns = now_ns
        self._judge(now_ns)
        return unknown

    def doubt(self, now_ns: int) -> None:
        """Let go of everything, as at start."""
        self._hand.doubt()
        self._held.clear()
        self._last_ns.clear()
        self._heard_ns, self._ready, self._armed_until_ns = now_ns, False, None

    def ask(self) -> TeleopInput:
        """Return what the hand asked for at the last `see`."""
        deflection = np.zeros(6)
        for key in self._held & MOTION.keys():
            axis, value = MOTION[key]
            deflection[axis] += value
        buttons = frozenset(self._pressed)
        self._pressed.clear()
        return self._hand.ask(deflection, buttons)

    def _expire(self, now_ns: int) -> None:
        if now_ns < self._heard_ns:
            self.doubt(now_ns)
        for key, last_ns in list(self._last_ns.items()):
            if now_ns - last_ns > self._hold_ns:
                del self._last_ns[key]
                self._held.discard(key)
                if not self._held:
                    self._hand.see(enabling=False, gripper=False)  # seen, even if the key is held again by now
        if not self._last_ns and now_ns - self._heard_ns >= self._quiet_ns:
            self._ready = True

    def _judge(self, now_ns: int) -> None:
        if not self._ready:
            self._hand.doubt()
            return
        armed = self._armed_until_ns is not None and now_ns <= self._armed_until_ns
        enabling = bool(self._held) and (ENABLE in self._held or armed)
        if enabling:
            self._armed_until_ns = now_ns + round(self._options.armed_s * NS_PER_S)
        self._hand.see(enabling=enabling, gripper=GRIPPER in self._held)


class Keyboard(HandDevice):
    """The keyboard of the terminal that the program was started in."""

    Options = KeyboardOptions

    def __init__(
        self, options: KeyboardOptions, clock: Clock, open_source: Callable[[str], Source[bytes]] = Terminal
    ) -> None:
        """Open the terminal; `open_source` gives what stands for it.

        Raises:
            ArmError: there is no such terminal, or the program does not stand in its foreground.
        """
        super().__init__("keyboard", clock)
        try:
            self._source = open_source(options.terminal)
        except OSError as error:
            raise ArmError(f"keyboard: terminal {options.terminal} cannot be read: {error}") from error
        self._mapping = KeyboardMapping(options, clock.now_ns())

    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open)."""
        self._mapping.follow_gripper(opening)

    def _read(self, now_ns: int) -> TeleopInput:
        chunks = self._source.poll(MAX_REPORTS)
        if len(chunks) >= MAX_REPORTS:
            self._count("overruns")
            self._mapping.doubt(now_ns)
            return self._mapping.ask()
        events: list[KeyEvent] = []
        for chunk in chunks:
            events += key_events(chunk)
        for _ in range(self._mapping.see(events, now_ns)):
            self._count("unknown_keys")
        return self._mapping.ask()

    def _release(self) -> None:
        self._source.close()


def key_events(data: bytes) -> list[KeyEvent]:
    """Return the keys that a terminal's bytes stand for; an escape sequence (arrows, function keys) is one key.

    Args:
        data: what was read; letters count in either case, what is no key of ours keeps a name of its own.
    """
    events: list[KeyEvent] = []
    i = 0
    while i < len(data):
        if data[i] == 0x1B and data[i + 1 : i + 2] in (b"[", b"O"):
            end = i + 2
            while end < len(data) and not 0x40 <= data[end] <= 0x7E:
                end += 1
            events.append(KeyEvent("sequence"))
            i = end + 1
            continue
        named = {0x1B: "escape", 0x20: ENABLE, 0x0A: "enter", 0x0D: "enter"}.get(data[i])
        events.append(KeyEvent(named or chr(data[i]).lower()))
        i += 1
    return events
