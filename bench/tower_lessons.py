"""What VLM-RM's paper says of size and of rendering, on the twin tower: how far its reward is from true progress.

Towers with little data, with few channels and with all of both see about as many batches, and then the same
episodes in rooms of split `test`, and once more with a plain table and nothing standing about. Distance is EPIC (0: the
same up to scale and shaping, 1: opposite), the mean over tasks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children
from bench.twin_tower import FIRST_SEED, PLAYED, trials

if TYPE_CHECKING:
    from tutelage.runs.train_tower import TrainTowerConfig

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_tower_lessons"
SCENES = RUNS.parent / "bench_twin_tower" / "scenes"
"""Pictures to learn from; they take half an hour of two cores to draw, 5 GB, and are drawn once."""

TASKS = ("PickCube", "OpenDrawer", "CloseDoor", "PlaceInBowl", "ReorientBottle")
EPISODES, EPOCHS = 120, 3
ROOMS = {"drawn": (), "plain": (("table.pattern", "plain"), ("clutter.count", 0))}
"""What is not drawn of a room."""

WHOLE = "whole"
CELLS = {WHOLE: (1.0, 128), "a third of the data": (1 / 3, 128), "a tenth of the data": (0.1, 128), "small": (1.0, 16)}
"""Share of the episodes, and channels."""


def _figure(name: str, what: str) -> Figure:
    return Figure(f"tower_epic_{name}", 6, "EPIC distance", None, Direction.AT_MOST, True, what)


@measures(
    _figure("whole", "twin tower, all data, as many batches as the others, to true progress, rooms of split test"),
    _figure("tenth_of_data", "the same with a tenth of the episodes"),
    _figure("small", "the same with an eighth of the channels"),
    _figure("plain_rooms", "the first one in the same rooms with a plain table and nothing standing about"),
)
def lessons(_: Settings) -> Mapping[str, Measurement]:
    """Train the towers, two at once, and show all of them the same episodes."""
    names = list(CELLS)
    for start in range(0, len(names), 2):  # each holds all pictures in memory
        measure_in_children(trained, [(name,) for name in names[start : start + 2]], pin=True)
    rooms = dict(zip(ROOMS, measure_in_children(distances, [(name,) for name in ROOMS], pin=True), strict=True))
    episodes = sum(PLAYED.values()) * len(TASKS)
    seeds = range(FIRST_SEED, FIRST_SEED + sum(PLAYED.values()))

    def told(room: str, cell: str) -> Measurement:
        of_tasks = rooms[room][cell]
        extra = {"tasks": of_tasks, "all": {name: fmean(found.values()) for name, found in rooms[room].items()}}
        return Measurement(fmean(of_tasks.values()), episodes, seeds, extra=extra)

    return {
        "tower_epic_whole": told("drawn", WHOLE),
        "tower_epic_tenth_of_data": told("drawn", "a tenth of the data"),
        "tower_epic_small": told("drawn", "small"),
        "tower_epic_plain_rooms": told("plain", WHOLE),
    }


def trained(name: str) -> str:
    """Train a tower, or find it trained, and return its folder."""
    from tutelage.runs.train_tower import TOWER_FOLDER, train

    config = configuration(name)
    folder = config.output / TOWER_FOLDER
    return str(folder if folder.exists() else train(config))


def configuration(name: str) -> TrainTowerConfig:
    """Return the settings of one tower."""
    from reward_models.image_text.tower_network import TowerShape
    from reward_models.image_text.tower_training import TowerConfig
    from tutelage.runs.captioned_scenes import ScenesConfig
    from tutelage.runs.train_tower import TrainTowerConfig

    share, channels = CELLS[name]
    tower = TowerConfig(TowerShape(channels=channels, pixels=64), epochs=round(EPOCHS / share), share=share)
    return TrainTowerConfig(
        RUNS / name.replace(" ", "_"), SCENES, ScenesConfig(episodes=EPISODES), threads=1, tower=tower
    )


def distances(rooms: str) -> dict[str, dict[str, float]]:
    """Return each tower's EPIC distance to true progress in each task, in one kind of `ROOMS`."""
    import torch

    from reward_models.evaluation.table import rows_of
    from reward_models.image_text.twin_tower import TwinTower
    from reward_models.registry import TWIN_CAMERAS
    from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig

    torch.set_num_threads(1)
    towers = {name: VlmRm(TwinTower.load(Path(trained(name))), VlmRmConfig(cameras=TWIN_CAMERAS)) for name in CELLS}
    found: dict[str, dict[str, float]] = {name: {} for name in CELLS}
    for task in TASKS:
        played = list(trials(task, "test", ROOMS[rooms]))
        for name, tower in towers.items():
            (row,) = rows_of(tower, played)
            found[name][task] = row.values["epic_progress"]
            print(rooms, task, name, json.dumps(row.values["epic_progress"]), flush=True)
    return found
