"""PickNapkin and CoverWithCloth: failures have names, near misses do not count, and coverage is measured right."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from sim.cloth import Cloth
from sim.tasks.cover_with_cloth import CLOTH, COVERED, THING, Cover, coverage
from sim.tasks.pick_napkin import NAPKIN
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray, Source, StepCommand


@pytest.fixture(scope="module")
def napkin() -> Iterator[Twin]:
    twin = Twin(load_contract("twin"), "PickNapkin", rooms="test")
    yield twin
    twin.close()


@pytest.fixture(scope="module")
def cover() -> Iterator[Twin]:
    twin = Twin(load_contract("twin"), "CoverWithCloth", rooms="test")
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
        self.progress = [twin.task_status().progress]
        self.failures: set[str] = set()

    def step(self, step: FloatArray) -> None:
        self.steps += 1
        now_ns = self.twin.time_ns
        command = StepCommand(now_ns, self.steps, Source.EXPERT, step)
        self.twin.advance(self.gate.admit(command, self.twin.arm_state(), now_ns).target)
        self.progress.append(self.twin.task_status().progress)
        self.failures.add(self.twin.task_status().failure)

    def until(self, reached: Callable[[], bool]) -> None:
        """Let the expert work until something is the case."""
        while not reached():
            assert self.steps < self.twin.step_limit, self.twin.task_status()
            self.step(self.twin.expert_step())

    def until_success(self) -> None:
        self.until(lambda: self.twin.task_status().success)

    def hold(self, periods: int, opening: float) -> None:
        for _ in range(periods):
            self.step(np.append(np.zeros(6), opening))


def lay_over(twin: Twin, beside_m: float) -> None:
    """Lay the cloth flat above the thing, its middle so far beside the thing's along x, and look."""
    world, thing = twin.world, twin.world.data.body(THING).xpos
    cloth = Cloth(world, CLOTH)
    cloth.lay(thing[:2] + np.array([beside_m, 0.0]), 0.0, np.full(len(cloth.points), 0.04))
    world.measure()


def test_cloth_laid_by_hand_covers_what_is_below_it(cover: Twin) -> None:
    cover.reset(0)
    assert coverage(cover.world) == 0.0
    lay_over(cover, 0.0)
    assert coverage(cover.world) == 1.0
    lay_over(cover, cover.room.part(Cover).weave.size_m[0] / 2.0)
    assert coverage(cover.world) == pytest.approx(0.5, abs=0.1)
    lay_over(cover, 0.2)
    assert coverage(cover.world) == 0.0


def test_cloth_below_the_top_does_not_cover_it(cover: Twin) -> None:
    cover.reset(0)
    thing = cover.world.data.body(THING).xpos
    Cloth(cover.world, CLOTH).lay(thing[:2], 0.0)
    cover.world.measure()
    assert coverage(cover.world) == 0.0


def test_progress_rises_while_the_cloth_is_drawn_and_success_waits_until_it_is_let_go(cover: Twin) -> None:
    drive = Driver(cover, 14)
    drive.until(lambda: coverage(cover.world) >= COVERED and Cloth(cover.world, CLOTH).held())
    assert drive.progress[0] < 0.1
    assert np.diff(drive.progress).min() > -0.05
    drive.hold(6, 0.05)
    assert coverage(cover.world) >= COVERED
    assert not cover.task_status().success
    drive.until_success()
    assert drive.failures == {""}


def test_cloth_let_go_half_way_slipped(cover: Twin) -> None:
    drive = Driver(cover, 14)
    drive.until(lambda: cover.task_status().progress > 0.4)
    drive.hold(4, 1.0)
    assert cover.task_status().failure == "slipped"
    assert not cover.task_status().success


def test_cloth_drawn_off_again_uncovers_the_thing(cover: Twin) -> None:
    drive = Driver(cover, 14)
    lay_over(cover, 0.0)
    drive.hold(1, 1.0)
    assert drive.failures == {""}
    lay_over(cover, -0.2)
    drive.hold(1, 1.0)
    assert cover.task_status().failure == "uncovered"


def test_thing_that_moved_was_pushed_away(cover: Twin) -> None:
    drive = Driver(cover, 14)
    place = cover.world.data.body(THING).xpos + np.array([0.0, 0.12, 0.0])
    cover.world.place_body(THING, place, np.array([0.0, 0.0, 0.0, 1.0]))
    drive.hold(1, 1.0)
    assert cover.task_status().failure == "pushed_away"


def test_expert_of_the_cloth_recovers_from_a_shove(cover: Twin) -> None:
    drive = Driver(cover, 15)
    drive.until(lambda: cover.arm_state().T_base_tcp.position[2] - cover.world.table_z_m < 0.1)
    for _ in range(3):
        drive.step(np.array([0.0, 0.02, 0.01, 0.0, 0.0, 0.1, 1.0]))
    drive.until_success()


def test_napkin_let_go_in_the_air_slipped(napkin: Twin) -> None:
    drive = Driver(napkin, 1)
    drive.until(lambda: napkin.task_status().progress > 0.75)
    drive.hold(2, 1.0)
    assert napkin.task_status().failure == "slipped"


def test_napkin_out_of_reach_was_pushed_away(napkin: Twin) -> None:
    drive = Driver(napkin, 1)
    Cloth(napkin.world, NAPKIN).lay(np.array([0.5, 0.35]), 0.0)
    drive.hold(1, 1.0)
    assert napkin.task_status().failure == "pushed_away"


def test_napkin_pinched_on_the_table_is_no_success(napkin: Twin) -> None:
    drive = Driver(napkin, 2)
    drive.until(lambda: Cloth(napkin.world, NAPKIN).held())
    drive.hold(5, 0.0)
    assert not napkin.task_status().success
    assert "napkin is pinched" in napkin.captions()[1]
    drive.until_success()


def test_doing_nothing_times_out(napkin: Twin) -> None:
    napkin.reset(0)
    for _ in range(napkin.step_limit):
        napkin.task.watch(napkin.world)
    assert napkin.task_status().failure == "timeout"
