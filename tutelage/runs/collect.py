"""Demonstrations from the twin's expert, in parallel processes, resumable."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from hardware.safety.gate import make_gate
from sim.tasks import make_task
from sim.twin import Twin
from tutelage.drivers import ExpertDriver
from tutelage.loop import EpisodeOptions, run_episode
from tutelage_core.contract import load_contract
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX, EpisodeMetadata
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError
from tutelage_core.versions import versions

EVALUATION_SEEDS_FROM = 1_000_000
"""Seeds from here on are for evaluation; demonstrations stay below, so that no scene is used for both."""


@dataclass(frozen=True)
class CollectConfig:
    """Settings of `tutelage collect`.

    Attributes:
        output: folder of the episodes; those that are there already are not made again.
        robot: robot's contract.
        task: task to demonstrate.
        episodes: demonstrations wanted in the folder.
        first_seed: seed of the first one; the others follow.
        disturbance: share of control periods in which the expert is pushed off its way (0..1).
        pace: factor on every step that is executed, (0, 1]: people who teleoperate move slower than the expert. What
            the expert wanted is recorded without it.
        extra_steps: periods to go on after success.
        processes: parallel processes.
        rooms: split that rooms are drawn from; `test` and `held_out` are kept for evaluation.
    """

    output: Path
    robot: str = "twin"
    task: str = "PickCube"
    episodes: int = 100
    first_seed: int = 0
    disturbance: float = 0.2
    pace: float = 1.0
    extra_steps: int = 3
    processes: int = 2
    rooms: Literal["lab", "train"] = "lab"


def collect(config: CollectConfig) -> EpisodeStore:
    """Record demonstrations and return their store.

    Raises:
        ConfigurationError: a setting is out of range.
        UnknownNameError: robot or task is unknown.
    """
    load_contract(config.robot)
    make_task(config.task)
    if config.episodes < 1 or config.processes < 1 or not 0.0 <= config.disturbance < 1.0:
        raise ConfigurationError(
            f"episodes and processes must be at least 1 and disturbance in [0, 1), got "
            f"{config.episodes}, {config.processes}, {config.disturbance}"
        )
    if not 0.0 < config.pace <= 1.0:
        raise ConfigurationError(f"pace must be in (0, 1], got {config.pace}")
    last_seed = config.first_seed + config.episodes
    if config.first_seed < 0 or last_seed > EVALUATION_SEEDS_FROM:
        raise ConfigurationError(
            f"seeds {config.first_seed}..{last_seed} must lie in 0..{EVALUATION_SEEDS_FROM}: "
            "higher ones are kept for evaluation"
        )
    config.output.mkdir(parents=True, exist_ok=True)
    missing = [s for s in range(config.first_seed, last_seed) if not (config.output / _name(config.task, s)).exists()]
    jobs = [(config, seed) for seed in missing]
    successes = 0
    bar = tqdm(
        total=config.episodes,
        initial=config.episodes - len(missing),
        desc=f"collect {config.task}",
        unit="episode",
        disable=None,
    )
    context = multiprocessing.get_context("spawn")
    with bar, context.Pool(min(config.processes, max(len(jobs), 1)), initializer=_one_thread) as pool:
        for number, succeeded in enumerate(pool.imap_unordered(_record_one, jobs, chunksize=4), start=1):
            successes += succeeded
            bar.set_postfix(success=f"{successes}/{number}")
            bar.update()
    return EpisodeStore(config.output)


def _name(task: str, seed: int) -> str:
    return f"{task}-{seed:06d}"


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


_TWINS: dict[tuple[str, str, str], Twin] = {}


def _record_one(job: tuple[CollectConfig, int]) -> bool:
    config, seed = job
    contract = load_contract(config.robot)
    key = (config.robot, config.task, config.rooms)
    if key not in _TWINS:
        _TWINS[key] = Twin(contract, config.task, seed, rooms=config.rooms)
    twin = _TWINS[key]
    driver = ExpertDriver(twin, contract.safety, config.disturbance, pace=config.pace)
    twin.reset(seed)
    metadata = EpisodeMetadata(
        contract, config.task, twin.instruction, seed, 0, "expert", "", versions(), twin.room.name
    )
    name = _name(config.task, seed)
    # an interrupted run's unfinished recording: the seed makes it again
    shutil.rmtree(config.output / f"{name}{PARTIAL_SUFFIX}", ignore_errors=True)
    with EpisodeWriter(config.output, name, metadata) as writer:
        result = run_episode(
            twin,
            driver,
            make_gate(contract),
            contract,
            EpisodeOptions(seed, with_expert=True, extra_steps=config.extra_steps),
            writer,
        )
        writer.close(result)
    return result.success
