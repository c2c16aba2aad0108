"""A SpaceMouse: six axes and two buttons as raw HID reports, parsed here.

Report 1 carries the three translations as signed 16-bit numbers, and on newer models the three rotations after them;
report 2 carries the rotations on older ones; report 3 the buttons, one bit each. The puck's own axes are x to the
right, y towards the user, z down.
"""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.teleop import TeleopInput
from hardware.teleop_devices.device import MAX_REPORTS, HandDevice, Source
from hardware.teleop_devices.hand import Hand, HandOptions, shaped
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ArmError, ConfigurationError
from tutelage_core.types import FloatArray

FULL_SCALE = 350.0
"""Number that a puck gives at full deflection."""

BEYOND_BELIEF = 1000
"""A number that no puck gives, however it is pushed."""

MAX_BYTES = 64
VENDOR_3DCONNEXION = 0x256F
MULTI_AXIS_CONTROLLER = (1, 8)
"""HID usage page and usage; older models carry another vendor's number but say what they are."""

_TRANSLATION, _ROTATION, _BUTTONS = 1, 2, 3


@dataclass(frozen=True)
class SpaceMouseOptions(HandOptions):
    """Options of a SpaceMouse.

    Attributes:
        path: the device's file, for example /dev/hidraw3; empty for the first one found.
        enabling_button: bit of the button that enables; the left one of a two-button model.
        gripper_button: bit of the gripper's button; the right one of a two-button model.
        dead_zone: share of the deflection that counts as none, 0..0.5.
        motion_timeout_s: a deflection that is not repeated for so long is none [s].
        silence_timeout_s: without any report for so long the enabling button has to be pressed afresh [s]: a puck at
            rest sends nothing, and neither does one whose radio is out of reach.
    """

    path: str = ""
    enabling_button: int = 0
    gripper_button: int = 1
    dead_zone: float = 0.05
    motion_timeout_s: float = 0.2
    silence_timeout_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what would hold a motion for too long."""
        super().__post_init__()
        for name, low, high in (
            ("dead_zone", 0.0, 0.5),
            ("motion_timeout_s", 0.02, 0.5),
            ("silence_timeout_s", 0.2, 10.0),
            ("enabling_button", 0, 31),
            ("gripper_button", 0, 31),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigurationError(f"{name} must be in [{low:g}, {high:g}], got {getattr(self, name)}")
        if self.enabling_button == self.gripper_button:
            raise ConfigurationError(f"enabling_button and gripper_button are both {self.gripper_button}")


@dataclass(frozen=True)
class PuckReport:
    """One report: what it holds is set, the rest is None.

    Attributes:
        translation: puck's axes, shape (3,), 1 at full deflection.
        rotation: the same for the turns about them.
        buttons: numbers of the pressed buttons.
    """

    translation: FloatArray | None = None
    rotation: FloatArray | None = None
    buttons: frozenset[int] | None = None


def parse_report(data: bytes) -> PuckReport:
    """Return what a raw HID report holds; one of another kind (battery, lamp) holds nothing.

    Raises:
        ValueError: the report is cut off, too long, or holds a number that no puck gives.
    """
    if not 2 <= len(data) <= MAX_BYTES:
        raise ValueError(f"a report has 2 to {MAX_BYTES} bytes, got {len(data)}")
    if data[0] == _BUTTONS:
        bits = int.from_bytes(data[1:5], "little")
        return PuckReport(buttons=frozenset(n for n in range(32) if bits >> n & 1))
    if data[0] == _TRANSLATION and len(data) >= 13:
        axes = _axes(data, 6)
        return PuckReport(translation=axes[:3], rotation=axes[3:])
    if data[0] == _TRANSLATION:
        return PuckReport(translation=_axes(data, 3))
    if data[0] == _ROTATION:
        return PuckReport(rotation=_axes(data, 3))
    return PuckReport()


def _axes(data: bytes, count: int) -> FloatArray:
    if len(data) < 1 + 2 * count:
        raise ValueError(f"report {data[0]} needs {1 + 2 * count} bytes, got {len(data)}")
    raw = np.array(struct.unpack_from(f"<{count}h", data, 1), dtype=np.float64)
    if np.abs(raw).max() > BEYOND_BELIEF:
        raise ValueError(f"report {data[0]}: no puck gives {raw.tolist()}")
    return raw / FULL_SCALE


class HidSource:
    """Raw reports of a HID device."""

    def __init__(self, path: str) -> None:
        """Open the device at `path`, or the first SpaceMouse.

        Raises:
            ConfigurationError: the package for HID devices is missing.
            OSError: there is no such device, or it may not be read.
        """
        try:
            library: Any = importlib.import_module("hidraw")
        except ImportError as error:
            raise ConfigurationError(f"a SpaceMouse needs the package hidapi: pip install hidapi ({error})") from error
        if not path:
            path = _find(library.enumerate())
        self._device = library.device()
        try:
            self._device.open_path(path.encode())
        except OSError as error:
            raise OSError(f"{path} cannot be opened ({error}); may this user read it? See the udev rule") from error
        self._device.set_nonblocking(1)

    def poll(self, limit: int) -> list[bytes]:
        """Return the reports that wait."""
        reports: list[bytes] = []
        while len(reports) < limit and (report := self._device.read(MAX_BYTES)):
            reports.append(bytes(report))
        return reports

    def close(self) -> None:
        """Close the device."""
        self._device.close()


def _find(devices: list[dict[str, Any]]) -> str:
    for device in devices:
        usage = (device.get("usage_page"), device.get("usage"))
        if usage == MULTI_AXIS_CONTROLLER or (device["vendor_id"] == VENDOR_3DCONNEXION and usage == (0, 0)):
            return device["path"].decode()
    raise OSError(f"no SpaceMouse among {len(devices)} HID devices")


class SpaceMouse(HandDevice):
    """A SpaceMouse whose left button enables and whose right button moves the gripper."""

    Options = SpaceMouseOptions

    def __init__(
        self, options: SpaceMouseOptions, clock: Clock, open_source: Callable[[str], Source[bytes]] = HidSource
    ) -> None:
        """Open the device; `open_source` gives what stands for it.

        Raises:
            ConfigurationError: the package for HID devices is missing.
            ArmError: there is no such device.
        """
        super().__init__("spacemouse", clock)
        try:
            self._source = open_source(options.path)
        except OSError as error:
            raise ArmError(f"spacemouse: {error}") from error
        self._options = options
        self._hand = Hand(options)
        self._puck = np.zeros(6)
        self._buttons: frozenset[int] = frozenset()
        self._heard_ns = clock.now_ns()
        self._moved_ns = [self._heard_ns, self._heard_ns]

    def follow_gripper(self, opening: float) -> None:
        """Note what another has told the gripper (0 closed .. 1 open)."""
        self._hand.follow_gripper(opening)

    def _read(self, now_ns: int) -> TeleopInput:
        data = self._source.poll(MAX_REPORTS)
        if len(data) >= MAX_REPORTS:
            self._doubt("overruns")
            data = []
        for report in data:
            self._see(report, now_ns)
        if data:
            self._heard_ns = now_ns
        if not 0 <= now_ns - self._heard_ns <= self._options.silence_timeout_s * NS_PER_S:
            self._heard_ns = now_ns
            if self._hand.held:
                self._doubt("silences")
        for half, moved_ns in enumerate(self._moved_ns):
            if not 0 <= now_ns - moved_ns <= self._options.motion_timeout_s * NS_PER_S:
                self._puck[3 * half : 3 * half + 3] = 0.0
        names = {f"button_{n}" for n in self._buttons}
        return self._hand.ask(self._deflection(), frozenset(names))

    def _see(self, data: bytes, now_ns: int) -> None:
        try:
            report = parse_report(data)
        except ValueError:
            self._doubt("refused_reports")
            return
        for half, axes in enumerate((report.translation, report.rotation)):
            if axes is not None:
                self._puck[3 * half : 3 * half + 3] = axes
                self._moved_ns[half] = now_ns
        if report.buttons is not None:
            self._buttons = report.buttons
            self._hand.see(
                enabling=self._options.enabling_button in self._buttons,
                gripper=self._options.gripper_button in self._buttons,
            )

    def _doubt(self, why: str) -> None:
        self._count(why)
        self._hand.doubt()
        self._puck[:] = 0.0

    def _deflection(self) -> FloatArray:
        right, back, down, about_right, about_back, about_down = (
            shaped(float(value), self._options.dead_zone, expo=0.0) for value in self._puck
        )
        return np.array([-back, -right, -down, -about_back, -about_right, -about_down])

    def _release(self) -> None:
        self._source.close()
