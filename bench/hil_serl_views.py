"""What stored views cost against shifting pixels at each update: imitation of few demonstrations, held-out error.

A stored replay holds k maps of each picture, of which k - 1 are of shifted pixels. Shifting afresh needs the trunk at
each update, a hundred times the work. The same head learns from the same demonstrations in both ways; its error on
demonstrations that it has not seen tells how much of the augmentation's worth k views keep.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores

if TYPE_CHECKING:
    from policies.hil_serl.batch import Batch

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_hil_serl_views"
TASK = "PickCube"
SHOWN, HELD_OUT, HELD_OUT_FROM = 20, 60, 2_000
VIEWS = (1, 2, 4, 8)
FRESH = 0
"""Stands for pixels that are shifted at each update."""
SEEDS = (0, 1, 2)
UPDATES, BATCH = 1_500, 64
DEFAULT = 4


@measures(
    Figure(
        "hil_serl_views_error_ratio",
        5,
        "x",
        1.1,
        Direction.AT_MOST,
        True,
        f"held-out error of imitation with {DEFAULT} stored views, over that with pixels shifted afresh",
    )
)
def views(_: Settings) -> Mapping[str, Measurement]:
    """Learn with each number of views and with fresh shifts, and compare the errors."""
    from tutelage.runs.collect import CollectConfig, collect

    collect(CollectConfig(output=RUNS / "shown", task=TASK, episodes=SHOWN))
    collect(
        CollectConfig(output=RUNS / "held_out", task=TASK, episodes=HELD_OUT, first_seed=HELD_OUT_FROM, disturbance=0.0)
    )
    cores = len(usable_cores())
    jobs = [(count, seed) for count in (FRESH, *VIEWS) for seed in SEEDS]
    found: dict[int, list[dict[str, float]]] = {}
    for start in range(0, len(jobs), cores):
        together = jobs[start : start + cores]
        for (count, _seed), result in zip(together, measure_in_children(error_of, together, pin=True), strict=True):
            found.setdefault(count, []).append(result)
    means = {count: statistics.fmean(run["error"] for run in runs) for count, runs in found.items()}
    extra = {
        "fresh" if count == FRESH else f"views_{count}": {
            "error": means[count],
            "errors_of_seeds": [run["error"] for run in runs],
            "update_ms": statistics.fmean(run["update_ms"] for run in runs),
        }
        for count, runs in found.items()
    }
    value = means[DEFAULT] / means[FRESH]
    return {"hil_serl_views_error_ratio": Measurement(value, HELD_OUT, extra={**extra, "seeds_of_runs": list(SEEDS)})}


def error_of(count: int, seed: int) -> dict[str, float]:
    """Return the held-out mean squared error of the action with `count` views, and what an update took [ms]."""
    import time

    import numpy as np
    import torch

    from policies.hil_serl.imitation import ImitationLearner, imitation_losses
    from policies.hil_serl.presets import preset

    torch.set_num_threads(1)
    networks, shown = _data(RUNS / "shown", max(count, 1), pixels=count == FRESH)
    _, held_out = _data(RUNS / "held_out", 1, pixels=False)
    config = _seeded(preset("hg_dagger"), seed)
    learner = ImitationLearner(config, networks.shape)
    rng = np.random.default_rng(seed)
    begun = time.perf_counter()
    for _ in range(UPDATES):
        learner.update([shown(rng.integers(0, shown.length, BATCH), rng)])
    spent_ms = (time.perf_counter() - begun) * 1e3 / UPDATES
    with torch.inference_mode():
        error, _ = imitation_losses(learner.networks, held_out(np.arange(held_out.length), rng))
    return {"error": float(error), "update_ms": spent_ms}


class _Frames:
    """Frames and actions of demonstrations; calling it gives a batch."""

    def __init__(self, arrays: dict[str, Any], draw: Callable[[Any, Any], dict[str, Any]]) -> None:
        self._arrays, self._draw = arrays, draw
        self.length = len(arrays["action"])

    def __call__(self, rows: Any, rng: Any) -> Batch:
        import numpy as np

        from policies.hil_serl.batch import Batch

        maps = self._draw(rows, rng)
        state = self._arrays["state"][rows]
        nothing = np.zeros(len(rows), np.float32)
        return Batch.from_arrays(
            images=maps,
            next_images=maps,
            state=state,
            next_state=state,
            action=self._arrays["action"][rows],
            gripper=self._arrays["gripper"][rows],
            reward=nothing,
            grasp_penalty=nothing,
            mask=nothing,
        )


def _data(folder: Path, views: int, *, pixels: bool) -> tuple[Any, _Frames]:
    """Return the networks' shape, and the frames of a folder: maps of so many views, or pixels shifted when drawn."""
    import numpy as np
    import torch

    from policies.hil_serl.augmentation import random_shift
    from policies.hil_serl.stored_views import StoredViews, ViewsConfig
    from tutelage.learning.demonstrations import DemonstrationReader
    from tutelage.learning.twin_actor import ActorSettings, actor_policy
    from tutelage_core.contract import load_contract
    from tutelage_core.episodes.store import EpisodeStore

    contract = load_contract("twin")
    policy = actor_policy(ActorSettings(task=TASK), contract)
    config = ViewsConfig(views)
    reader = DemonstrationReader(policy, StoredViews(policy, config, 0), contract, None)
    shown = list(reader.read(folder))
    steps = [step for demonstration in shown for step in demonstration.steps]
    arrays = {
        "state": np.stack([step.observation.state for step in steps]),
        "action": np.stack([step.action for step in steps]),
        "gripper": np.array([int(step.gripper) for step in steps]),
    }
    maps = {c: np.stack([step.observation.maps[c] for step in steps]) for c in policy.spec.cameras}
    if not pixels:
        return policy.networks, _Frames(
            arrays, lambda rows, rng: {c: m[rows, rng.integers(0, views, len(rows))] for c, m in maps.items()}
        )
    store = EpisodeStore(folder)
    images = {
        c: np.concatenate([store.read(d.name, (c,)).images[c][: len(d.steps)] for d in shown])
        for c in policy.spec.cameras
    }
    generator = torch.Generator().manual_seed(0)

    def fresh(rows: Any, rng: Any) -> dict[str, Any]:
        generator.manual_seed(int(rng.integers(2**31)))
        return {
            c: policy.maps_of(random_shift(torch.from_numpy(p[rows]), config.shift_px, generator).numpy()).numpy()
            for c, p in images.items()
        }

    return policy.networks, _Frames(arrays, fresh)


def _seeded(config: Any, seed: int) -> Any:
    from dataclasses import replace

    return replace(config, learner=replace(config.learner, seed=seed, batch_size=BATCH))
