"""StackCubes and UnstackCubes: what counts as stacked, each failure, and one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from sim.experts import UP
from sim.surroundings import TABLE_CONTACT
from sim.tasks.stack_cubes import BASE, TOP, base_half_m, stacked, top_half_m
from sim.twin import Twin
from tests.sim.driver import Driver, alternate, begin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray


@pytest.fixture(scope="module")
def stack() -> Twin:
    return Twin(load_contract("twin"), "StackCubes", rooms="test")


@pytest.fixture(scope="module")
def unstack() -> Twin:
    return Twin(load_contract("twin"), "UnstackCubes", rooms="test")


def cube(twin: Twin, name: str = TOP) -> FloatArray:
    return twin.world.data.body(name).xpos.copy()


def put_on_base(drive: Driver, off_m: float, above_m: float = 0.0) -> None:
    """Put the upper cube on the lower one, `off_m` from its middle along a side."""
    twin = drive.twin
    side = twin.world.data.body(BASE).xmat.reshape(3, 3)[:, 0]
    high = base_half_m(twin.world) + top_half_m(twin.world) + above_m
    drive.place(TOP, cube(twin, BASE) + off_m * side + high * UP)


def test_cube_let_go_on_the_way_is_dropped_and_stacked_later(stack: Twin) -> None:
    drive = begin(stack, 0)
    height = cube(stack)[2]
    drive.until(lambda: cube(stack)[2] > height + 0.03)
    drive.wait(6)
    assert drive.failure == "dropped"
    assert drive.until_success()


def test_cube_that_slid_off_is_dropped(stack: Twin) -> None:
    drive = begin(stack, 1)
    drive.until(lambda: float(np.linalg.norm((cube(stack) - cube(stack, BASE))[:2])) < 0.02)
    put_on_base(drive, base_half_m(stack.world) + 0.5 * top_half_m(stack.world), above_m=0.002)
    drive.wait(8)
    assert not stacked(stack.world)
    assert drive.failure == "dropped"


def test_cube_out_of_reach_was_pushed_away(stack: Twin) -> None:
    drive = begin(stack, 0)
    drive.place(TOP, np.array([0.5, 0.4, cube(stack)[2]]))
    drive.wait(1)
    assert drive.failure == "pushed_away"


def test_base_that_tips_over_has_moved(stack: Twin) -> None:
    drive = begin(stack, 0)
    drive.place(BASE, cube(stack, BASE) + 0.1 * UP, np.array([0.6, 0.0, 0.0]))
    drive.wait(1)
    assert drive.failure == "base_moved"


def test_base_that_was_shoved_has_moved(stack: Twin, unstack: Twin) -> None:
    for twin in (stack, unstack):
        drive = begin(twin, 1)
        drive.place(BASE, cube(twin, BASE) - np.array([0.045, 0.0, 0.0]))
        drive.wait(1)
        assert drive.failure == "base_moved"


def test_doing_nothing_times_out(stack: Twin, unstack: Twin) -> None:
    for twin in (stack, unstack):
        drive = begin(twin, 1)
        drive.wait(twin.step_limit)
        assert set(drive.shown[:-1]) == {""}
        assert (drive.success, drive.failure) == (False, "timeout")


def test_cube_that_is_held_on_the_other_is_no_success(stack: Twin) -> None:
    drive = begin(stack, 2)
    drive.hold_until(lambda: stacked(stack.world))
    assert stacked(stack.world)
    assert not drive.success
    assert "holds" in stack.captions()[0]
    assert drive.until_success()


def test_cube_counts_as_stacked_only_with_its_middle_over_the_other(stack: Twin) -> None:
    for share, good in ((0.0, True), (0.8, True), (1.15, False)):
        drive = begin(stack, 3)
        put_on_base(drive, share * base_half_m(stack.world))
        drive.wait(8)
        assert drive.success == good, share


def test_cube_that_floats_over_the_other_is_no_success(stack: Twin) -> None:
    drive = begin(stack, 0)
    for _ in range(5):
        put_on_base(drive, 0.0, above_m=0.06)
        drive.wait(1)
        assert not drive.success


def test_cube_that_is_held_on_the_table_is_not_unstacked(unstack: Twin) -> None:
    drive = begin(unstack, 2)
    drive.hold_until(lambda: bool(unstack.world.touching((TOP,), (TABLE_CONTACT,))))
    assert "stands on the table" in unstack.captions()[0]
    assert not drive.success
    assert drive.until_success()


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_tasks_follow_each_other_without_a_reset(split: str) -> None:
    alternate(Twin(load_contract("twin"), "StackCubes", 6, rooms=split), 5)


def test_experts_recover_from_noise_on_their_steps(stack: Twin, unstack: Twin) -> None:
    for twin in (stack, unstack):
        for seed in range(3):
            assert begin(twin, seed).until_success(noise=0.3), (twin.task.name, seed)
