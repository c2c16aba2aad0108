"""Success of a policy over seeded episodes that no demonstration used, in parallel processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from hardware.safety.gate import make_gate
from policies.registry import find_checkpoint, load_policy
from sim.parameters import Split
from sim.screening import try_expert
from sim.tasks import make_task
from sim.twin import Twin
from tutelage.drivers import PolicyDriver, ThinkingSettings
from tutelage.film_strip import FilmStrip
from tutelage.loop import EpisodeOptions, run_episode
from tutelage.runs.collect import EVALUATION_SEEDS_FROM
from tutelage_core.contract import check_chunk_outlasts, check_fit, load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.intervals import wilson_interval
from tutelage_core.parallel import each
from tutelage_core.types import EpisodeResult
from tutelage_core.versions import versions

C = TypeVar("C")
R = TypeVar("R")

MOST_REJECTED = 20
"""So many rooms more than episodes may be rejected before the task is taken to be broken."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Settings of `tutelage eval`.

    Attributes:
        policy: name of a shipped checkpoint, or the folder of one.
        robot: robot's contract.
        task: task to try.
        episodes: episodes to run.
        first_seed: seed of the first one; the others follow.
        processes: parallel processes.
        output: folder for results and film strips; nothing is written without one.
        rooms: split that rooms are drawn from. Outside the lab a room that the expert cannot solve is rejected, and
            the next seed takes its place.
        film_strips: draw a film strip of each episode into the output folder.
        thinking: how long the policy thinks, and what becomes of late steps.
    """

    policy: str = "bc_pick_cube"
    robot: str = "twin"
    task: str = "PickCube"
    episodes: int = 100
    first_seed: int = EVALUATION_SEEDS_FROM
    processes: int = 2
    output: Path | None = None
    rooms: Split = "lab"
    film_strips: bool = False
    thinking: ThinkingSettings = field(default_factory=ThinkingSettings)


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found: the result of each seed, in their order, and the seeds whose rooms were rejected."""

    config: EvaluateConfig
    seeds: tuple[int, ...]
    results: tuple[EpisodeResult, ...]
    rejected: tuple[int, ...] = ()

    @property
    def successes(self) -> int:
        """Episodes that succeeded."""
        return sum(result.success for result in self.results)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval of the success rate, 95 %."""
        return wilson_interval(self.successes, len(self.results))

    def summary(self) -> str:
        """Return one line for a person."""
        low, high = self.interval
        steps = sum(r.steps for r in self.results if r.success) / max(self.successes, 1)
        return (
            f"{self.config.task}: {self.successes} of {len(self.results)} "
            f"(95 % Wilson interval {low:.3f} .. {high:.3f}), "
            f"{steps:.1f} steps to success, seeds {self.seeds[0]} .. {self.seeds[-1]}{self._rejections()}"
        )

    def _rejections(self) -> str:
        if self.config.rooms == "lab":
            return ""
        drawn = len(self.seeds) + len(self.rejected)
        return f", {len(self.rejected)} of {drawn} rooms rejected ({100.0 * len(self.rejected) / drawn:.1f} %)"


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Run the episodes and return what came of them.

    Raises:
        ConfigurationError: a setting is out of range.
        CheckpointError: the checkpoint is missing or corrupt.
        ContractMismatchError: the policy does not fit the robot.
    """
    contract = load_contract(config.robot)
    make_task(config.task)
    if config.episodes < 1 or config.processes < 1:
        raise ConfigurationError(
            f"episodes and processes must be at least 1, got {config.episodes}, {config.processes}"
        )
    spec = load_policy(find_checkpoint(config.policy)).spec
    check_fit(spec, contract)
    check_chunk_outlasts(spec, config.thinking.delay_s)
    if config.output is not None:
        config.output.mkdir(parents=True, exist_ok=True)
    seeded = Seeded(config.task, config.first_seed, config.episodes, config.processes, config.rooms)
    results, rejected = over_seeds(seeded, _prepare, config, _run_one, f"eval {config.task}")
    seeds = tuple(sorted(results))
    evaluation = Evaluation(config, seeds, tuple(results[s] for s in seeds), tuple(rejected))
    if config.output is not None:
        _write(evaluation, config.output)
    return evaluation


@dataclass(frozen=True)
class Seeded:
    """Which episodes are run.

    Attributes:
        task: task to try.
        first_seed: seed of the first one; the others follow.
        episodes: in all.
        processes: parallel processes.
        rooms: split; outside the lab rooms may be rejected, and the next seed takes their place.
    """

    task: str
    first_seed: int
    episodes: int
    processes: int
    rooms: Split


def over_seeds(
    seeded: Seeded,
    prepare: Callable[[C], None],
    config: C,
    run_one: Callable[[int], tuple[int, R | None]],
    title: str,
) -> tuple[dict[int, R], list[int]]:
    """Run seeded episodes in parallel processes, whose order decides nothing.

    Args:
        seeded: which ones.
        prepare: makes a process ready, with `config`.
        config: for `prepare`.
        run_one: runs the episode of a seed and returns its result; None rejects the seed's room.
        title: of the progress bar.

    Returns:
        The result of each seed, and the seeds that were rejected.

    Raises:
        ConfigurationError: most rooms were rejected.
        BrokenProcessPool: a process could not be made ready, or has died.
    """
    results: dict[int, R] = {}
    rejected: list[int] = []
    while len(results) < seeded.episodes:
        if len(rejected) > seeded.episodes + MOST_REJECTED:
            raise ConfigurationError(
                f"{seeded.task}: {len(rejected)} of {len(rejected) + len(results)} rooms of split "
                f"'{seeded.rooms}' were rejected; at least half must be solvable"
            )
        first = seeded.first_seed + len(results) + len(rejected)
        seeds = range(first, first + seeded.episodes - len(results))
        done = len(results)
        for seed, result in each(
            run_one, seeds, seeded.processes, title=title, done_before=done, prepare=partial(prepare, config)
        ):
            if result is None:
                rejected.append(seed)
            else:
                results[seed] = result
    return results, sorted(rejected)


class _Worker:
    """What one process keeps from episode to episode."""

    def __init__(self, config: EvaluateConfig) -> None:
        torch.set_num_threads(1)
        self.config = config
        self.contract = load_contract(config.robot)
        self.twin = Twin(self.contract, config.task, config.first_seed, rooms=config.rooms)
        self.driver = PolicyDriver(load_policy(find_checkpoint(config.policy)), config.thinking)


_worker: _Worker | None = None


def _prepare(config: EvaluateConfig) -> None:
    global _worker  # noqa: PLW0603 a pool's initializer has no other place to leave things
    _worker = _Worker(config)


def _run_one(seed: int) -> tuple[int, EpisodeResult | None]:
    if _worker is None:
        raise ConfigurationError("the worker process was not prepared")
    if _worker.config.rooms != "lab" and not try_expert(_worker.twin, seed).success:
        return seed, None
    strip = FilmStrip() if _worker.config.film_strips else None
    result = run_episode(
        _worker.twin,
        _worker.driver,
        make_gate(_worker.contract),
        _worker.contract,
        EpisodeOptions(seed),
        listener=None if strip is None else strip.add,
    )
    if strip is not None and _worker.config.output is not None:
        ending = "success" if result.success else result.failure or result.termination
        strip.save(_worker.config.output / f"{seed}-{ending}.png")
    return seed, result


def _write(evaluation: Evaluation, folder: Path) -> None:
    low, high = evaluation.interval
    config = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(evaluation.config).items()}
    data = {
        "config": config,
        "versions": versions(),
        "successes": evaluation.successes,
        "episodes": len(evaluation.results),
        "interval": [low, high],
        "rejected_seeds": list(evaluation.rejected),
        "results": {
            str(s): {"success": r.success, "steps": r.steps, "failure": r.failure, "interventions": r.interventions}
            for s, r in zip(evaluation.seeds, evaluation.results, strict=True)
        },
    }
    (folder / "evaluation.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
