"""Drawer and door: what counts as open and shut, each failure, and one task after the other."""

from __future__ import annotations

import numpy as np
import pytest

from sim.cabinet import CABINET, LEAF, Leaf, see_leaf
from sim.experts import UP
from sim.handles import NAMES as HANDLES
from sim.rooms import Room
from sim.tasks.cabinet_task import BACK_SHARE, CabinetTask
from sim.twin import Twin
from tests.sim.driver import alternate, begin
from tutelage_core.contract import load_contract


@pytest.fixture(scope="module", params=["OpenDrawer", "CloseDrawer", "OpenDoor", "CloseDoor"])
def twin(request: pytest.FixtureRequest) -> Twin:
    return Twin(load_contract("twin"), request.param, rooms="test")


def task(twin: Twin) -> CabinetTask:
    assert isinstance(twin.task, CabinetTask)
    return twin.task


def leaf(twin: Twin) -> Leaf:
    return see_leaf(twin.world)


def set_leaf(twin: Twin, opening: float, speed: float = 0.0) -> None:
    """Set how far it is open [m or rad] and how fast it opens."""
    world = twin.world
    joint = world.model.joint(LEAF)
    world.data.qpos[joint.qposadr[0]], world.data.qvel[joint.dofadr[0]] = opening, speed
    world.measure()


def on_the_way(twin: Twin, first: float, share: float) -> float:
    """Return the opening at this share of the way from the first one to the target."""
    return first + share * (task(twin).target(twin.world) - first)


def test_success_begins_at_the_target(twin: Twin) -> None:
    for share, good in ((1.02, True), (0.98, False)):
        drive = begin(twin, 0)
        set_leaf(twin, on_the_way(twin, leaf(twin).opening, share))
        drive.wait(5)
        assert drive.success == good, share


def test_half_way_is_no_success_and_the_caption_says_ajar(twin: Twin) -> None:
    drive = begin(twin, 1)
    set_leaf(twin, on_the_way(twin, leaf(twin).opening, 0.5))
    drive.wait(5)
    assert not drive.success
    assert "partly open" in twin.captions()[0]
    assert 0.2 < twin.task_status().progress < 0.5
    assert drive.until_success()


def test_a_leaf_that_still_moves_is_no_success(twin: Twin) -> None:
    begin(twin, 0)
    there = on_the_way(twin, leaf(twin).opening, 1.01)
    for speed, good in ((0.0, True), (2.0 * task(twin).still, False), (-2.0 * task(twin).still, False)):
        set_leaf(twin, there, speed)
        assert task(twin).done(twin.world) == good, speed


def test_a_hand_that_loses_it_half_way_slipped_off_and_comes_back(twin: Twin) -> None:
    drive = begin(twin, 2)
    first = leaf(twin).opening
    drive.until(lambda: abs(leaf(twin).opening - first) > abs(on_the_way(twin, first, 0.4) - first))
    drive.wait(2)
    drive.move_to(twin.world.tcp_pose().position + 0.12 * UP, 1.0, 8)
    assert drive.failure == "slipped_off"
    assert not drive.success
    assert drive.until_success()
    assert drive.failure == ""


def test_a_leaf_that_goes_back_has_its_name(twin: Twin) -> None:
    drive = begin(twin, 0)
    back = -1.0 if task(twin).opens else 1.0
    half = on_the_way(twin, leaf(twin).opening, 0.6)
    for further, name in ((0.8, "slipped_off"), (1.2, "shut_again" if task(twin).opens else "pulled_open")):
        set_leaf(twin, half)
        drive.wait(1)
        set_leaf(twin, half + back * further * BACK_SHARE * leaf(twin).stop)
        drive.wait(1)
        assert drive.failure == name


def test_a_cabinet_that_was_moved_or_turned_was_pushed(twin: Twin) -> None:
    for shift_m, turn_rad, name in ((0.02, 0.0, ""), (0.045, 0.0, "cabinet_pushed"), (0.0, 0.22, "cabinet_pushed")):
        drive = begin(twin, 3)
        body = twin.world.data.body(CABINET)
        yaw = float(np.arctan2(body.xmat[3], body.xmat[0]))
        drive.place(CABINET, body.xpos - [0.0, shift_m, 0.0], (yaw + turn_rad) * UP)
        drive.wait(1)
        assert drive.failure == name, (shift_m, turn_rad)


def test_doing_nothing_times_out(twin: Twin) -> None:
    drive = begin(twin, 1)
    drive.wait(twin.step_limit)
    assert set(drive.shown[:-1]) == {""}
    assert (drive.success, drive.failure) == (False, "timeout")


def test_the_expert_leaves_the_cabinet_where_it_stands(twin: Twin) -> None:
    drive = begin(twin, 4)
    place = twin.world.data.body(CABINET).xpos.copy()
    assert drive.until_success()
    assert np.linalg.norm(twin.world.data.body(CABINET).xpos - place) < 0.01
    assert set(drive.shown) == {""}


def test_the_expert_handles_every_handle(twin: Twin) -> None:
    for kind in HANDLES:
        split = "held_out" if kind in ("ring", "tee", "lip") else "test"
        assert begin(twin, 5, Room(split, 5, (("handle.kind", kind),))).until_success(), kind


def test_the_expert_recovers_from_noise_on_its_steps(twin: Twin) -> None:
    for seed in range(2):
        assert begin(twin, seed).until_success(noise=0.3), seed


@pytest.mark.parametrize("split", ["test", "held_out"])
@pytest.mark.parametrize("name", ["OpenDrawer", "OpenDoor"])
def test_tasks_follow_each_other_without_a_reset(name: str, split: str) -> None:
    alternate(Twin(load_contract("twin"), name, 102, rooms=split), 5)
