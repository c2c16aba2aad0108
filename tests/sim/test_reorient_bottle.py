"""ReorientBottle and LayBottle: the experts do it, one after the other too, and the ground truth is true."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from sim.bottle import BOTTLE, KINDS, Bottle, see_bottle
from sim.rooms import Room
from sim.tasks import make_task
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray, Source, StepCommand

STILL_OPEN = np.append(np.zeros(6), 1.0)
LYING = np.array([0.0, math.pi / 2.0, 0.0])
UPRIGHT = np.zeros(3)


@pytest.fixture(scope="module")
def reorient() -> Twin:
    return Twin(load_contract("twin"), "ReorientBottle", rooms="test")


@pytest.fixture(scope="module")
def lay() -> Twin:
    return Twin(load_contract("twin"), "LayBottle", rooms="test")


class Driver:
    """Drives a twin through the gate, one step at a time."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.gate = SafetyGate(twin.contract.safety)
        self.gate.restart(twin.arm_state())
        self.steps = 0
        self.progress = [twin.task_status().progress]
        self.failures: set[str] = set()

    def step(self, step: FloatArray) -> None:
        self.steps += 1
        now_ns = self.twin.time_ns
        command = StepCommand(now_ns, self.steps, Source.EXPERT, step)
        self.twin.advance(self.gate.admit(command, self.twin.arm_state(), now_ns).target)
        status = self.twin.task_status()
        self.progress.append(status.progress)
        self.failures.add(status.failure)

    def until_success(self, noise: float = 0.0) -> bool:
        rng = np.random.default_rng(0)
        while self.steps < self.twin.step_limit and not self.twin.task_status().success:
            step = self.twin.expert_step()
            if rng.random() < noise:
                step[:3] += rng.normal(0.0, 0.01, 3)
                step[3:6] += rng.normal(0.0, 0.05, 3)
            self.step(step)
        return self.twin.task_status().success

    def until_tilted(self, tilt_rad: float) -> None:
        """Let the expert work until the bottle's axis has passed this angle to the vertical."""
        before = see_bottle(self.twin.world).tilt_rad > tilt_rad
        while (see_bottle(self.twin.world).tilt_rad > tilt_rad) == before:
            assert self.steps < self.twin.step_limit
            self.step(self.twin.expert_step())

    def wait(self, periods: int) -> None:
        for _ in range(periods):
            self.step(STILL_OPEN)


def driver(twin: Twin, seed: int, room: Room | None = None) -> Driver:
    twin.reset(seed, room)
    return Driver(twin)


def place(twin: Twin, x: float, y: float, turn: FloatArray, above_m: float = 0.0) -> None:
    """Put the bottle on the table, or `above_m` above it, with its bottom at (`x`, `y`)."""
    world = twin.world
    z = world.table_z_m + above_m + (world.room.part(Bottle).depth_m if turn.any() else 0.0)
    world.place_body(BOTTLE, np.array([x, y, z]), rotation_vector_to_xyzw(turn))
    world.measure()


@pytest.mark.parametrize("split", ["test", "held_out"])
@pytest.mark.parametrize("task", ["ReorientBottle", "LayBottle"])
def test_expert_succeeds_in_rooms_it_was_not_made_in(task: str, split: str) -> None:
    twin = Twin(load_contract("twin"), task, rooms=split)
    for seed in range(12):
        drive = driver(twin, seed)
        assert drive.until_success(), (seed, twin.task_status())
        assert drive.gate.refused == 0


def test_kinds_of_the_held_out_rooms_occur_nowhere_else() -> None:
    kinds = {s: {Room(s, n).part(Bottle).kind for n in range(60)} for s in ("lab", "train", "test", "held_out")}
    assert not kinds["held_out"] & (kinds["lab"] | kinds["train"] | kinds["test"])
    assert set().union(*kinds.values()) == set(KINDS)


def test_room_refuses_a_bottle_that_the_gripper_cannot_span(reorient: Twin) -> None:
    with pytest.raises(ConfigurationError, match=r"bottle.radius_m = 0.05; legal: 0.026 to 0.032 m"):
        reorient.reset(0, Room("test", 0, (("bottle.radius_m", 0.05),)))


def test_expert_recovers_from_noise_on_its_steps(reorient: Twin, lay: Twin) -> None:
    for twin in (reorient, lay):
        for seed in range(3):
            assert driver(twin, seed).until_success(noise=0.3), (twin.task.name, seed)


def test_expert_is_a_function_of_the_state(reorient: Twin) -> None:
    drive = driver(reorient, 3)
    drive.until_tilted(1.0)
    first = reorient.expert_step()
    assert np.array_equal(first, reorient.expert_step())


def test_tasks_follow_each_other_without_a_reset(reorient: Twin) -> None:
    twin = Twin(load_contract("twin"), "ReorientBottle", rooms="held_out")
    for turn in range(6):
        assert Driver(twin).until_success(), turn
        twin.follow(make_task(twin.task.name).inverse, turn)
        assert twin.task_status().failure == ""
        assert twin.task_status().progress < 0.3


def test_lying_bottle_comes_to_rest_when_it_is_pushed(reorient: Twin) -> None:
    drive = driver(reorient, 0, Room("lab", 0))
    place(reorient, 0.5, 0.1, LYING)
    dof = int(reorient.world.model.joint(BOTTLE).dofadr[0])
    radius = reorient.world.room.part(Bottle).radius_m
    # rolls without slipping at 10 cm/s; the free joint's spin is in the body's own frame, whose z axis lies along x
    reorient.world.data.qvel[dof + 1], reorient.world.data.qvel[dof + 5] = -0.1, 0.1 / radius
    drive.wait(1)
    assert see_bottle(reorient.world).speed_m_s > 0.05
    drive.wait(19)
    assert see_bottle(reorient.world).speed_m_s < 0.001
    assert abs(see_bottle(reorient.world).foot[1] - 0.1) < 0.1


def test_doing_nothing_times_out(reorient: Twin, lay: Twin) -> None:
    for twin in (reorient, lay):
        drive = driver(twin, 0)
        drive.wait(twin.step_limit - 1)
        assert drive.failures == {""}
        drive.wait(1)
        assert (twin.task_status().success, twin.task_status().failure) == (False, "timeout")


def test_bottle_out_of_reach_has_rolled_away(reorient: Twin) -> None:
    drive = driver(reorient, 0)
    place(reorient, 0.5, 0.4, LYING)
    drive.wait(1)
    assert reorient.task_status().failure == "rolled_away"


def test_bottle_let_go_half_way_is_dropped_and_picked_up_again(reorient: Twin) -> None:
    drive = driver(reorient, 1)
    drive.until_tilted(1.2)
    drive.wait(8)
    assert reorient.task_status().failure == "dropped"
    assert "fallen" in reorient.captions()[0]
    assert drive.until_success()


def test_bottle_that_stood_and_was_tipped_over_fell(lay: Twin) -> None:
    drive = driver(lay, 0)
    drive.wait(1)
    place(lay, 0.55, 0.1, np.array([0.0, 0.6, 0.0]), above_m=0.01)
    drive.wait(12)
    assert lay.task_status().failure == "fell_over"
    assert lay.task_status().progress < 0.3
    assert not lay.task_status().success


def test_standing_bottle_that_is_still_held_is_no_success(reorient: Twin) -> None:
    drive = driver(reorient, 2)
    drive.until_tilted(0.03)
    for _ in range(10):
        step = reorient.expert_step()
        step[6] = 0.0
        drive.step(step)
    assert see_bottle(reorient.world).lowest_m < 0.004
    assert see_bottle(reorient.world).tilt_rad < math.radians(5.0)
    assert not reorient.task_status().success
    assert "holds" in reorient.captions()[0]
    assert drive.until_success()


def test_bottle_that_stands_in_the_air_is_no_success(reorient: Twin) -> None:
    drive = driver(reorient, 0)
    for _ in range(6):
        place(reorient, 0.55, 0.1, UPRIGHT, above_m=0.1)
        drive.wait(1)
        assert not reorient.task_status().success


def test_progress_rises_with_the_expert(reorient: Twin, lay: Twin) -> None:
    for twin in (reorient, lay):
        drive = driver(twin, 1)
        assert drive.until_success()
        assert drive.progress[0] < 0.1
        assert drive.progress[-1] == 1.0
        assert np.diff(drive.progress).min() > -0.05
        assert np.diff(drive.progress).max() < 0.35


def test_instructions_and_captions_name_the_bottle(reorient: Twin) -> None:
    reorient.reset(0)
    words = reorient.task.words(reorient.world)
    assert len(set(reorient.task.instructions)) >= 4
    assert words["kind"] in reorient.instruction
    assert all(f"{words['colour']} {words['kind']}" in caption for caption in reorient.captions())
    assert "lies on its side" in reorient.captions()[0]
    place(reorient, 0.55, 0.1, UPRIGHT)
    reorient.task.watch(reorient.world)
    assert "stands upright" in reorient.captions()[0]


def test_points_are_the_ends_of_the_bottle(reorient: Twin) -> None:
    reorient.reset(0)
    points = reorient.task.points(reorient.world)
    assert np.linalg.norm(points["cap"] - points["bottom"]) == pytest.approx(reorient.room.part(Bottle).height_m)
    assert set(points) == {"bottom", "cap", "grip"}
