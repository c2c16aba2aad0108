"""What tests of single tasks share: a driver that moves a twin through the gate and remembers what it showed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hardware.safety.gate import SafetyGate
from sim.rooms import Room
from sim.tasks import make_task
from sim.twin import Twin
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray, Source, StepCommand

STRIDE_M = 0.018


class Driver:
    """Drives a twin one step at a time from where it is."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.gate = SafetyGate(twin.contract.safety)
        self.gate.restart(twin.arm_state())
        self.steps = 0
        self.shown: list[str] = []

    @property
    def failure(self) -> str:
        return self.twin.task_status().failure

    @property
    def success(self) -> bool:
        return self.twin.task_status().success

    def step(self, step: FloatArray) -> None:
        self.steps += 1
        now_ns = self.twin.time_ns
        command = StepCommand(now_ns, self.steps, Source.EXPERT, step)
        self.twin.advance(self.gate.admit(command, self.twin.arm_state(), now_ns).target)
        self.shown.append(self.failure)

    def wait(self, periods: int, opening: float = 1.0, sink_m: float = 0.0) -> None:
        """Keep still, or sink by `sink_m` in each period."""
        for _ in range(periods):
            self.step(np.array([0.0, 0.0, -sink_m, 0.0, 0.0, 0.0, opening]))

    def move_to(self, position: FloatArray, opening: float, periods: int) -> None:
        """Lead the TCP straight to a place, shape (3,) [m]."""
        for _ in range(periods):
            way = position - self.twin.world.tcp_pose().position
            way *= min(STRIDE_M / max(float(np.linalg.norm(way)), 1e-9), 1.0)
            self.step(np.concatenate([way, np.zeros(3), [opening]]))

    def until(self, reached: Callable[[], bool]) -> None:
        """Let the expert work until something is so."""
        while not reached():
            assert self.steps < self.twin.step_limit, self.twin.task_status()
            self.step(self.twin.expert_step())

    def hold_until(self, reached: Callable[[], bool]) -> None:
        """Let the expert work until something is so, but never let go once it carries: it presses down instead."""
        self.until(lambda: self.twin.task_status().progress > 0.5)
        while not reached():
            assert self.steps < self.twin.step_limit, self.twin.task_status()
            step = self.twin.expert_step()
            step[2] -= 0.002
            step[6] = 0.0
            self.step(step)
        self.wait(6, opening=0.0, sink_m=0.001)

    def until_success(self, noise: float = 0.0) -> bool:
        """Let the expert work to the end; a share `noise` of its steps is disturbed."""
        rng = np.random.default_rng(0)
        while self.steps < self.twin.step_limit and not self.success:
            step = self.twin.expert_step()
            if rng.random() < noise:
                step[:3] += rng.normal(0.0, 0.01, 3)
                step[3:6] += rng.normal(0.0, 0.05, 3)
            self.step(step)
        return self.success

    def place(self, body: str, position: FloatArray, turn: FloatArray | None = None) -> None:
        """Put a free body somewhere, at rest, turned by a rotation vector, shape (3,) [rad]."""
        rotation = rotation_vector_to_xyzw(np.zeros(3) if turn is None else turn)
        self.twin.world.place_body(body, position, rotation)
        self.twin.world.measure()


def begin(twin: Twin, seed: int, room: Room | None = None) -> Driver:
    """Reset a twin and return its driver."""
    twin.reset(seed, room)
    return Driver(twin)


def alternate(twin: Twin, switches: int) -> None:
    """Let the experts of a task and its inverse undo each other's work without a reset; fail where one fails."""
    for turn in range(switches + 1):
        if turn:
            twin.follow(make_task(twin.task.name).inverse, turn)
            status = twin.task_status()
            assert (status.success, status.failure) == (False, ""), (turn, status)
            assert status.progress < 0.5
        assert Driver(twin).until_success(), (turn, twin.task.name, twin.task_status())
