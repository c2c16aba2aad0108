"""PushButton: the right one, all the way, for long enough; and each failure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sim.experts import UP
from sim.rooms import Room
from sim.tasks.push_button import BOX, MOVED_M, PRESSED_SHARE, Box, Button, travel_share
from sim.twin import Twin
from tests.sim.driver import Driver, begin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray

TWO = Room("test", 1, (("button.count", 2),))


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"), "PushButton", rooms="test")


def press(drive: Driver, place: FloatArray, reached: Callable[[], bool]) -> None:
    """Go over a place with closed fingers and sink on it until something is so."""
    drive.move_to(place + 0.03 * UP, 0.0, 20)
    for _ in range(30):
        if reached():
            return
        drive.wait(1, opening=0.0, sink_m=0.002)
    raise AssertionError(f"the hand sank by 6 cm in vain: {drive.twin.task_status()}")


def test_the_button_stays_up_until_it_is_pressed_and_springs_back(twin: Twin) -> None:
    drive = begin(twin, 0)
    assert travel_share(twin.world, 0) < 0.02
    assert drive.until_success()
    assert travel_share(twin.world, 0) >= PRESSED_SHARE
    drive.move_to(twin.world.tcp_pose().position + 0.1 * UP, 0.0, 8)
    assert travel_share(twin.world, 0) < 0.02
    assert "not pressed" in twin.captions()[0]


def test_a_button_that_is_half_down_is_no_success(twin: Twin) -> None:
    drive = begin(twin, 2)
    press(drive, twin.points()["button"], lambda: travel_share(twin.world, 0) > 0.3)
    drive.wait(4, opening=0.0)
    assert 0.2 < travel_share(twin.world, 0) < PRESSED_SHARE
    assert (drive.success, drive.failure) == (False, "")
    assert drive.until_success()


def test_a_button_that_is_hit_for_a_moment_is_no_success(twin: Twin) -> None:
    drive = begin(twin, 2)
    press(drive, twin.points()["button"], lambda: travel_share(twin.world, 0) >= PRESSED_SHARE)
    drive.move_to(twin.world.tcp_pose().position + 0.1 * UP, 0.0, 8)
    assert not drive.success


def test_another_button_is_the_wrong_one_for_good(twin: Twin) -> None:
    drive = begin(twin, 1, TWO)
    press(drive, twin.points()["other_button1"], lambda: travel_share(twin.world, 1) >= PRESSED_SHARE)
    assert drive.failure == "wrong_button"
    other = twin.room.part(Button).colours()[1]
    assert f"the {other} button is pressed" in twin.captions()[0]
    drive.move_to(twin.world.tcp_pose().position + 0.08 * UP, 0.0, 8)
    again = Driver(twin)
    assert not again.until_success()
    assert travel_share(twin.world, 0) >= PRESSED_SHARE
    assert again.failure == "wrong_button"


def test_a_hand_that_presses_on_the_box_presses_beside(twin: Twin) -> None:
    drive = begin(twin, 15, Room("lab", 15))
    body, button, box = twin.world.data.body(BOX), twin.room.part(Button), twin.room.part(Box)
    # between the two buttons, at the edge towards the robot
    beside = body.xpos + body.xmat.reshape(3, 3) @ [-(button.half_m + 0.8 * box.margin_m), 0.0, box.height_m]
    press(drive, beside, lambda: drive.failure != "")
    assert drive.failure == "pressed_beside"
    assert "beside the buttons" in twin.captions()[0]
    drive.move_to(twin.world.tcp_pose().position + 0.05 * UP, 0.0, 4)
    assert drive.failure == ""


def test_a_box_that_was_shoved_or_tipped_has_moved(twin: Twin) -> None:
    for shift, turn, name in ((0.9 * MOVED_M, 0.0, ""), (1.3 * MOVED_M, 0.0, "box_moved"), (0.0, 1.5, "box_moved")):
        drive = begin(twin, 3)
        place = twin.world.data.body(BOX).xpos + shift * np.array([1.0, 0.0, 0.0]) + 0.08 * (turn > 0.0) * UP
        drive.place(BOX, place, np.array([0.0, turn, 0.0]))
        drive.wait(1)
        assert drive.failure == name


def test_doing_nothing_times_out(twin: Twin) -> None:
    drive = begin(twin, 1)
    drive.wait(twin.step_limit)
    assert set(drive.shown[:-1]) == {""}
    assert (drive.success, drive.failure) == (False, "timeout")


@pytest.mark.parametrize("shape", ["round", "square", "rounded", "dome", "bar"])
def test_the_expert_presses_every_shape(twin: Twin, shape: str) -> None:
    split = "held_out" if shape in ("dome", "bar") else "test"
    drive = begin(twin, 4, Room(split, 4, (("button.shape", shape),)))
    assert drive.until_success()
    assert set(drive.shown) == {""}


def test_the_expert_recovers_from_noise_on_its_steps(twin: Twin) -> None:
    for seed in range(6):
        assert begin(twin, seed).until_success(noise=0.3), seed
