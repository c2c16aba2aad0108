"""PlaceInBowl and TakeFromBowl: what counts as in the bowl, each failure, and one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from sim.bowl import BOWL, FLOOR_M, Bowl
from sim.experts import UP
from sim.shapes import shape_geoms
from sim.surroundings import TABLE_CONTACT
from sim.tasks.place_in_bowl import ITEM, in_bowl, item_shape
from sim.twin import Twin
from tests.sim.driver import Driver, alternate, begin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray


@pytest.fixture(scope="module")
def put() -> Twin:
    return Twin(load_contract("twin"), "PlaceInBowl", rooms="test")


@pytest.fixture(scope="module")
def take() -> Twin:
    return Twin(load_contract("twin"), "TakeFromBowl", rooms="test")


def item(twin: Twin) -> FloatArray:
    return twin.world.data.body(ITEM).xpos.copy()


def bowl(twin: Twin) -> FloatArray:
    return twin.world.data.body(BOWL).xpos.copy()


def apart_m(twin: Twin) -> float:
    return float(np.linalg.norm((item(twin) - bowl(twin))[:2]))


def carry_over_bowl(drive: Driver) -> None:
    twin = drive.twin
    drive.until(lambda: apart_m(twin) < 0.045)
    assert item(twin)[2] - bowl(twin)[2] > twin.world.room.part(Bowl).height_m


def test_item_let_go_on_the_way_is_dropped_and_put_in_later(put: Twin) -> None:
    drive = begin(put, 0)
    height = item(put)[2]
    drive.until(lambda: item(put)[2] > height + 0.03)
    drive.wait(6)
    assert drive.failure == "dropped"
    assert "on the table beside" in put.captions()[0]
    assert drive.until_success()
    assert drive.failure == ""


def test_item_let_go_over_the_bowl_is_not_dropped(put: Twin) -> None:
    for seed in range(6):
        drive = begin(put, seed)
        carry_over_bowl(drive)
        drive.wait(8)
        assert in_bowl(put.world), seed
        assert set(drive.shown) == {""}, seed
        assert drive.success


def test_item_let_go_over_the_bowl_that_comes_to_lie_outside_is_dropped(put: Twin) -> None:
    drive = begin(put, 0)
    carry_over_bowl(drive)
    drive.wait(1)
    assert drive.failure == ""
    aside = np.array([0.5, 0.0, put.world.table_z_m + item_shape(put.room).rest_m])
    drive.place(ITEM, aside)
    assert apart_m(put) > put.room.part(Bowl).rim_m
    drive.wait(3)
    assert drive.failure == "dropped"


def test_item_out_of_reach_was_pushed_away(put: Twin) -> None:
    drive = begin(put, 0)
    drive.place(ITEM, np.array([0.5, 0.4, item(put)[2]]))
    drive.wait(1)
    assert drive.failure == "pushed_away"


def test_bowl_on_its_side_is_tipped_and_holds_nothing(put: Twin) -> None:
    drive = begin(put, 0)
    drive.place(BOWL, bowl(put) + 0.1 * UP, np.array([1.3, 0.0, 0.0]))
    drive.wait(1)
    assert drive.failure == "bowl_tipped"
    assert "tipped" in put.captions()[0]


def test_doing_nothing_times_out(put: Twin, take: Twin) -> None:
    for twin in (put, take):
        drive = begin(twin, 1)
        drive.wait(twin.step_limit)
        assert set(drive.shown[:-1]) == {""}
        assert (drive.success, drive.failure) == (False, "timeout")


def test_item_that_is_held_in_the_bowl_is_no_success(put: Twin) -> None:
    drive = begin(put, 2)
    drive.hold_until(lambda: in_bowl(put.world))
    assert in_bowl(put.world)
    assert not drive.success
    assert "holds" in put.captions()[0]
    assert drive.until_success()


def test_item_that_floats_in_the_bowl_is_no_success(put: Twin) -> None:
    drive = begin(put, 0)
    for _ in range(5):
        drive.place(ITEM, bowl(put) + 0.09 * UP)
        drive.wait(1)
        assert not drive.success


def test_item_that_leans_on_the_bowl_from_outside_is_not_taken_out(take: Twin) -> None:
    drive = begin(take, 0)
    middle, style, shape = bowl(take), take.room.part(Bowl), item_shape(take.room)
    way = np.array([0.5, 0.0]) - middle[:2]
    near = middle[:2] + way / np.linalg.norm(way) * (style.floor_m + 0.8 * style.flare_m + shape.width_m / 2)
    drive.place(ITEM, np.array([*near, take.world.table_z_m + FLOOR_M + shape.rest_m]))
    drive.wait(5)
    assert take.world.touching(shape_geoms(ITEM, shape), (TABLE_CONTACT,))
    assert not in_bowl(take.world)
    assert not drive.success


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_tasks_follow_each_other_without_a_reset(split: str) -> None:
    alternate(Twin(load_contract("twin"), "PlaceInBowl", 5, rooms=split), 5)


def test_experts_recover_from_noise_on_their_steps(put: Twin, take: Twin) -> None:
    for twin in (put, take):
        for seed in range(3):
            assert begin(twin, seed).until_success(noise=0.3), (twin.task.name, seed)
