"""How far the success classifier can be trusted: fresh episodes against ground truth, and what a call costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children

if TYPE_CHECKING:
    from tutelage.runs.train_success_classifier import TrainedSuccessClassifier

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_success_classifier"
"""Folder that keeps episodes and classifiers."""

ROOM = 7
"""Room of split `lab` in which everything happens, as in a robot's own cell."""

DEMONSTRATIONS = 20
STOPPED, WANDERING = 14, 6
"""Attempts that mostly fail, to learn from."""

DEMONSTRATIONS_FROM, ATTEMPTS_FROM, EVALUATION_FROM = 300_000, 310_000, 1_300_000
"""First seeds. What is learnt from and what is measured have none in common."""

MANY_ROOMS = 5
"""Beside the figure, each episode in a room of its own, and so many times the episodes to learn from."""

KEPT = 10
"""Control periods for which demonstrations go on after success."""

WATCHED = 15
"""Control periods for which the episodes of the evaluation go on after success."""

CALLS, WARM_UP_CALLS = 200, 20

TASKS = {"pick_cube": "PickCube", "peg_insertion": "PegInsertion"}


@measures(
    *(
        Figure(
            f"success_classifier_{name}_precision",
            5,
            "of detections",
            None,
            Direction.AT_LEAST,
            True,
            f"share of the success classifier's detections that are right, {task}: 100 fresh episodes in one room, "
            f"learnt from {DEMONSTRATIONS} demonstrations and {STOPPED + WANDERING} attempts that mostly fail",
        )
        for name, task in TASKS.items()
    )
)
def precision(settings: Settings) -> Mapping[str, Measurement]:
    """Train and evaluate on each task, one after the other, on one core."""
    found: dict[str, Measurement] = {}
    for name, task in TASKS.items():
        (line,) = measure_in_children(judge, [(task, settings.policy)], pin=False)
        found[f"success_classifier_{name}_precision"] = line
    return found


@measures(
    Figure(
        "success_classifier_ms",
        5,
        "ms",
        None,
        Direction.UNDER,
        False,
        "one call of the success classifier from the pixels of two 128x128 images, one thread, median wall time",
    )
)
def cost(_: Settings) -> Mapping[str, Measurement]:
    """Time it in a process of its own."""
    (found,) = measure_in_children(call_ms, [()], pin=True)
    return {"success_classifier_ms": found}


def judge(task: str, policy: str) -> Measurement:
    """Return what a classifier of `task` reaches in one room, and beside it in many."""
    import torch

    torch.set_num_threads(1)
    one, many = train_and_evaluate(task, policy, ROOM, 1), train_and_evaluate(task, policy, None, MANY_ROOMS)
    figures = one.evaluation
    assert figures is not None
    nan = float("nan")
    return Measurement(
        nan if figures.precision is None else figures.precision,
        figures.episodes,
        range(EVALUATION_FROM, EVALUATION_FROM + figures.episodes),
        figures.precision_interval,
        {**told(one), **{f"many_rooms_{key}": value for key, value in told(many).items()}},
    )


def told(trained: TrainedSuccessClassifier) -> dict[str, object]:
    """Return the figures that stand beside the precision."""
    figures = trained.evaluation
    assert figures is not None
    return {
        "detections": figures.fired,
        "right": figures.right,
        "precision": figures.precision,
        "precision_interval": figures.precision_interval,
        "successes": figures.successes,
        "detection_rate": figures.detection_rate,
        "detection_interval": figures.detection_interval,
        "delay_median_s": figures.delay_median_s,
        "delay_longest_s": figures.delay_longest_s,
        "false_positives": figures.false_positives,
        "hours_without_success": figures.hours_without_success,
        "false_positives_per_hour": figures.false_positives_per_hour,
        "false_positives_interval": figures.false_positives_interval,
        "frame_precision": figures.frame_precision,
        "frame_recall": figures.frame_recall,
        "wrong": [f"{firing.episode} at {firing.period}" for firing in figures.wrong],
        "held_out": trained.calibration.figures.summary(),
        "threshold": trained.calibration.rule.high,
    }


def train_and_evaluate(task: str, policy: str, room: int | None, times: int) -> TrainedSuccessClassifier:
    """Record what is missing, train anew, and measure.

    Args:
        task: the task.
        policy: drives some of the episodes of the evaluation, where it knows the task.
        room: number of the room of split `lab`; one for each episode if None.
        times: how many times the usual number of episodes are learnt from.
    """
    import shutil

    from policies.registry import find_checkpoint, load_policy
    from reward_models.success_classifier.config import LabellingConfig, SuccessClassifierConfig
    from sim.rooms import Room
    from tutelage.attempt_drivers import Kind
    from tutelage.runs.attempts import record_attempts
    from tutelage.runs.train_success_classifier import TrainSuccessClassifierConfig, train_success_classifier
    from tutelage_core.contract import NS_PER_S, load_contract

    folder = folder_of(task, room)
    where = None if room is None else Room("lab", room)
    other = Kind.POLICY if task in load_policy(find_checkpoint(policy)).spec.tasks else Kind.HINDERED
    for name, first_seed, kept, plan in (
        ("demonstrations", DEMONSTRATIONS_FROM, KEPT, {Kind.EXPERT: DEMONSTRATIONS * times}),
        ("attempts", ATTEMPTS_FROM, KEPT, {Kind.STOPPED: STOPPED * times, Kind.WANDERING: WANDERING * times}),
        (
            "evaluation",
            EVALUATION_FROM,
            WATCHED,
            {Kind.EXPERT: 40, Kind.STOPPED: 25, Kind.WANDERING: 15, other: 20},
        ),
    ):
        record_attempts(folder / name, task, plan, first_seed, extra_steps=kept, room=where, policy=policy)
    shutil.rmtree(folder / "run", ignore_errors=True)
    kept_s = KEPT * load_contract("twin").period_ns / NS_PER_S
    return train_success_classifier(
        TrainSuccessClassifierConfig(
            (folder / "demonstrations", folder / "attempts"),
            folder / "run",
            (folder / "evaluation",),
            threads=1,
            classifier=SuccessClassifierConfig(LabellingConfig(positive_s=kept_s)),
        )
    )


def folder_of(task: str, room: int | None) -> Path:
    """Return the folder of episodes and classifier."""
    return RUNS / task / ("rooms" if room is None else f"room_{room}")


def classifier_folder(task: str, room: int | None) -> Path:
    """Return where the classifier stands once it is trained."""
    from tutelage.runs.train_success_classifier import CLASSIFIER_FOLDER

    return folder_of(task, room) / "run" / CLASSIFIER_FOLDER


def call_ms() -> Measurement:
    """Time a classifier with the usual number of networks, random ones, on two images."""
    import time

    import numpy as np
    import torch

    from reward_models.success_classifier.classifier import SuccessClassifier, SuccessSpec, trunk_digest
    from reward_models.success_classifier.config import ModelConfig, TrainingConfig
    from reward_models.success_classifier.detector import DetectionRule
    from reward_models.success_classifier.model import SuccessEnsemble, SuccessNetwork, frozen_trunk, map_shape
    from tutelage_core.contract import CameraNeed

    torch.set_num_threads(1)
    torch.manual_seed(0)
    cameras = {name: CameraNeed(128, 128) for name in ("front", "wrist")}
    model, members = ModelConfig(), TrainingConfig().folds
    trunk = frozen_trunk(model, cameras)
    shape = map_shape(model, cameras, trunk)
    spec = SuccessSpec(("any",), cameras, 10.0, model, trunk_digest(trunk), members, DetectionRule(0.9, 0.8))
    ensemble = SuccessEnsemble(SuccessNetwork(model, shape) for _ in range(members))
    classifier = SuccessClassifier(spec, ensemble.state_dict())
    rng = np.random.default_rng(0)
    images = {name: rng.integers(0, 256, (128, 128, 3), np.uint8) for name in cameras}
    maps = {name: torch.zeros(1, *shape[1:], dtype=torch.float16) for name in cameras}

    def wall_ms(from_maps: bool) -> list[float]:
        measured: list[float] = []
        for _ in range(WARM_UP_CALLS + CALLS):
            begun = time.perf_counter()
            if from_maps:
                classifier.probabilities_of_maps(maps)
            else:
                classifier.probability(images)
            measured.append((time.perf_counter() - begun) * 1e3)
        return measured[WARM_UP_CALLS:]

    pixels, heads = wall_ms(False), wall_ms(True)
    extra = {
        "p99_ms": float(np.percentile(pixels, 99)),
        "least_ms": min(pixels),
        "from_maps_ms": float(np.median(heads)),
        "networks": members,
        "calls": CALLS,
    }
    return Measurement(float(np.median(pixels)), extra=extra)
