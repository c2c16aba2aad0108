"""What can be chosen at the page: the robots, tasks, policies and reward models that are installed."""

from __future__ import annotations

from typing import Any

from policies.registry import checkpoint_names
from reward_models.registry import TOWER
from sim.tasks import TASKS, make_task
from tutelage_core.contract import robot_names
from tutelage_core.motion_phrases import STOP, WORDS


def choices() -> dict[str, Any]:
    """Return all of it, as JSON can hold it."""
    tasks = []
    for name in TASKS:
        task = make_task(name)
        tasks.append({"name": name, "failures": list(task.failures)})
    phrases = [f"{verb} {direction}" for verb, direction in WORDS.values()]
    return {
        "robots": list(robot_names()),
        "tasks": tasks,
        "policies": list(checkpoint_names()),
        "rewards": [TOWER],
        "phrases": [*phrases, STOP],
    }
