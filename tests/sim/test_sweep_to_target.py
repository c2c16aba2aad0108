"""SweepToTarget: what counts as swept in, each failure, and pieces that get away."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sim.pieces import AREA, Area, Pieces, outside, piece_places
from sim.rooms import Room
from sim.twin import Twin
from tests.sim.driver import Driver, begin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"), "SweepToTarget", rooms="test")


def lay(drive: Driver, index: int, off_m: FloatArray) -> None:
    """Lay a piece at a place relative to the area's middle, shape (2,) [m]."""
    world = drive.twin.world
    middle = world.data.body(AREA).xpos[:2]
    drive.place(f"piece{index}", np.array([*(middle + off_m), world.table_z_m + 0.013]))


def gather(drive: Driver) -> None:
    """Lay all pieces into the area."""
    for index in range(drive.twin.room.part(Pieces).count):
        lay(drive, index, 0.03 * np.array([math.cos(2.0 * index), math.sin(2.0 * index)]))


def test_success_is_all_pieces_at_rest_inside(twin: Twin) -> None:
    drive = begin(twin, 0)
    gather(drive)
    drive.wait(4)
    assert drive.success
    assert "all pieces" in twin.captions()[0]


def test_one_piece_over_the_edge_is_no_success(twin: Twin) -> None:
    for beyond_m, good in ((-0.004, True), (0.004, False)):
        drive = begin(twin, 0)
        gather(drive)
        lay(drive, 0, np.array([twin.room.part(Area).half_x_m + beyond_m, 0.0]))
        drive.wait(6)
        assert drive.success == good
        assert (drive.failure, twin.task_status().progress > 0.7) == ("", True)


def test_a_piece_that_still_moves_inside_is_no_success(twin: Twin) -> None:
    drive = begin(twin, 0)
    gather(drive)
    dof = int(twin.world.model.joint("piece0").dofadr[0])
    for _ in range(6):
        lay(drive, 0, np.zeros(2))
        twin.world.data.qvel[dof + 2] = 0.6
        drive.wait(1)
        assert not drive.success


def test_a_piece_out_of_reach_is_lost(twin: Twin) -> None:
    drive = begin(twin, 0)
    drive.place("piece1", np.array([0.2, 0.0, twin.world.table_z_m + 0.013]))
    drive.wait(1)
    assert drive.failure == "pieces_lost"
    assert "lost" in twin.captions()[0]


def test_a_piece_beyond_the_area_was_swept_past_and_is_brought_back(twin: Twin) -> None:
    drive = begin(twin, 0)
    style, side = twin.room.part(Area), 1.0 if twin.room.part(Area).side else -1.0
    lay(drive, 0, np.array([0.0, side * (style.half_y_m + 0.02)]))
    drive.wait(2)
    assert drive.failure == ""
    lay(drive, 0, np.array([0.0, side * (style.half_y_m + 0.04)]))
    drive.wait(2)
    assert drive.failure == "swept_past"
    assert drive.until_success()
    assert drive.failure == ""


def test_a_piece_that_is_taken_out_again_is_swept_in_again(twin: Twin) -> None:
    drive = begin(twin, 1)
    drive.until(lambda: bool((outside(twin.world, 0.0) == 0.0).any()))
    inside = int(np.argmin(outside(twin.world, 0.0)))
    before = twin.task_status().progress
    side = 1.0 if twin.room.part(Area).side else -1.0
    lay(drive, inside, np.array([0.0, -side * (twin.room.part(Area).half_y_m + 0.06)]))
    drive.wait(1)
    assert twin.task_status().progress < before - 0.1
    assert drive.until_success()


def test_pieces_are_pushed_and_never_lifted(twin: Twin) -> None:
    drive = begin(twin, 2)
    highest = 0.0
    while not drive.success and drive.steps < twin.step_limit:
        drive.step(twin.expert_step())
        highest = max(highest, float(piece_places(twin.world)[:, 2].max()) - twin.world.table_z_m)
    assert drive.success
    assert highest < 0.03


def test_doing_nothing_times_out(twin: Twin) -> None:
    drive = begin(twin, 1)
    drive.wait(twin.step_limit)
    assert set(drive.shown[:-1]) == {""}
    assert (drive.success, drive.failure) == (False, "timeout")


@pytest.mark.parametrize("kind", ["cube", "disc", "bean", "brick"])
def test_the_expert_sweeps_every_kind(twin: Twin, kind: str) -> None:
    split = "held_out" if kind in ("bean", "brick") else "test"
    drive = begin(twin, 3, Room(split, 3, (("pieces.kind", kind),)))
    assert drive.until_success()
    assert set(drive.shown) == {""}


def test_the_expert_recovers_from_noise_on_its_steps(twin: Twin) -> None:
    for seed in range(2):
        assert begin(twin, seed).until_success(noise=0.2), seed
