"""PutLid and TakeLid: what counts as closed, each failure, and one after the other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.experts import UP
from sim.pot import COLLAR_M, COLLAR_SLACK_M, LID, Pot
from sim.tasks.pot_lid import seated
from sim.twin import Twin
from tests.sim.driver import alternate, begin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray


@pytest.fixture(scope="module")
def put() -> Twin:
    return Twin(load_contract("twin"), "PutLid", rooms="test")


@pytest.fixture(scope="module")
def take() -> Twin:
    return Twin(load_contract("twin"), "TakeLid", rooms="test")


def lid(twin: Twin) -> FloatArray:
    return twin.world.data.body(LID).xpos.copy()


def rim(twin: Twin) -> FloatArray:
    return twin.points()["pot"]


def test_lid_let_go_on_the_way_is_dropped_and_put_on_later(put: Twin) -> None:
    drive = begin(put, 0)
    height = lid(put)[2]
    drive.until(lambda: lid(put)[2] > height + 0.03)
    drive.wait(6)
    assert drive.failure == "dropped"
    assert drive.until_success()


def test_lid_out_of_reach_was_pushed_away(put: Twin) -> None:
    drive = begin(put, 0)
    drive.place(LID, np.array([0.5, 0.4, lid(put)[2]]))
    drive.wait(1)
    assert drive.failure == "pushed_away"


def test_lid_that_rests_crookedly_on_the_rim_is_askew_until_it_is_set_right(put: Twin) -> None:
    drive = begin(put, 1)
    drive.place(LID, rim(put) + np.array([-0.018, 0.0, 0.014]))
    drive.wait(10)
    assert not drive.success
    assert drive.failure == "askew"
    assert "crookedly" in put.captions()[0]
    assert drive.until_success()
    assert drive.failure == ""


def test_doing_nothing_times_out(put: Twin, take: Twin) -> None:
    for twin in (put, take):
        drive = begin(twin, 1)
        drive.wait(twin.step_limit)
        assert set(drive.shown[:-1]) == {""}
        assert (drive.success, drive.failure) == (False, "timeout")


def test_lid_that_is_held_on_the_pot_is_no_success(put: Twin) -> None:
    drive = begin(put, 2)
    drive.hold_until(lambda: seated(put.world))
    assert seated(put.world)
    assert not drive.success
    assert "holds" in put.captions()[0]
    assert drive.until_success()


def test_lid_slips_into_its_seat_from_within_the_slack_only(put: Twin) -> None:
    for off_m, good in ((0.0, True), (0.9 * COLLAR_SLACK_M, True), (0.015, False)):
        drive = begin(put, 3)
        drive.place(LID, rim(put) + np.array([off_m, 0.0, 2.0 * COLLAR_M + 0.003]))
        drive.wait(10)
        assert drive.success == good, off_m


def test_lid_that_floats_over_the_pot_is_no_success(put: Twin) -> None:
    drive = begin(put, 0)
    for _ in range(5):
        drive.place(LID, rim(put) + 0.06 * UP)
        drive.wait(1)
        assert not drive.success


def test_lid_upside_down_on_the_table_is_not_laid_down(take: Twin) -> None:
    drive = begin(take, 0)
    reach = 2.5 * take.room.part(Pot).outer_m
    aside = rim(take)[:2] + reach * np.array([0.0, -math.copysign(1.0, rim(take)[1])])
    drive.place(LID, np.array([*aside, take.world.table_z_m + 0.045]), np.array([math.pi, 0.0, 0.0]))
    drive.wait(10)
    assert lid(take)[2] < take.world.table_z_m + 0.05
    assert not drive.success
    drive.place(LID, np.array([*aside, take.world.table_z_m + 2.0 * COLLAR_M]))
    drive.wait(5)
    assert drive.success


def test_lid_that_is_held_on_the_table_is_no_success(take: Twin) -> None:
    drive = begin(take, 2)
    drive.hold_until(lambda: "on the table" in take.captions()[0])
    assert "holds the knob" in take.captions()[0]
    assert "on the table" in take.captions()[0]
    assert not drive.success


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_tasks_follow_each_other_without_a_reset(split: str) -> None:
    alternate(Twin(load_contract("twin"), "PutLid", 7, rooms=split), 5)


def test_experts_recover_from_noise_on_their_steps(put: Twin, take: Twin) -> None:
    for twin in (put, take):
        for seed in range(3):
            assert begin(twin, seed).until_success(noise=0.3), (twin.task.name, seed)
