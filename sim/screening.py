"""Rooms that can be solved: the task's expert tries each one, without pictures, and what it cannot do is rejected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hardware.safety.gate import SafetyGate, make_gate
from sim.incidents import IncidentError
from sim.rooms import Room
from sim.twin import Twin
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Source, StepCommand


@dataclass(frozen=True)
class Trial:
    """What came of the expert's attempt.

    Attributes:
        seed: of the episode.
        room: name of the room.
        success: whether it succeeded.
        steps: control periods it took.
        failure: kind of failure, or why the room could not be laid out; empty with success.
        force_n: largest contact force of the robot [N].
    """

    seed: int
    room: str
    success: bool
    steps: int
    failure: str
    force_n: float


@dataclass(frozen=True)
class Screening:
    """The expert's attempts at one task in many rooms."""

    task: str
    trials: tuple[Trial, ...]

    @property
    def solved(self) -> tuple[int, ...]:
        """Seeds of the rooms that the expert solved."""
        return tuple(trial.seed for trial in self.trials if trial.success)

    @property
    def rejected(self) -> Mapping[int, str]:
        """Seed to reason of the others."""
        return {trial.seed: trial.failure for trial in self.trials if not trial.success}

    def summary(self) -> str:
        """Return one line for a person."""
        share = len(self.rejected) / max(len(self.trials), 1)
        return f"{self.task}: {len(self.rejected)} of {len(self.trials)} rooms rejected ({100.0 * share:.1f} %)"


def try_expert(twin: Twin, seed: int, room: Room | None = None) -> Trial:
    """Let the expert try one episode through the SafetyGate, as fast as physics goes.

    A layout that is not possible is a failed trial with the error's words, not an error.
    """
    name = (room or Room(twin.rooms, seed)).name
    try:
        twin.reset(seed, room)
    except ConfigurationError as error:
        return Trial(seed, name, False, 0, str(error), 0.0)
    gate = make_gate(twin.contract)
    gate.restart(twin.arm_state())
    try:
        steps, force_n = _play(twin, gate)
    except IncidentError as error:
        return Trial(seed, name, False, 0, f"incident: {error}", 0.0)
    status = twin.task_status()
    return Trial(seed, name, status.success, steps, "" if status.success else status.failure or "timeout", force_n)


def _play(twin: Twin, gate: SafetyGate) -> tuple[int, float]:
    """Drive to the end; return the control periods and the largest contact force [N]."""
    steps, force_n = 0, 0.0
    while steps < twin.step_limit and not twin.task_status().success:
        steps += 1
        command = StepCommand(twin.time_ns, steps, Source.EXPERT, twin.expert_step())
        twin.advance(gate.admit(command, twin.arm_state(), twin.time_ns).target)
        force_n = max(force_n, twin.contact_force_n())
    return steps, force_n


def screen(twin: Twin, seeds: Iterable[int]) -> Screening:
    """Let the expert try the rooms that `seeds` draw from the twin's split."""
    return Screening(twin.task.name, tuple(try_expert(twin, seed) for seed in seeds))


def solvable_seeds(twin: Twin, first_seed: int, count: int) -> tuple[tuple[int, ...], Screening]:
    """Return the first `count` seeds from `first_seed` on whose rooms the expert solves, and all attempts.

    Raises:
        ConfigurationError: more than half of the rooms are rejected: something is wrong with the task.
    """
    trials: list[Trial] = []
    solved: list[int] = []
    while len(solved) < count:
        trial = try_expert(twin, first_seed + len(trials))
        trials.append(trial)
        if trial.success:
            solved.append(trial.seed)
        if len(trials) > 2 * count + 20:
            raise ConfigurationError(
                f"{twin.task.name}: the expert solved {len(solved)} of {len(trials)} rooms of split '{twin.rooms}'; "
                "at least half are needed"
            )
    return tuple(solved), Screening(twin.task.name, tuple(trials))
