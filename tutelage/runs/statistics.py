"""Statistics of a folder of episodes: what happened, and how all states, actions and pictures are distributed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from tutelage.runs.cache import CACHE_FOLDER
from tutelage_core.contract import STATE_KEYS, RobotContract
from tutelage_core.episodes.array_pieces import fault_of, open_piece, write_piece
from tutelage_core.episodes.frame_cache import FrameCache
from tutelage_core.episodes.index import EpisodeRow, read_index
from tutelage_core.episodes.statistics import Statistics, histograms, image_statistics, number_statistics
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import EpisodeError
from tutelage_core.intervals import wilson_interval
from tutelage_core.parallel import each
from tutelage_core.types import STEP_SIZE

STEP = "executed step"


@dataclass(frozen=True)
class StatsConfig:
    """Settings of `tutelage data stats`.

    Attributes:
        dataset: folder of the episodes; what was counted is kept in its `.cache`.
        processes: parallel processes.
    """

    dataset: tyro.conf.Positional[Path]
    processes: int = 2


@dataclass(frozen=True)
class TaskRow:
    """The episodes of one task.

    Attributes:
        task: its name.
        episodes: how many there are.
        successes: that were done, by label or else as recorded.
        interval: 95 % Wilson interval of the success rate.
        steps: control periods in all.
        human_share: part of them that a person drove, 0..1.
        failures: kind of failure to number of episodes.
    """

    task: str
    episodes: int
    successes: int
    interval: tuple[float, float]
    steps: int
    human_share: float
    failures: Mapping[str, int]


@dataclass(frozen=True)
class DatasetStatistics:
    """What a folder of episodes holds.

    Attributes:
        tasks: a row for each task.
        features: state key, executed step or camera to its statistics: min, max, mean, std, count and quantiles; SI
            units, levels of pixels scaled to 0..1.
    """

    tasks: tuple[TaskRow, ...]
    features: Mapping[str, Statistics]


def statistics(config: StatsConfig) -> DatasetStatistics:
    """Count all episodes; those that were counted before are not read again.

    Raises:
        ConfigurationError: there is no such folder, or a setting is out of range.
        EpisodeError: there is no episode, one is damaged, or they differ in cameras or joints.
    """
    store = EpisodeStore(config.dataset)
    rows = read_index(store)
    if not rows:
        raise EpisodeError(f"{config.dataset}: no finished episode to count")
    if damaged := [row for row in rows if row.fault]:
        raise EpisodeError(f"{damaged[0].fault}; repair or remove it first")
    cache = FrameCache(config.dataset / CACHE_FOLDER)
    wanted = {row.name: cache.folder(store.manifest(row.name)) for row in rows}
    jobs = [(config.dataset, name, folder) for name, folder in wanted.items() if not _is_counted(folder)]
    for _ in each(_count, jobs, config.processes, title="count", done_before=len(rows) - len(jobs)):
        pass
    contract = store.manifest(rows[0].name).metadata.contract
    return DatasetStatistics(_tasks(rows), _features(contract, list(wanted.values()), config.dataset))


def _count(job: tuple[Path, str, Path]) -> None:
    """Read one episode, and keep its numbers and the histograms of its pictures; a function of the recording alone."""
    dataset, name, folder = job
    episode = EpisodeStore(dataset).read(name)
    columns = [*(episode.state[key] for key in STATE_KEYS), episode.executed]
    write_piece(folder / "numbers.npy", np.concatenate(columns, axis=1))
    # cameras in the order of their names
    counted = [histograms(episode.images[camera]) for camera in sorted(episode.images)]
    write_piece(folder / "histograms.npy", np.array(counted, dtype=np.int64))


def _is_counted(folder: Path) -> bool:
    return all(fault_of(folder / name, hashed=False) is None for name in ("numbers.npy", "histograms.npy"))


def _features(contract: RobotContract, folders: list[Path], dataset: Path) -> dict[str, Statistics]:
    numbers = [open_piece(folder / "numbers.npy") for folder in folders]
    counted: list[NDArray[Any]] = [open_piece(folder / "histograms.npy") for folder in folders]
    if len({array.shape[1] for array in numbers}) > 1 or len({array.shape for array in counted}) > 1:
        raise EpisodeError(f"{dataset}: its episodes differ in cameras or joints; count those of each robot by itself")
    everything = np.concatenate(numbers)
    features: dict[str, Statistics] = {}
    start = 0
    for key in (*STATE_KEYS, STEP):
        size = STATE_KEYS.get(key, STEP_SIZE)
        if key.startswith("joint_"):
            size = len(contract.arm.joints)
        features[key] = number_statistics(everything[:, start : start + size])
        start += size
    total = np.sum(counted, axis=0)
    for camera, counts in zip(sorted(contract.cameras), total, strict=False):
        features[camera] = image_statistics(counts, len(everything))
    return features


def _tasks(rows: tuple[EpisodeRow, ...]) -> tuple[TaskRow, ...]:
    found: list[TaskRow] = []
    for task in sorted({row.task for row in rows}):
        these = [row for row in rows if row.task == task]
        successes = sum(row.success for row in these)
        kinds = [row.failure or row.termination for row in these if not row.success]
        steps = sum(row.steps for row in these)
        found.append(
            TaskRow(
                task,
                len(these),
                successes,
                wilson_interval(successes, len(these)),
                steps,
                sum(row.human_steps for row in these) / max(steps, 1),
                {kind: kinds.count(kind) for kind in sorted(set(kinds))},
            )
        )
    return tuple(found)
