"""Policies that learn from the twin tower's reward alone: nobody tells them the ground truth.

HIL-SERL as in `hil_serl_learning`, with demonstrations and a scripted person; success, and the potential that shapes
the way to it, come from VLM-RM on the shipped twin tower and four sentences of the goal. The person is as fast as the
expert. Ground truth is looked at for evaluation only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import hil_serl_learning as learning
from bench.figures import Direction, Figure, Measurement, Settings, measures
from bench.machine import measure_in_children, usable_cores

if TYPE_CHECKING:
    from tutelage.runs.train_hil_serl import TrainHilSerlConfig

RUNS = Path(__file__).resolve().parent.parent / "runs" / "bench_vlm_rm_learning"
MINUTES = 30.0
TASKS = {"close_drawer": "CloseDrawer", "pick_cube": "PickCube", "close_door": "CloseDoor"}
BOUND = 80.0
GOALS = {
    "CloseDrawer": (
        "close the drawer",
        "push the drawer shut",
        "slide the open drawer back in",
        "the drawer is closed all the way",
    ),
    "CloseDoor": (
        "close the cabinet door",
        "push the cabinet door shut",
        "swing the open door shut",
        "the cabinet door is closed all the way",
    ),
    "PickCube": (
        "the red cube is held up in the air",
        "lift the red cube",
        "raise the red cube off the table",
        "the hand holds the red block above the table",
    ),
}
"""Sentences of the goal, whatever words an episode was asked with: a threshold belongs to sentences."""

THRESHOLDS = {"CloseDrawer": 0.70, "CloseDoor": 0.70, "PickCube": 0.65}
VOTES, OF = 5, 7
"""When it is done. Chosen on the tasks' demonstrations and on attempts that were made to fail.

CloseDrawer: 16 of 23 successes were seen, and 3 of 13 failures taken for one, with the drawer nearly shut. PickCube:
28 of 31, none of them too early, and 1 of 13. CloseDoor has CloseDrawer's.
"""


def _register(name: str, task: str) -> None:
    @measures(
        Figure(
            f"vlm_rm_{name}_successes",
            6,
            f"% of {len(learning.SEEDS)} x {learning.EPISODES} episodes",
            BOUND if task == "CloseDrawer" else None,
            Direction.AT_LEAST,
            True,
            f"HIL-SERL on {task} with the reward of VLM-RM on the twin tower alone, {MINUTES:g} min of one core",
        ),
    )
    def _(_: Settings) -> Mapping[str, Measurement]:
        return {f"vlm_rm_{name}_successes": measured(task)}


for _name, _task in TASKS.items():
    _register(_name, _task)


def measured(task: str) -> Measurement:
    """Train and evaluate the runs of a task, as many at once as there are cores, and draw their curves."""
    from tutelage.learning.curves import draw_curves

    demonstrations(task)
    cores, found = len(usable_cores()), list[dict[str, Any]]()
    for start in range(0, len(learning.SEEDS), cores):
        part = [(task, seed) for seed in learning.SEEDS[start : start + cores]]
        found += measure_in_children(learn, part, pin=True)
    logs = [configuration(task, seed).output / "log.jsonl" for seed in learning.SEEDS]
    draw_curves({task: logs}, RUNS / f"{task}.png", control_rate_hz=learning.CONTROL_RATE_HZ)
    return learning.success_rate(found)


def learn(task: str, seed: int) -> dict[str, Any]:
    """Train one run, or go on with it, evaluate it, and return what is known of it."""
    return learning.trained(configuration(task, seed))


def demonstrations(task: str) -> None:
    """Record the demonstrations that are missing."""
    from tutelage.runs.collect import CollectConfig, collect

    count = learning.DEMONSTRATIONS
    folder = RUNS / "demonstrations" / task
    collect(CollectConfig(folder, task=task, episodes=count, extra_steps=learning.KEPT, processes=1))


def reward_file(task: str) -> Path:
    """Write the settings of a task's reward, and return the file."""
    file = RUNS / f"{task}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    reward = {"cameras": ["front", "wrist"], "goals": list(GOALS[task])}
    file.write_text(
        json.dumps({"model": "twin_tower", "threshold": THRESHOLDS[task], "reward": reward}), encoding="utf-8"
    )
    return file


def configuration(task: str, seed: int) -> TrainHilSerlConfig:
    """Return the settings of one run."""
    from reward_models.serving.success_vote import VoteSettings
    from tutelage.learning.judge import RewardChoice
    from tutelage.learning.settings import coach
    from tutelage.runs.train_hil_serl import TrainHilSerlConfig

    person = coach()
    return TrainHilSerlConfig(
        RUNS / task / f"seed-{seed}",
        RUNS / "demonstrations" / task,
        task=task,
        reward=RewardChoice(f"vlm_rm:{reward_file(task)}", votes=VoteSettings(VOTES, OF)),
        person=replace(person, correction=replace(person.correction, gain=1.0)),
        seed=seed,
        steps=1_000_000,
        minutes=MINUTES,
        actors=0,
        evaluation_episodes=learning.EPISODES,
    )
