"""What every `TeleopDevice` promises. A new device joins by a rig in `tests/unit/teleop_reports.py`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.teleop import TeleopDevice, TeleopInput
from hardware.teleop_devices import make_teleop_device, teleop_device_names
from tests.unit.teleop_reports import FORWARD, RIGS, Rig, is_still
from tutelage_core.clock import ManualClock
from tutelage_core.errors import ArmError, ConfigurationError, UnknownNameError

pytestmark = pytest.mark.contract

hands = st.lists(
    st.tuples(
        st.sampled_from(("send", "send", "send", "garbage", "silence")), st.booleans(), st.booleans(), st.booleans()
    ),
    max_size=40,
)


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest) -> Rig:
    return RIGS[request.param]()


def all_but(name: str) -> pytest.MarkDecorator:
    """Run a test with every rig but one, which cannot promise it."""
    return pytest.mark.parametrize("rig", sorted(RIGS.keys() - {name}), indirect=True)


def check_sound(asked: TeleopInput) -> None:
    """Whatever came before: finite, within the speeds, and still without the enabling key."""
    assert asked.twist.shape == (6,)
    assert np.all(np.isfinite(asked.twist))
    assert np.linalg.norm(asked.twist[:3]) <= 0.1 + 1e-12
    assert np.linalg.norm(asked.twist[3:]) <= 0.5 + 1e-12
    assert 0.0 <= asked.gripper_opening <= 1.0
    assert asked.deadman or not asked.twist.any()


def test_there_is_a_rig_for_each_device() -> None:
    assert sorted(RIGS) == list(teleop_device_names())


def test_it_is_a_teleop_device(rig: Rig) -> None:
    assert isinstance(rig.device, TeleopDevice)


def test_a_hand_that_enables_and_pushes_moves_ahead_at_full_speed(rig: Rig) -> None:
    asked = rig.take_over()
    assert asked.deadman
    np.testing.assert_allclose(asked.twist, FORWARD, atol=1e-12)


def test_reading_before_any_report_is_still(rig: Rig) -> None:
    assert is_still(rig.device.read())


def test_pushing_without_the_enabling_key_moves_nothing(rig: Rig) -> None:
    rig.rest()
    assert all(is_still(asked) for asked in rig.hold(2_000, forward=True))


def test_the_gripper_stays_without_the_enabling_key(rig: Rig) -> None:
    rig.rest()
    assert all(asked.gripper_opening == 1.0 for asked in rig.hold(1_000, gripper=True))


def test_release_is_known_at_once_or_after_the_time_that_the_device_needs(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.wait(rig.release_ms)
    rig.send(enabling=False, forward=False, gripper=False)
    assert is_still(rig.device.read())


@all_but("keyboard")  # a terminal's motion keys are enabling keys once it is armed
def test_release_stops_a_hand_that_goes_on_pushing(rig: Rig) -> None:
    assert rig.take_over().deadman
    assert all(is_still(asked) for asked in rig.hold(1_000, forward=True))


def test_a_key_that_is_held_at_start_does_not_enable_until_it_is_pressed_afresh(rig: Rig) -> None:
    assert all(is_still(asked) for asked in rig.hold(3_000, enabling=True, forward=True))
    assert all(is_still(asked) for asked in rig.hold(3_000, enabling=True))
    assert rig.take_over().deadman


@all_but("keyboard")  # a terminal tells of no release
def test_a_short_release_between_two_readings_is_seen(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.send(enabling=False, forward=True, gripper=False)
    rig.wait(1)
    rig.send(enabling=True, forward=True, gripper=False)
    assert is_still(rig.device.read())
    assert rig.device.read().deadman


def test_unplugged_is_an_error_or_still_and_stays_so(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.unplug()
    for _ in range(3):
        if rig.name == "stream":
            assert is_still(rig.device.read())
        else:
            with pytest.raises(ArmError, match=rig.name):
                rig.device.read()


def test_a_closed_device_is_refused_by_name_or_still(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.device.close()
    rig.device.close()
    with pytest.raises(ArmError, match=f"'{rig.name}' was closed"):
        rig.device.read()


def test_a_device_that_falls_silent_while_pushed_lets_go_within_its_time_limit(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.wait(1_001)
    assert is_still(rig.device.read())
    assert is_still(rig.device.read())


@all_but("stream")  # its sender sends on while its hand is off
def test_a_device_that_was_left_alone_enables_with_the_first_press(rig: Rig) -> None:
    rig.rest()
    for _ in range(5):
        rig.wait(1_000)
        assert is_still(rig.device.read())
    assert rig.hold(200, enabling=True)[-1].deadman


@all_but("keyboard")  # a terminal's key that repeats again cannot be told from a fresh press
def test_a_held_key_after_a_silence_needs_a_fresh_press(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.wait(1_001)
    rig.device.read()
    assert all(is_still(asked) for asked in rig.hold(1_000, enabling=True, forward=True))
    assert rig.take_over().deadman


def test_a_clock_that_jumps_lets_go(rig: Rig) -> None:
    for jump_ms in (3_600_000, -3_600_000):
        assert rig.take_over().deadman
        rig.wait(jump_ms)
        assert is_still(rig.device.read())
        if rig.name == "stream":
            rig.wait(-jump_ms)  # the sender's stamps do not jump


@all_but("keyboard")  # any key may be hit; see the test of unknown keys
def test_garbage_is_counted_and_lets_go(rig: Rig) -> None:
    assert rig.take_over().deadman
    rig.send_garbage(b"\x00\x01\x02")
    assert is_still(rig.device.read())
    assert rig.device.counters["refused_reports"] == 1
    assert all(is_still(asked) for asked in rig.hold(400, enabling=True, forward=True))
    assert rig.take_over().deadman


@pytest.mark.parametrize("name", sorted(RIGS))
@given(hand=hands, junk=st.binary(max_size=80), gaps_ms=st.lists(st.integers(-50, 1_500), min_size=1, max_size=10))
@settings(max_examples=60, deadline=None)
def test_whatever_comes_in_what_goes_out_is_sound(
    name: str, hand: list[tuple[str, bool, bool, bool]], junk: bytes, gaps_ms: list[int]
) -> None:
    rig = RIGS[name]()
    rig.take_over()
    for (kind, enabling, forward, gripper), gap_ms in zip(hand, itertools.cycle(gaps_ms), strict=False):
        rig.wait(gap_ms if kind == "silence" else 40)
        if kind == "send":
            rig.send(enabling=enabling, forward=forward, gripper=gripper)
        elif kind == "garbage":
            rig.send_garbage(junk)
        check_sound(rig.device.read())


@pytest.mark.parametrize("enabled", [False, True])
def test_a_flood_of_reports_neither_holds_up_a_reading_nor_moves_anything(rig: Rig, enabled: bool) -> None:
    assert (rig.take_over() if enabled else rig.rest()).deadman == enabled
    rig.flood()
    for _ in range(5):
        assert is_still(rig.device.read())


def test_the_gripper_turns_round_with_each_press(rig: Rig) -> None:
    rig.take_over()
    for opening in (0.0, 1.0, 0.0):
        rig.hold(200, enabling=True, gripper=True)
        assert rig.hold(200, enabling=True)[-1].gripper_opening == opening


@all_but("stream")  # its sender decides
def test_taking_over_leaves_the_gripper_where_another_put_it(rig: Rig) -> None:
    rig.rest()
    rig.device.follow_gripper(0.2)
    assert rig.take_over().gripper_opening == 0.2
    rig.device.follow_gripper(0.9)
    assert rig.hold(80, enabling=True)[-1].gripper_opening == 0.2
    assert rig.hold(200, enabling=True, gripper=True)[-1].gripper_opening == 1.0


@pytest.mark.parametrize("name", sorted(RIGS))
def test_unknown_options_and_speeds_above_the_profile_are_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownNameError, match="max_speed_m_s"):
        make_teleop_device(name, {"max_sped_m_s": 0.1}, ManualClock())
    for value in (0.3, 0.0, -1.0, float("nan")):
        with pytest.raises(ConfigurationError, match=r"max_speed_m_s must be in \(0, 0.25\]"):
            make_teleop_device(name, {"max_speed_m_s": value}, ManualClock())


def test_unknown_devices_are_refused_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="gamepad, keyboard, spacemouse, stream"):
        make_teleop_device("joystick", {}, ManualClock())
