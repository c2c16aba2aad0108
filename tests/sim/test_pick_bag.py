"""PickBag: failures have their names, near misses do not count, and the expert takes the bag up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from sim.bag import BAG, Bag, lift_m
from sim.rooms import Room
from sim.tasks.pick_bag import LIFT_M, holds
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray, Source, StepCommand


@pytest.fixture(scope="module")
def bag() -> Iterator[Twin]:
    twin = Twin(load_contract("twin"), "PickBag", rooms="test")
    yield twin
    twin.close()


class Driver:
    """Drives a twin through the gate, one step at a time."""

    def __init__(self, twin: Twin, seed: int) -> None:
        twin.reset(seed)
        self.twin = twin
        self.gate = SafetyGate(twin.contract.safety)
        self.gate.restart(twin.arm_state())
        self.steps = 0

    def step(self, step: FloatArray) -> None:
        self.steps += 1
        now_ns = self.twin.time_ns
        command = StepCommand(now_ns, self.steps, Source.EXPERT, step)
        self.twin.advance(self.gate.admit(command, self.twin.arm_state(), now_ns).target)

    def until(self, reached: Callable[[], bool]) -> None:
        """Let the expert work until something is the case."""
        while not reached():
            assert self.steps < self.twin.step_limit, self.twin.task_status()
            self.step(self.twin.expert_step())

    def hold(self, periods: int, opening: float) -> None:
        for _ in range(periods):
            self.step(np.append(np.zeros(6), opening))


def put(twin: Twin, place: FloatArray, lean_rad: float = 0.0) -> None:
    """Move the bag to a place, leaning."""
    twin.world.place_body(BAG, place, rotation_vector_to_xyzw(np.array([lean_rad, 0.0, 0.0])))
    twin.world.measure()


def test_outlines_of_the_held_out_rooms_occur_nowhere_else() -> None:
    seen = {s: {Room(s, n).part(Bag).outline for n in range(40)} for s in ("lab", "train", "test", "held_out")}
    assert not seen["held_out"] & (seen["lab"] | seen["train"] | seen["test"])


def test_bag_out_of_reach_was_pushed_away(bag: Twin) -> None:
    drive = Driver(bag, 0)
    put(bag, bag.world.data.body(BAG).xpos + np.array([0.0, 0.45, 0.0]))
    drive.hold(1, 1.0)
    assert bag.task_status().failure == "pushed_away"


def test_bag_on_its_side_tipped(bag: Twin) -> None:
    drive = Driver(bag, 0)
    put(bag, bag.world.data.body(BAG).xpos + np.array([0.0, 0.0, 0.01]), lean_rad=1.5)
    drive.hold(1, 1.0)
    assert bag.task_status().failure == "tipped"
    assert "tipped over" in bag.captions()[0]


def test_bag_let_go_in_the_air_is_dropped(bag: Twin) -> None:
    drive = Driver(bag, 1)
    drive.until(lambda: lift_m(bag.world) > 0.04)
    drive.hold(6, 1.0)
    assert bag.task_status().failure in ("dropped", "tipped")
    assert not bag.task_status().success
    assert bag.task_status().progress < 0.5


def test_bag_held_on_the_table_is_no_success(bag: Twin) -> None:
    drive = Driver(bag, 2)
    drive.until(lambda: holds(bag.world))
    drive.hold(5, 0.0)
    assert lift_m(bag.world) < LIFT_M
    assert not bag.task_status().success
    assert "grasped" in bag.captions()[1]
    drive.until(lambda: bag.task_status().success)


def test_expert_recovers_from_noise_on_its_steps(bag: Twin) -> None:
    rng = np.random.default_rng(0)
    for seed in range(3):
        drive = Driver(bag, seed)
        while not bag.task_status().success:
            assert drive.steps < bag.step_limit, seed
            step = bag.expert_step()
            step[:3] += rng.normal(0.0, 0.005, 3) * (rng.random() < 0.3)
            drive.step(step)


def test_doing_nothing_times_out(bag: Twin) -> None:
    drive = Driver(bag, 0)
    drive.hold(bag.step_limit, 1.0)
    assert bag.task_status().failure == "timeout"
