"""A gamepad: two sticks for the motion, the right shoulder button to enable, the left one to turn instead of move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hardware.teleop import TeleopInput
from hardware.teleop_devices.device import MAX_REPORTS, HandDevice, Source
from hardware.teleop_devices.hand import RESUME, STOP, Hand, HandOptions, shaped
from hardware.teleop_devices.pygame_pad import STICKS, PadReport, PygamePad
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ArmError, ConfigurationError
from tutelage_core.types import FloatArray

ENABLE = "right_shoulder"
TURN = "left_shoulder"
GRIPPER = "a"
BUTTONS: Mapping[str, str] = {"start": RESUME, "back": STOP}


@dataclass(frozen=True)
class GamepadOptions(HandOptions):
    """Options of a gamepad.

    Attributes:
        number: which of the connected gamepads.
        dead_zone: share of a stick's way that counts as none, 0..0.5.
        expo: how much finer a stick is near its middle, 0 (not at all) .. 1.
        silence_timeout_s: without any change of the pad's state for so long the enabling button has to be pressed
            afresh [s]: a pad whose radio is out of reach goes on showing its last state. With a cable, 10 is fine.
    """

    number: int = 0
    dead_zone: float = 0.12
    expo: float = 0.5
    silence_timeout_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what would hold a motion for too long."""
        super().__post_init__()
        for name, low, high in (
            ("number", 0, 15),
            ("dead_zone", 0.0, 0.5),
            ("expo", 0.0, 1.0),
            ("silence_timeout_s", 0.2, 10.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")


class Gamepad(HandDevice):
    """A gamepad whose layout SDL knows."""

    Options = GamepadOptions

    def __init__(
        self, options: GamepadOptions, clock: Clock, open_source: Callable[[int], Source[PadReport]] = PygamePad
    ) -> None:
        """Open the pad; `open_source` gives what stands for it.

        Raises:
            ConfigurationError: the package for gamepads is missing.
            ArmError: there is no such gamepad.
        """
        super().__init__("gamepad", clock)
        try:
            self._source = open_source(options.number)
        except OSError as error:
            raise ArmError(f"gamepad: {error}") from error
        self._options = options
        self._hand = Hand(options)
        self._report = PadReport((0.0,) * len(STICKS))
        self._heard_ns = clock.now_ns()

    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open)."""
        self._hand.follow_gripper(opening)

    def _read(self, now_ns: int) -> TeleopInput:
        reports = self._source.poll(MAX_REPORTS)
        if len(reports) >= MAX_REPORTS:
            self._doubt("overruns")
            reports = []
        if reports:
            self._heard_ns = now_ns
        pressed = set(self._report.buttons)
        for report in reports:
            self._see(report)
            pressed |= self._report.buttons
        if not 0 <= now_ns - self._heard_ns <= self._options.silence_timeout_s * NS_PER_S:
            self._heard_ns = now_ns
            if self._hand.held:
                self._doubt("silences")
        return self._hand.ask(self._deflection(), frozenset(BUTTONS.get(name, name) for name in pressed))

    def _see(self, report: PadReport) -> None:
        if len(report.sticks) != len(STICKS) or not all(abs(value) <= 1.0 for value in report.sticks):
            self._doubt("refused_reports")  # so written that NaN is refused
            return
        self._report = report
        self._hand.see(enabling=ENABLE in report.buttons, gripper=GRIPPER in report.buttons)

    def _doubt(self, why: str) -> None:
        self._count(why)
        self._hand.doubt()

    def _deflection(self) -> FloatArray:
        left_x, left_y, right_x, right_y = (
            shaped(value, self._options.dead_zone, self._options.expo) for value in self._report.sticks
        )
        if TURN in self._report.buttons:
            return np.array([0.0, 0.0, 0.0, left_x, -left_y, -right_x])
        return np.array([-left_y, -left_x, -right_y, 0.0, 0.0, -right_x])

    def _release(self) -> None:
        self._source.close()
