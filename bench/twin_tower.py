"""What the shipped twin tower knows of rooms that it has never seen, and what a look costs.

Experts, hindered experts, experts that stop short of the goal and a wandering hand play every task in rooms of splits
`test` and `held_out`; the tower sees both cameras and the sentence that was asked.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children

if TYPE_CHECKING:
    from reward_models.evaluation.table import Row
    from reward_models.evaluation.trials import Trial

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_twin_tower"
"""Folder that keeps the pictures and the rows of the table."""

SPLITS = ("test", "held_out")
FIRST_SEED = 1_400_000
PLAYED = {"expert": 6, "hindered": 3, "stopped": 6, "wandering": 3}
"""Episodes of each kind, of each task and split."""

HELD_EPISODES = 20
"""Of each task in rooms of split `test`, for what is held."""

COST_CALLS, WARM_UP_CALLS = 60, 10


@measures(
    Figure(
        "tower_held_top1",
        6,
        "of moments",
        0.85,
        Direction.AT_LEAST,
        True,
        "twin tower, rooms of split test, moments with something in the gripper: of all sentences about what is held "
        "or that nothing is, the best one names the thing that is held",
    ),
)
def held(_: Settings) -> Mapping[str, Measurement]:
    """Draw moments of every task and ask what is held."""
    (found,) = measure_in_children(held_top1, [()], pin=False)
    from tutelage_core.intervals import wilson_interval

    count = round(found["held_moments"])
    interval = wilson_interval(round(found["held_top1"] * count), count)
    seeds = range(FIRST_SEED, FIRST_SEED + HELD_EPISODES)
    return {"tower_held_top1": Measurement(found["held_top1"], count, seeds, interval, found)}


def held_top1() -> dict[str, float]:
    """Return what `look` finds in rooms of split `test`."""
    from reward_models.image_text.twin_tower import TwinTower, shipped_tower
    from tutelage.runs.captioned_scenes import ScenesConfig, captioned_scenes
    from tutelage.runs.train_tower import look

    scenes = ScenesConfig(split="test", first_room=FIRST_SEED, episodes=HELD_EPISODES)
    return look(TwinTower.load(shipped_tower()), captioned_scenes(scenes, RUNS / "held", 1))


@measures(
    Figure(
        "tower_test_auroc", 6, "AUROC", 0.92, Direction.AT_LEAST, True, "success, rooms of split test, mean of tasks"
    ),
    Figure(
        "tower_test_auroc_worst", 6, "AUROC", 0.92, Direction.AT_LEAST, True, "the same, the task that it tells worst"
    ),
    Figure(
        "tower_held_out_auroc", 6, "AUROC", 0.85, Direction.AT_LEAST, True, "success, rooms held out, mean of tasks"
    ),
    Figure(
        "tower_voc_gap",
        6,
        "of rank correlation",
        0.4,
        Direction.AT_LEAST,
        True,
        "order correlation on successes less that on failures, rooms of split test, mean of tasks",
    ),
)
def outcomes(_: Settings) -> Mapping[str, Measurement]:
    """Play every task in both splits, a process for each split."""
    found = dict(zip(SPLITS, measure_in_children(rows_in, [(split,) for split in SPLITS], pin=True), strict=True))
    episodes, seeds = sum(PLAYED.values()), range(FIRST_SEED, FIRST_SEED + sum(PLAYED.values()))

    def over_tasks(split: str, metric: str) -> dict[str, float]:
        values = {row["kind"]: row["values"][metric] for row in found[split]}
        return {kind: value for kind, value in values.items() if value is not None}

    test, held_out, gaps = (over_tasks(*of) for of in (("test", "auroc"), ("held_out", "auroc"), ("test", "voc_gap")))
    return {
        "tower_test_auroc": Measurement(_mean(test), episodes * len(test), seeds, extra=test),
        "tower_test_auroc_worst": Measurement(min(test.values()), episodes, seeds, extra=test),
        "tower_held_out_auroc": Measurement(_mean(held_out), episodes * len(held_out), seeds, extra=held_out),
        "tower_voc_gap": Measurement(_mean(gaps), episodes * len(gaps), seeds, extra=gaps),
    }


def rows_in(split: str) -> list[dict[str, object]]:
    """Return the shipped tower's rows of the table in rooms of a split, one for each task, each made once."""
    import torch

    from reward_models.image_text.twin_tower import TwinTower, shipped_tower
    from reward_models.registry import load_reward_model
    from sim.tasks import TASKS

    torch.set_num_threads(1)
    loaded = load_reward_model("twin_tower")
    rows: list[dict[str, object]] = []
    folder = RUNS / split / TwinTower.load(shipped_tower()).digest[:12]
    folder.mkdir(parents=True, exist_ok=True)
    for task in TASKS:
        file = folder / f"{task}.json"
        if not file.exists():
            row = _row(loaded.model, list(trials(task, split)), loaded.threshold)
            file.write_text(json.dumps(row), encoding="utf-8")
        rows.append(json.loads(file.read_text(encoding="utf-8")))
        print(split, task, rows[-1]["values"], flush=True)
    return rows


def _row(model: object, played: list[Trial], threshold: float | None) -> dict[str, object]:
    from reward_models.evaluation.table import rows_of

    row: Row
    (row,) = rows_of(model, played, threshold=threshold)  # type: ignore[arg-type]
    values = {name: value if math.isfinite(value) else None for name, value in row.values.items()}
    return {"kind": row.kind, "successes": row.successes, "failures": row.failures, "values": values}


def trials(task: str, split: str, given: tuple[tuple[str, str | int], ...] = ()) -> Iterator[Trial]:
    """Play a task in rooms of a split, every moment kept; `given` are parameters of rooms that are not drawn."""
    import numpy as np

    from hardware.safety.gate import make_gate
    from reward_models.evaluation.trials import Trial
    from sim.rooms import Room
    from sim.twin import Twin
    from tutelage.attempt_drivers import Kind, driver_of
    from tutelage.loop import EpisodeOptions, run_episode
    from tutelage_core.contract import load_contract
    from tutelage_core.types import EpisodeStep

    contract = load_contract("twin")
    twin = Twin(contract, task, FIRST_SEED, rooms=split)
    kinds = [Kind(kind) for kind, count in PLAYED.items() for _ in range(count)]
    for seed, kind in enumerate(kinds, FIRST_SEED):
        steps: list[EpisodeStep] = []
        options = EpisodeOptions(seed, extra_steps=5)
        driver, room = driver_of(kind, twin, contract.safety), Room(split, seed, given)
        run_episode(twin, driver, make_gate(contract), contract, options, listener=steps.append, room=room)
        yield Trial(
            f"{task} {kind} {seed}",
            task,
            twin.instruction,
            tuple(step.observation for step in steps),
            np.array([float(step.status.success) for step in steps]),
            np.array([step.status.progress for step in steps]),
        )
    twin.close()


@measures(
    Figure(
        "tower_frame_ms",
        6,
        "ms",
        15.0,
        Direction.AT_MOST,
        False,
        "twin tower's processor time for one 128x128 picture on one core",
    ),
)
def cost(_: Settings) -> Mapping[str, Measurement]:
    """Time the tower, one picture at a time."""
    (spent,) = measure_in_children(frame_ms, [()], pin=True)
    return {"tower_frame_ms": Measurement(spent, COST_CALLS)}


def frame_ms() -> float:
    """Return the median processor time of one picture on one thread [ms]."""
    import numpy as np
    import torch

    from reward_models.image_text.twin_tower import TwinTower, shipped_tower

    torch.set_num_threads(1)
    tower = TwinTower.load(shipped_tower())
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    spent: list[float] = []
    for _ in range(COST_CALLS):
        begun = time.process_time()
        tower.embed_images([image])
        spent.append(1e3 * (time.process_time() - begun))
    return float(np.median(spent[WARM_UP_CALLS:]))


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)
