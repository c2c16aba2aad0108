"""Attempts at a task that end in every way, recorded in the twin: what a success classifier is to tell apart.

Where one that was to fail reaches the goal by chance, it is recorded as what it is: a success.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from hardware.safety.gate import make_gate
from sim.parameters import Split
from sim.rooms import Room
from sim.twin import Twin
from tutelage.attempt_drivers import Kind, driver_of
from tutelage.drivers import Driver
from tutelage.loop import EpisodeOptions, run_episode
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage_core.contract import load_contract
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX, EpisodeMetadata
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError
from tutelage_core.parallel import each
from tutelage_core.versions import versions

ATTEMPTS_FROM = 310_000
"""First seed of attempts, if nothing else is said: none of demonstrations, training or evaluation."""

MOST = 10_000
"""Attempts of each kind at most; each kind has so many seeds."""


@dataclass(frozen=True)
class AttemptsConfig:
    """Settings of `tutelage collect-attempts`.

    Attributes:
        output: folder of the episodes; those that are there already are not made again.
        task: what is attempted.
        robot: robot's contract.
        stopped: attempts that are stopped somewhere on their way, up to just short of the goal.
        wandering: attempts that wander from the start.
        hindered: attempts of an expert who is pushed off its way nearly always; many of them succeed.
        first_seed: of the first attempt; each kind takes the next `MOST`.
        extra_steps: control periods to go on after success, where one is reached by chance.
        room: number of the room of split `lab` in which all of them happen; each in a room of its own if None.
        rooms: split of the rooms that each has of its own; `test` and `held_out` are kept for evaluation.
        policy: name of a shipped checkpoint, or the folder of one.
        played: attempts of that policy with noise on its steps.
    """

    output: Path
    task: str = "PickCube"
    robot: str = "twin"
    stopped: int = 14
    wandering: int = 6
    hindered: int = 0
    first_seed: int = ATTEMPTS_FROM
    extra_steps: int = 10
    room: int | None = None
    rooms: Literal["lab", "train"] = "lab"
    policy: str = ""
    played: int = 0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.room is not None and self.rooms != "lab":
            raise ConfigurationError(f"attempts: room {self.room} is one of the lab's, and rooms are '{self.rooms}'")
        if bool(self.policy) != bool(self.played):
            raise ConfigurationError(
                f"attempts: a policy and how many it plays go together, got '{self.policy}' and {self.played}"
            )


def collect_attempts(config: AttemptsConfig) -> EpisodeStore:
    """Record attempts that mostly fail and return their store.

    Raises:
        ConfigurationError: a number is out of range, or no attempt is asked for.
        UnknownNameError: robot or task is unknown.
    """
    plan = {Kind.STOPPED: config.stopped, Kind.WANDERING: config.wandering, Kind.HINDERED: config.hindered}
    plan[Kind.POLICY] = config.played
    counts = list(plan.values())
    if min(counts) < 0 or max(counts) > MOST or not any(counts) or config.extra_steps < 0:
        raise ConfigurationError(
            f"attempts: each kind needs 0 to {MOST}, one must be asked for, and extra steps must not be negative; got "
            f"{config.stopped} stopped, {config.wandering} wandering, {config.hindered} hindered, "
            f"{config.played} played and {config.extra_steps} extra steps"
        )
    last_seed = config.first_seed + MOST * len(plan)
    if config.first_seed < 0 or last_seed > EVALUATION_SEEDS_FROM:
        raise ConfigurationError(
            f"attempts: seeds {config.first_seed}..{last_seed} must lie in 0..{EVALUATION_SEEDS_FROM}: higher ones are "
            "kept for evaluation"
        )
    room = None if config.room is None else Room("lab", config.room)
    for number, (kind, count) in enumerate(plan.items()):
        record_attempts(
            config.output,
            config.task,
            {kind: count},
            config.first_seed + MOST * number,
            extra_steps=config.extra_steps,
            room=room,
            robot=config.robot,
            policy=config.policy,
            rooms=config.rooms,
        )
    return EpisodeStore(config.output)


def record_attempts(
    output: Path,
    task: str,
    plan: Mapping[Kind, int],
    first_seed: int,
    *,
    extra_steps: int,
    room: Room | None = None,
    policy: str = "",
    robot: str = "twin",
    rooms: Split = "lab",
) -> EpisodeStore:
    """Record the attempts that are missing in `output` and return their store; one process.

    Args:
        output: folder of the episodes.
        task: what is attempted.
        plan: how many of each kind, in this order; each takes the next seeds.
        first_seed: of the first attempt.
        extra_steps: control periods to go on after success.
        room: where all of them happen; each in a room of its own, drawn by its seed, if None.
        policy: name of the policy of kind `policy`.
        robot: robot's contract.
        rooms: split of the rooms that each has of its own.
    """
    kinds = [kind for kind, count in plan.items() for _ in range(count)]
    jobs = [(kind, seed) for seed, kind in enumerate(kinds, first_seed) if not (output / _name(kind, seed)).exists()]
    output.mkdir(parents=True, exist_ok=True)
    done = len(kinds) - len(jobs)
    if jobs:
        recorder = _Recorder(output, task, jobs[0][1], extra_steps, room, policy, robot, rooms)
        for _ in each(partial(_Recorder.record, recorder), jobs, 1, title=f"attempts at {task}", done_before=done):
            pass
    return EpisodeStore(output)


class _Recorder:
    """One twin, and a driver of each kind."""

    def __init__(
        self,
        output: Path,
        task: str,
        seed: int,
        extra_steps: int,
        room: Room | None,
        policy: str,
        robot: str,
        rooms: Split,
    ) -> None:
        self._output, self._task, self._extra_steps = output, task, extra_steps
        self._room, self._policy = room, policy
        self._contract = load_contract(robot)
        self._twin = Twin(self._contract, task, seed, rooms=rooms)
        self._drivers: dict[Kind, Driver] = {}

    def record(self, job: tuple[Kind, int]) -> None:
        """Record one attempt."""
        kind, seed = job
        if kind not in self._drivers:
            self._drivers[kind] = driver_of(kind, self._twin, self._contract.safety, self._policy)
        twin = self._twin
        twin.reset(seed, self._room)
        metadata = EpisodeMetadata(
            self._contract, self._task, twin.instruction, seed, 0, kind, "", versions(), twin.room.name
        )
        shutil.rmtree(self._output / f"{_name(kind, seed)}{PARTIAL_SUFFIX}", ignore_errors=True)
        with EpisodeWriter(self._output, _name(kind, seed), metadata) as writer:
            options = EpisodeOptions(seed, extra_steps=self._extra_steps)
            gate = make_gate(self._contract)
            writer.close(run_episode(twin, self._drivers[kind], gate, self._contract, options, writer, room=self._room))


def _name(kind: Kind, seed: int) -> str:
    return f"{kind}-{seed:07d}"
