"""PegInsertion and PegExtraction: the fit is tight, only a straight peg goes in, and each failure has its name."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim.experts import QUARTER_TURN, UP
from sim.peg import BLOCK, CLEARANCE_M, HOLDER, PEG, Block, Peg, depth, lean, socket
from sim.tasks.peg_insertion import HELD_IN_M, INSERTED_M
from sim.twin import Twin
from tests.sim.driver import Driver, alternate, begin
from tutelage_core.contract import load_contract


@pytest.fixture(scope="module")
def insert() -> Twin:
    return Twin(load_contract("twin"), "PegInsertion", rooms="test")


@pytest.fixture(scope="module")
def extract() -> Twin:
    return Twin(load_contract("twin"), "PegExtraction", rooms="test")


def stand(drive: Driver, along_m: float, across_m: float, deep_m: float, turn_rad: float = 0.0) -> None:
    """Stand the peg at the hole, off its middle along its sides, its tip `deep_m` below the mouth."""
    world, hole = drive.twin.world, socket(drive.twin.world, BLOCK)
    sides = world.data.body(BLOCK).xmat.reshape(3, 3)
    tip = hole.mouth + along_m * sides[:, 0] + across_m * sides[:, 1] - deep_m * UP
    drive.place(PEG, tip + world.room.part(Peg).length_m / 2 * UP, (hole.yaw + turn_rad) * UP)


def push(twin: Twin, force_n: float) -> None:
    """Push the peg down from now on [N]."""
    twin.world.data.xfrc_applied[twin.world.model.body(PEG).id, 2] = -force_n


def touches_block(twin: Twin) -> bool:
    model, data = twin.world.model, twin.world.data
    mujoco.mj_forward(model, data)
    bodies = model.geom_bodyid[data.contact.geom]
    pair = {int(model.body(PEG).id), int(model.body(BLOCK).id)}
    return any(set(row) == pair for row in bodies.tolist())


def test_peg_has_half_a_millimetre_of_room_on_each_side(insert: Twin) -> None:
    assert CLEARANCE_M == 0.001
    for seed in range(3):
        drive = begin(insert, seed)
        for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            stand(drive, 0.00045 * shift[0], 0.00045 * shift[1], deep_m=0.02)
            assert not touches_block(insert), shift
            stand(drive, 0.00055 * shift[0], 0.00055 * shift[1], deep_m=0.02)
            assert touches_block(insert), shift


def test_only_a_straight_peg_goes_in(insert: Twin) -> None:
    for along_m, turn_rad, good in ((0.0003, 0.0, True), (0.005, 0.0, False), (0.0, 0.4, False), (0.005, 0.4, False)):
        drive = begin(insert, 4)
        stand(drive, along_m, 0.0, deep_m=-0.0002, turn_rad=turn_rad)
        push(insert, 3.0)
        drive.wait(15)
        assert (depth(insert.world, BLOCK) >= INSERTED_M) == good, (along_m, turn_rad)
        assert drive.success == good


def test_rim_gives_less_than_a_tenth_of_the_clearance_under_the_largest_force(insert: Twin) -> None:
    drive = begin(insert, 4)
    stand(drive, 0.0, 0.0, deep_m=0.0, turn_rad=QUARTER_TURN / 2)
    push(insert, 45.0)
    drive.wait(5)
    assert touches_block(insert)
    assert depth(insert.world, BLOCK) < CLEARANCE_M / 10
    assert insert.world.data.contact.dist.min() > -CLEARANCE_M / 10


def test_peg_that_is_half_in_is_no_success(insert: Twin) -> None:
    drive = begin(insert, 1)
    drive.until(lambda: depth(insert.world, BLOCK) > 0.005)
    drive.wait(6, opening=0.0)
    assert 0.003 < depth(insert.world, BLOCK) < INSERTED_M
    assert "partly" in insert.captions()[0]
    assert not drive.success
    assert drive.until_success()


def test_peg_that_is_held_in_the_holder_is_no_success(extract: Twin) -> None:
    drive = begin(extract, 1)
    drive.hold_until(lambda: depth(extract.world, HOLDER) > HELD_IN_M)
    assert depth(extract.world, HOLDER) > HELD_IN_M
    assert not drive.success
    assert drive.until_success()


def test_peg_on_the_rim_is_pressed_beside_the_hole(insert: Twin) -> None:
    drive = begin(insert, 2)
    stand(drive, insert.room.part(Peg).half_m + insert.room.part(Block).wall_m / 2, 0.0, deep_m=0.0)
    drive.wait(11)
    assert drive.failure == ""
    drive.wait(3)
    assert drive.failure == "beside_hole"
    assert not drive.success


def test_peg_on_its_side_has_fallen_and_the_expert_stands_it_up(insert: Twin, extract: Twin) -> None:
    for twin in (insert, extract):
        for seed in range(3):
            drive = begin(twin, seed)
            height = twin.world.table_z_m + twin.room.part(Peg).half_m
            middle = (socket(twin.world, BLOCK).mouth + socket(twin.world, HOLDER).mouth) / 2
            drive.place(PEG, np.array([*middle[:2], height]), np.array([0.0, QUARTER_TURN, 0.0]))
            drive.wait(1)
            assert drive.failure == "fallen"
            assert lean(twin.world) == pytest.approx(QUARTER_TURN, abs=0.05)
            assert drive.until_success(), (twin.task.name, seed)


def test_peg_far_away_is_out_of_reach(insert: Twin, extract: Twin) -> None:
    for twin in (insert, extract):
        drive = begin(twin, 0)
        drive.place(PEG, np.array([0.5, 0.4, twin.world.table_z_m + 0.05]))
        drive.wait(1)
        assert drive.failure == "out_of_reach"


def test_doing_nothing_times_out(insert: Twin, extract: Twin) -> None:
    for twin in (insert, extract):
        drive = begin(twin, 1)
        drive.wait(twin.step_limit)
        assert set(drive.shown[:-1]) == {""}
        assert (drive.success, drive.failure) == (False, "timeout")


@pytest.mark.parametrize("split", ["test", "held_out"])
def test_tasks_follow_each_other_without_a_reset(split: str) -> None:
    alternate(Twin(load_contract("twin"), "PegInsertion", 6, rooms=split), 5)


def test_experts_recover_from_noise_on_their_steps(insert: Twin, extract: Twin) -> None:
    for twin in (insert, extract):
        for seed in range(3):
            assert begin(twin, seed).until_success(noise=0.3), (twin.task.name, seed)
