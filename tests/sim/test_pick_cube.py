"""PickCube: the expert does it, the ground truth is true, failures have names."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from sim.tasks.pick_cube import AREA_CENTRE_M, AREA_HALF_M, CUBE, LIFT_M, Cube
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.types import FloatArray, Source, StepCommand


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"))


class Driver:
    """Drives a twin through the gate, one step at a time."""

    def __init__(self, twin: Twin, seed: int) -> None:
        self.twin = twin
        twin.reset(seed)
        self.gate = SafetyGate(twin.contract.safety)
        self.gate.restart(twin.arm_state())
        self.steps = 0

    def step(self, step: FloatArray) -> None:
        self.steps += 1
        now_ns = self.twin.time_ns
        command = StepCommand(now_ns, self.steps, Source.EXPERT, step)
        self.twin.advance(self.gate.admit(command, self.twin.arm_state(), now_ns).target)

    def until_success(self, noise: float = 0.0, seed: int = 0) -> bool:
        rng = np.random.default_rng(seed)
        while self.steps < self.twin.step_limit and not self.twin.task_status().success:
            step = self.twin.expert_step()
            if rng.random() < noise:
                step[:3] += rng.normal(0.0, 0.01, 3)
                step[3:6] += rng.normal(0.0, 0.05, 3)
            self.step(step)
        return self.twin.task_status().success


def cube_position(twin: Twin) -> FloatArray:
    return twin.world.data.body(CUBE).xpos.copy()


def move_cube(twin: Twin, position: tuple[float, float, float]) -> None:
    address = int(twin.world.model.joint(CUBE).qposadr[0])
    twin.world.data.qpos[address : address + 3] = position
    twin.world.data.qvel[-6:] = 0.0
    twin.world.measure()


def test_cubes_lie_all_over_their_square(twin: Twin) -> None:
    places = []
    for seed in range(40):
        twin.reset(seed)
        places.append(cube_position(twin)[:2] - AREA_CENTRE_M)
    assert np.abs(places).max() < AREA_HALF_M + 2e-3
    assert np.ptp(places, axis=0).min() > 1.4 * AREA_HALF_M


def test_instructions_vary_with_the_seed(twin: Twin) -> None:
    seen = set()
    for seed in range(20):
        twin.reset(seed)
        seen.add(twin.instruction)
    assert len(seen) > 2
    assert seen <= set(twin.task.instructions)


def test_expert_picks_the_cube_untouched_by_the_gate(twin: Twin) -> None:
    for seed in range(12):
        driver = Driver(twin, seed)
        assert driver.until_success(), seed
        assert driver.steps <= 40
        assert driver.gate.clamped == driver.gate.refused == 0
        assert cube_position(twin)[2] > LIFT_M


def test_expert_recovers_from_noise(twin: Twin) -> None:
    for seed in range(12):
        assert Driver(twin, seed).until_success(noise=0.3, seed=seed), seed


def test_expert_is_a_function_of_the_state(twin: Twin) -> None:
    twin.reset(3)
    first = twin.expert_step()
    assert np.array_equal(first, twin.expert_step())


def test_expert_changes_smoothly_with_the_state(twin: Twin) -> None:
    driver = Driver(twin, 2)
    for _ in range(30):
        here = cube_position(twin)
        before = twin.expert_step()
        move_cube(twin, (here[0] + 2e-4, here[1], here[2]))
        after = twin.expert_step()
        move_cube(twin, tuple(here))
        assert np.abs(after[:6] - before[:6]).max() < 5e-3
        assert abs(after[6] - before[6]) < 0.2
        driver.step(before)


def test_expert_retries_after_a_drop_and_the_drop_has_a_name(twin: Twin) -> None:
    driver = Driver(twin, 0)
    failures = set()
    while driver.steps < twin.step_limit and not twin.task_status().success:
        step = twin.expert_step()
        lifted = cube_position(twin)[2] - twin.room.part(Cube).half_m
        if 0.025 < lifted < LIFT_M and not failures:
            for _ in range(3):
                driver.step(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
                failures.add(twin.task_status().failure)
        else:
            driver.step(step)
    assert "dropped" in failures
    assert twin.task_status().success


def test_a_cube_far_away_counts_as_pushed_away(twin: Twin) -> None:
    driver = Driver(twin, 0)
    move_cube(twin, (0.5, 0.4, 0.02))
    driver.step(np.append(np.zeros(6), 1.0))
    assert twin.task_status().failure == "pushed_away"


def test_doing_nothing_times_out(twin: Twin) -> None:
    driver = Driver(twin, 0)
    for _ in range(twin.step_limit):
        assert twin.task_status().failure == ""
        driver.step(np.append(np.zeros(6), 1.0))
    status = twin.task_status()
    assert (status.success, status.failure) == (False, "timeout")


def test_a_floating_cube_that_nobody_holds_is_no_success(twin: Twin) -> None:
    driver = Driver(twin, 0)
    for _ in range(5):
        move_cube(twin, (0.5, 0.0, 0.2))
        driver.step(np.append(np.zeros(6), 1.0))
    assert not twin.task_status().success


def test_progress_grows_to_one_with_the_expert(twin: Twin) -> None:
    driver = Driver(twin, 1)
    progress = [twin.task_status().progress]
    while not twin.task_status().success:
        driver.step(twin.expert_step())
        progress.append(twin.task_status().progress)
    assert progress[0] < 0.1
    assert progress[-1] == 1.0
    assert np.diff(progress).min() > -0.03
    assert np.diff(progress).max() < 0.35
