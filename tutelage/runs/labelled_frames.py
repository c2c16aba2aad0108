"""Pictures of random rooms with true places, made in parallel processes into a folder of shards; resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tqdm import tqdm

from sim.rooms import Room
from sim.tasks import TASKS
from sim.trunk_data import AT_REST, MomentSettings, frames_of_room
from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.labelled_frames import LabelledFrames, joined, read_shards, shard_path, write_shard

SHARD_MOMENTS = 960
"""Moments of a shard, about; some 90 MB with two cameras of 128x128 px."""

_SETTINGS = "frames.json"


@dataclass(frozen=True)
class FramesConfig:
    """Which pictures.

    Attributes:
        robot: robot's contract.
        tasks: tasks whose objects lie about, each in all rooms.
        split: split of the rooms.
        first_room: number of the first room; the others follow.
        rooms: rooms of each task.
        rooms_of: rooms of the tasks that get another number of them, by the task's name.
        moments_per_room: random moments in each room.
        exact_cameras: share of the rooms in which the cameras stand exactly where they should (0..1); the others have
            mounting errors.
        at_rest: leave the objects as the task lays them, with the arm anywhere.
    """

    robot: str = "twin"
    tasks: tuple[str, ...] = ("PickCube",)
    split: str = "train"
    first_room: int = 0
    rooms: int = 3000
    rooms_of: Mapping[str, int] = field(default_factory=dict[str, int])
    moments_per_room: int = 12
    exact_cameras: float = 0.5
    at_rest: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for task in self.tasks:
            if task not in TASKS:
                raise UnknownNameError("task", task, TASKS, "FramesConfig")
        if not self.tasks or self.rooms < 1 or self.moments_per_room < 1 or self.first_room < 0:
            raise ConfigurationError(
                f"FramesConfig: needs a task, at least 1 room and moment, and first_room not negative, got "
                f"{self.tasks}, {self.rooms}, {self.moments_per_room}, {self.first_room}"
            )
        for task, count in self.rooms_of.items():
            if task not in self.tasks or count < 1:
                raise ConfigurationError(
                    f"FramesConfig: rooms_of needs at least 1 room, of tasks among {self.tasks}, got {task}: {count}"
                )
        if not 0.0 <= self.exact_cameras <= 1.0:
            raise ConfigurationError(f"FramesConfig: exact_cameras must be in 0..1, got {self.exact_cameras}")

    @property
    def rooms_per_shard(self) -> int:
        """Rooms in one file."""
        return max(1, SHARD_MOMENTS // self.moments_per_room)

    def rooms_for(self, task: str) -> int:
        """Return how many rooms `task` gets."""
        return self.rooms_of.get(task, self.rooms)


def labelled_frames(config: FramesConfig, folder: Path, processes: int) -> LabelledFrames:
    """Return the pictures, drawing those that `folder` does not hold yet.

    Raises:
        ConfigurationError: the folder holds pictures of other settings, or a damaged shard.
        UnknownNameError: robot or task is unknown.
    """
    load_contract(config.robot)
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(asdict(config), indent=1)
    noted = folder / _SETTINGS
    if noted.is_file() and noted.read_text(encoding="utf-8") != settings:
        raise ConfigurationError(f"{noted} names other settings than are asked for; choose another folder")
    noted.write_text(settings, encoding="utf-8")
    paths = {
        (task, number): shard_path(folder / task, number)
        for task in config.tasks
        for number in range(-(-config.rooms_for(task) // config.rooms_per_shard))
    }
    for task in config.tasks:
        (folder / task).mkdir(exist_ok=True)
    jobs = [(config, folder, task, number) for (task, number), path in paths.items() if not path.exists()]
    if jobs:
        context = multiprocessing.get_context("spawn")
        bar = tqdm(total=len(paths), initial=len(paths) - len(jobs), desc="pictures", unit="shard", disable=None)
        with bar, context.Pool(min(processes, len(jobs)), initializer=_one_thread) as pool:
            for _ in pool.imap_unordered(_draw_shard, jobs):
                bar.update()
    return read_shards(list(paths.values()))


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"


_TWINS: dict[tuple[str, str], Twin] = {}


def _draw_shard(job: tuple[FramesConfig, Path, str, int]) -> None:
    config, folder, task, number = job
    key = (config.robot, task)
    if key not in _TWINS:
        _TWINS[key] = Twin(load_contract(config.robot), task)
    first = config.first_room + number * config.rooms_per_shard
    settings = AT_REST if config.at_rest else MomentSettings()
    parts: list[LabelledFrames] = []
    for room in range(first, min(first + config.rooms_per_shard, config.first_room + config.rooms_for(task))):
        # evenly mixed, and the same for the same room whatever else is drawn
        exact = int((room + 1) * config.exact_cameras) > int(room * config.exact_cameras)
        where = Room(config.split, room, exact_cameras=exact)
        parts.append(frames_of_room(_TWINS[key], where, room, config.moments_per_room, settings))
    write_shard(shard_path(folder / task, number), joined(parts))
