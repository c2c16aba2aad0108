"""What single teleoperation devices do beyond the contract: keys, sticks, reports, and messages of a stream."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.teleop import TeleopInput
from hardware.teleop_devices import make_teleop_device
from hardware.teleop_devices.gamepad import GamepadOptions
from hardware.teleop_devices.keyboard import MOTION, KeyboardMapping, KeyboardOptions, KeyEvent
from hardware.teleop_devices.pygame_pad import PadReport
from hardware.teleop_devices.spacemouse import parse_report
from hardware.teleop_devices.stream import StreamOptions
from hardware.teleop_devices.terminal import Terminal
from tests.unit.teleop_reports import (
    FORWARD,
    LEFT_BUTTON,
    MS,
    PERIOD_MS,
    PUCK_BATTERY,
    STICK_REST,
    GamepadRig,
    KeyboardRig,
    SpaceMouseRig,
    StreamRig,
    W,
    is_still,
)
from tutelage_core.clock import ManualClock
from tutelage_core.config import from_mapping
from tutelage_core.errors import ArmError, ConfigurationError

pytestmark = pytest.mark.unit


def test_a_tap_on_a_terminals_key_moves_nothing_and_a_pasted_line_neither() -> None:
    rig = KeyboardRig()
    rig.rest()
    rig.hold(200, enabling=True)
    rig.wait(200)
    for typed in (W, W * 500):
        rig.wire.waiting.append(typed)
        assert is_still(rig.device.read())
        rig.wait(200)
        assert is_still(rig.device.read())


def test_a_terminals_motion_key_needs_the_enabling_key_again_after_a_pause() -> None:
    rig = KeyboardRig()
    rig.take_over()
    rig.hold(1_800)
    assert rig.hold(200, forward=True)[-1].deadman
    rig.hold(2_200)
    assert all(is_still(asked) for asked in rig.hold(1_000, forward=True))


def test_a_keyboard_that_tells_of_releases_lets_go_at_once() -> None:
    keys = KeyboardMapping(KeyboardOptions(), start_ns=0)
    keys.see([], 2_000 * MS)
    for ms in (2_010, 2_050):
        keys.see([KeyEvent("space")], ms * MS)
    for ms in (2_060, 2_100):
        keys.see([KeyEvent("w")], ms * MS)
        keys.see([KeyEvent("space")], ms * MS + 1)
    assert keys.ask().twist[0] == pytest.approx(0.1)
    keys.see([KeyEvent("w", down=False)], 2_110 * MS)
    assert not keys.ask().twist.any()
    keys.see([KeyEvent("space", down=False)], 2_111 * MS)
    assert is_still(keys.ask())


@pytest.mark.parametrize(("key", "axis", "sign"), [(key, axis, sign) for key, (axis, sign) in MOTION.items()])
def test_each_key_moves_its_axis(key: str, axis: int, sign: float) -> None:
    rig = KeyboardRig()
    rig.rest()
    rig.hold(200, enabling=True)
    for _ in range(3):
        rig.wait(PERIOD_MS)
        rig.wire.waiting.append(key.upper().encode())  # with caps lock
        asked = rig.device.read()
    expected = np.zeros(6)
    expected[axis] = sign * (0.1 if axis < 3 else 0.5)
    np.testing.assert_allclose(asked.twist, expected)


def test_enter_and_escape_are_buttons_and_arrows_are_not() -> None:
    rig = KeyboardRig()
    for typed, buttons in ((b"\r", {"resume"}), (b"\x1b", {"stop"}), (b"\x1b[A\x1bOP", set()), (b"?\xff", set())):
        rig.wire.waiting.append(typed)
        assert rig.device.read().buttons == frozenset(buttons)
    assert rig.device.counters["unknown_keys"] == 4
    assert rig.device.read().buttons == frozenset()


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """The keyboard's end of a terminal, and the path of the other end."""
    keyboard, other = os.openpty()
    yield keyboard, os.ttyname(other)
    os.close(keyboard)
    os.close(other)


def test_a_real_terminal_gives_keys_without_waiting_and_gets_its_settings_back(terminal: tuple[int, str]) -> None:
    keyboard, path = terminal
    fd = os.open(path, os.O_RDONLY | os.O_NOCTTY)
    before = termios.tcgetattr(fd)
    source = Terminal(path)
    during = termios.tcgetattr(fd)
    assert not during[3] & (termios.ICANON | termios.ECHO)
    assert during[3] & termios.ISIG, "Ctrl-C still ends the program"
    assert source.poll(8) == []
    os.write(keyboard, b"w w")
    assert b"".join(source.poll(8)) == b"w w"
    source.close()
    source.close()
    assert termios.tcgetattr(fd) == before
    os.close(fd)


def test_what_is_no_terminal_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"wwww")
    for path in (tmp_path / "plain", tmp_path / "nothing"):
        with pytest.raises(ArmError, match=re.escape(str(path))):
            make_teleop_device("keyboard", {"terminal": str(path)}, ManualClock())


def stick_twist(sticks: tuple[float, ...], buttons: frozenset[str] = frozenset(), **options: object) -> np.ndarray:
    """Return the twist of a pad that is held with `sticks`."""
    rig = GamepadRig(from_mapping(options, GamepadOptions, "test"))
    rig.rest()
    rig.wire.waiting.append(PadReport(sticks, buttons | {"right_shoulder"}))
    asked = rig.device.read()
    assert asked.deadman
    return asked.twist


def test_sticks_move_the_tcp_as_the_operator_behind_the_robot_sees_it() -> None:
    up, left = -1.0, -1.0
    turn = frozenset({"left_shoulder"})
    np.testing.assert_allclose(stick_twist((0.0, up, 0.0, 0.0)), [0.1, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(stick_twist((left, 0.0, 0.0, 0.0)), [0, 0.1, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(stick_twist((0.0, 0.0, 0.0, up)), [0, 0, 0.1, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(stick_twist((0.0, 0.0, left, 0.0)), [0, 0, 0, 0, 0, 0.5], atol=1e-12)
    np.testing.assert_allclose(stick_twist((-left, 0.0, 0.0, 0.0), turn), [0, 0, 0, 0.5, 0, 0], atol=1e-12)
    np.testing.assert_allclose(stick_twist((0.0, up, 0.0, 0.0), turn), [0, 0, 0, 0, 0.5, 0], atol=1e-12)


def test_a_stick_has_a_dead_zone_is_fine_near_its_middle_and_full_at_its_end() -> None:
    assert not stick_twist((0.0, -0.12, 0.0, 0.0)).any()
    assert 0.0 < stick_twist((0.0, -0.3, 0.0, 0.0))[0] < 0.1 * (0.3 - 0.12) / (1.0 - 0.12)
    speeds = [stick_twist((0.0, -share, 0.0, 0.0))[0] for share in np.linspace(0.12, 1.0, 20)]
    assert speeds == sorted(speeds)
    assert speeds[-1] == pytest.approx(0.1)


def test_both_sticks_at_their_ends_are_no_faster_than_one() -> None:
    twist = stick_twist((-1.0, -1.0, 0.0, -1.0), expo=0.0)
    assert np.linalg.norm(twist) == pytest.approx(0.1)
    np.testing.assert_allclose(twist[:3], 0.1 / np.sqrt(3.0))


def test_speed_scale_inverted_axes_and_the_operators_place_change_the_twist() -> None:
    ahead = (0.0, -1.0, 0.0, 0.0)
    np.testing.assert_allclose(stick_twist(ahead, speed_scale=0.3)[0], 0.03)
    assert not stick_twist(ahead, speed_scale=0.0).any()
    np.testing.assert_allclose(stick_twist(ahead, invert=["x"])[0], -0.1)
    np.testing.assert_allclose(stick_twist(ahead, operator_yaw_rad=np.pi / 2)[:3], [0.0, 0.1, 0.0], atol=1e-12)


def test_a_gripper_that_is_held_opens_with_its_key_but_not_when_the_hand_lets_go_of_all() -> None:
    rig = GamepadRig(GamepadOptions(gripper="hold"))
    rig.take_over()
    assert rig.hold(80, enabling=True, gripper=True)[-1].gripper_opening == 0.0
    assert rig.hold(80, enabling=True)[-1].gripper_opening == 1.0
    assert rig.hold(80, enabling=True, gripper=True)[-1].gripper_opening == 0.0
    assert rig.hold(80)[-1].gripper_opening == 0.0
    assert rig.hold(80, enabling=True)[-1].gripper_opening == 0.0


def test_a_tap_between_two_readings_of_a_pad_is_a_button() -> None:
    rig = GamepadRig()
    rig.wire.waiting += [PadReport(STICK_REST, frozenset({"back"})), PadReport(STICK_REST)]
    assert rig.device.read().buttons == frozenset({"stop"})
    assert rig.device.read().buttons == frozenset()


class VirtualPad:
    """A gamepad that SDL itself simulates, so that pygame is the real one."""

    def __init__(self) -> None:
        pygame.display.init()
        pygame.joystick.init()
        library = next(Path(pygame.__file__).parent.parent.glob("pygame_ce.libs/libSDL2-2*"))
        self.sdl = ctypes.CDLL(str(library))
        self.sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
        self.number = self.sdl.SDL_JoystickAttachVirtual(1, 6, 15, 0)
        self.handle = ctypes.c_void_p(self.sdl.SDL_JoystickOpen(self.number))

    def axis(self, axis: int, value: int) -> None:
        self.sdl.SDL_JoystickSetVirtualAxis(self.handle, axis, ctypes.c_int16(value))

    def button(self, button: int, down: bool) -> None:
        self.sdl.SDL_JoystickSetVirtualButton(self.handle, button, ctypes.c_uint8(down))

    def detach(self) -> None:
        self.sdl.SDL_JoystickDetachVirtual(self.number)


def test_pygame_gives_a_virtual_pads_sticks_buttons_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with pytest.raises(ArmError, match="no gamepad number 0: 0 found"):
        make_teleop_device("gamepad", {}, ManualClock())
    pad = VirtualPad()
    device = make_teleop_device("gamepad", {"number": pad.number}, ManualClock())
    assert is_still(device.read())
    pad.axis(1, -32768)
    pad.button(pygame.CONTROLLER_BUTTON_RIGHTSHOULDER, True)
    asked = device.read()
    np.testing.assert_allclose(asked.twist, FORWARD, atol=1e-12)
    assert asked.buttons == frozenset({"right_shoulder"})
    pad.detach()
    with pytest.raises(ArmError, match="'gamepad' is gone: it was unplugged"):
        device.read()


def puck_twist(*reports: bytes) -> np.ndarray:
    """Return the twist after `reports`, with the enabling button held."""
    rig = SpaceMouseRig()
    rig.rest()
    rig.wire.waiting += [*reports, LEFT_BUTTON]
    asked = rig.device.read()
    assert asked.deadman
    return asked.twist


def report(number: int, *axes: int) -> bytes:
    return bytes([number]) + struct.pack(f"<{len(axes)}h", *axes)


@pytest.mark.parametrize(
    ("axis", "value", "expected"),
    [
        (1, -350, [0.1, 0, 0, 0, 0, 0]),  # away from the user
        (0, -350, [0, 0.1, 0, 0, 0, 0]),  # to the left
        (2, -350, [0, 0, 0.1, 0, 0, 0]),  # lifted
        (4, -350, [0, 0, 0, 0.5, 0, 0]),
        (3, -350, [0, 0, 0, 0, 0.5, 0]),
        (5, -350, [0, 0, 0, 0, 0, 0.5]),
    ],
)
def test_the_pucks_axes_are_the_base_frames_in_one_long_report_or_two_short(
    axis: int, value: int, expected: list[float]
) -> None:
    axes = [0] * 6
    axes[axis] = value
    np.testing.assert_allclose(puck_twist(report(1, *axes)), expected, atol=1e-12)
    np.testing.assert_allclose(puck_twist(report(1, *axes[:3]), report(2, *axes[3:])), expected, atol=1e-12)


def test_a_puck_that_is_not_touched_gives_no_motion_though_the_button_is_held() -> None:
    assert not puck_twist(report(1, 8, -12, 5, 3, 0, -17)).any()


def test_a_deflection_that_is_not_repeated_ends_though_the_button_is_held() -> None:
    rig = SpaceMouseRig()
    assert rig.take_over().twist[0] > 0.0
    rig.wait(201)
    asked = rig.device.read()
    assert asked.deadman
    assert not asked.twist.any()


def test_a_clock_that_jumps_back_does_not_keep_a_deflection() -> None:
    rig = SpaceMouseRig()
    rig.rest()
    rig.hold(200, forward=True)
    rig.wait(-3_600_000)
    rig.wire.waiting.append(LEFT_BUTTON)
    assert not rig.device.read().twist.any()
    rig.wait(PERIOD_MS)
    assert not rig.device.read().twist.any()


def test_a_battery_report_is_neither_input_nor_garbage() -> None:
    rig = SpaceMouseRig()
    assert rig.take_over().deadman
    rig.wire.waiting.append(PUCK_BATTERY)
    assert rig.device.read().deadman
    assert rig.device.counters == {}


@given(st.binary(max_size=70))
def test_any_bytes_are_a_report_or_refused(data: bytes) -> None:
    try:
        parsed = parse_report(data)
    except ValueError:
        return
    for axes in (parsed.translation, parsed.rotation):
        assert axes is None or (axes.shape == (3,) and np.abs(axes).max() <= 1000 / 350)


def test_a_missing_spacemouse_is_an_error_that_names_it() -> None:
    with pytest.raises(ArmError, match="spacemouse: /dev/none cannot be opened"):
        make_teleop_device("spacemouse", {"path": "/dev/none"}, ManualClock())


@pytest.mark.parametrize(
    ("name", "module", "package"), [("spacemouse", "hidraw", "hidapi"), ("gamepad", "pygame", "pygame-ce")]
)
def test_a_missing_package_is_named(name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=f"pip install {package}"):
        make_teleop_device(name, {}, ManualClock())


def asking(x_m_s: float = 0.05, deadman: bool = True) -> TeleopInput:
    return TeleopInput(np.array([x_m_s, 0.0, 0.0, 0.0, 0.0, 0.0]), 0.5, deadman)


def test_messages_out_of_order_are_dropped_and_counted() -> None:
    rig = StreamRig()
    rig.take_over()
    rig.sequence -= 2
    assert not rig.offer(asking(-0.1))
    assert rig.device.read().twist[0] == pytest.approx(0.1)
    assert rig.device.counters["out_of_order"] == 1


def test_a_second_sender_waits_until_the_first_is_silent_and_then_needs_a_fresh_press() -> None:
    rig = StreamRig()
    rig.take_over()
    assert not rig.offer(asking(-0.1), sender="other")
    assert rig.device.read().twist[0] == pytest.approx(0.1)
    rig.wait(201)
    assert rig.offer(asking(-0.1), sender="other")
    assert is_still(rig.device.read())
    rig.offer(asking(deadman=False), sender="other")
    rig.offer(asking(-0.05), sender="other")
    rig.device.read()
    assert rig.device.read().twist[0] == pytest.approx(-0.05)
    assert rig.device.counters == {"other_senders": 1, "timeouts": 1}


def test_a_stream_that_falls_behind_lets_go_though_its_messages_keep_coming() -> None:
    rig = StreamRig()
    rig.take_over()
    readings = []
    for late_ms in range(0, 1_000, 20):
        rig.wait(PERIOD_MS)
        rig.offer(asking(), late_ms=late_ms)
        readings.append(rig.device.read().deadman)
    assert readings[0]
    assert not any(readings[20:])
    assert rig.device.counters["late"] > 0


def test_a_sender_whose_clock_differs_or_drifts_is_not_late() -> None:
    rig = StreamRig()
    for n in range(10_000):
        rig.wait(PERIOD_MS)
        rig.offer(asking(deadman=n > 0), sender="far", late_ms=7_200_000 + n * PERIOD_MS * 3 // 4_000)
        assert rig.device.read().deadman == (n > 0)


def test_a_sender_that_begins_anew_counts_again_after_the_silence() -> None:
    rig = StreamRig()
    rig.take_over()
    rig.wait(201)
    rig.device.read()
    rig.sequence = 0
    assert rig.offer(asking(deadman=False))
    assert rig.offer(asking())
    assert rig.device.read().deadman


def test_a_stream_faster_than_allowed_is_shortened_and_scaled() -> None:
    rig = StreamRig(StreamOptions(speed_scale=0.5))
    rig.rest()
    rig.offer(asking(deadman=False))
    rig.offer(TeleopInput(np.array([3.0, 4.0, 0.0, 0.0, 0.0, 0.1]), 0.5, deadman=True))
    np.testing.assert_allclose(rig.device.read().twist, [0.03, 0.04, 0.0, 0.0, 0.0, 0.05])
