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
from tutelage_core.contract import STATE_KEYS
from tutelage_core.episodes.array_pieces import fault_of, open_piece, write_piece
from tutelage_core.episodes.frame_cache import FrameCache, recorded_cameras
from tutelage_core.episodes.index import EpisodeRow, read_index
from tutelage_core.episodes.manifest import Manifest
from tutelage_core.episodes.statistics import Statistics, histograms, image_statistics, number_statistics
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.window_checks import check_recorded, common_contract, state_sizes
from tutelage_core.errors import ContractMismatchError, EpisodeError
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
        ContractMismatchError: the episodes differ in robot, joints, recorded cameras or sizes; both are named.
        EpisodeError: there is no episode, or one is damaged.
    """
    store = EpisodeStore(config.dataset)
    rows = read_index(store)
    if not rows:
        raise EpisodeError(f"{config.dataset}: no finished episode to count")
    if damaged := [row for row in rows if row.fault]:
        raise EpisodeError(f"{damaged[0].fault}; repair or remove it first")
    manifests = {row.name: store.manifest(row.name) for row in rows}
    cameras = _common_cameras(manifests)
    contract = common_contract(tuple(manifests), tuple(manifests.values()), cameras)
    sizes = dict(zip((*STATE_KEYS, STEP), (*state_sizes(contract, tuple(STATE_KEYS)), STEP_SIZE), strict=True))
    pieces = {name: _Pieces(config.dataset, manifest) for name, manifest in manifests.items()}
    jobs = [(config.dataset, name) for name in pieces if not pieces[name].are_whole(cameras)]
    for _ in each(_count, jobs, config.processes, title="count", done_before=len(rows) - len(jobs)):
        pass
    everything = np.concatenate([_numbers(name, pieces[name].numbers, sum(sizes.values())) for name in pieces])
    places = np.cumsum([0, *sizes.values()]).tolist()
    features = {
        key: number_statistics(everything[:, slice(*places[place : place + 2])]) for place, key in enumerate(sizes)
    }
    for camera in cameras:
        counts = sum(open_piece(kept.histogram(camera)) for kept in pieces.values())
        features[camera] = image_statistics(np.asarray(counts), len(everything))
    return DatasetStatistics(_tasks(rows), features)


class _Pieces:
    """Where the cache keeps what was counted of an episode: a function of the recording alone."""

    def __init__(self, dataset: Path, manifest: Manifest) -> None:
        self._cache = FrameCache(dataset / CACHE_FOLDER)
        self._manifest = manifest
        self.numbers = self._cache.folder(manifest) / "numbers.npy"
        """All state keys and the executed step, side by side, a row for each control period."""

    def histogram(self, camera: str) -> Path:
        """Return the piece of a camera: how often each level occurs in each channel, shape (3, 256)."""
        return self._cache.camera_folder(self._manifest, camera) / "histogram.npy"

    def are_whole(self, cameras: tuple[str, ...]) -> bool:
        paths = (self.numbers, *(self.histogram(camera) for camera in cameras))
        return all(fault_of(path, hashed=False) is None for path in paths)


def _count(job: tuple[Path, str]) -> None:
    """Read one episode, and keep its numbers and the histograms of its pictures."""
    dataset, name = job
    store = EpisodeStore(dataset)
    manifest = store.manifest(name)
    episode = store.read(name, recorded_cameras(manifest))
    shapes = {camera: pixels.shape[1:] for camera, pixels in episode.images.items()}
    sizes = {key: values.shape[1] for key, values in episode.state.items()}
    check_recorded(str(dataset), name, len(episode), manifest, manifest.metadata.contract, shapes, sizes)
    pieces = _Pieces(dataset, manifest)
    columns = [*(episode.state[key] for key in STATE_KEYS), episode.executed]
    write_piece(pieces.numbers, np.concatenate(columns, axis=1))
    for camera, pixels in episode.images.items():
        write_piece(pieces.histogram(camera), histograms(pixels))


def _common_cameras(manifests: Mapping[str, Manifest]) -> tuple[str, ...]:
    """Return the cameras that all episodes recorded, in the order of their names; refuse an episode with others."""
    recorded = {name: tuple(sorted(recorded_cameras(manifest))) for name, manifest in manifests.items()}
    first, cameras = next(iter(recorded.items()))
    for name, others in recorded.items():
        if others != cameras:
            ours, theirs = (", ".join(found) or "none" for found in (cameras, others))
            raise ContractMismatchError(
                f"a data set (first episode '{first}')",
                f"episode '{name}'",
                [f"recorded cameras: {ours} in '{first}', {theirs} in '{name}'; count them in folders of their own"],
            )
    return cameras


def _numbers(name: str, path: Path, width: int) -> NDArray[Any]:
    numbers = open_piece(path)
    if numbers.ndim != 2 or numbers.shape[1] != width:
        raise EpisodeError(
            f"episode '{name}': {path} holds {numbers.shape[-1]} numbers for each control period, {width} needed; "
            "remove this file to have it counted again"
        )
    return numbers


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
