"""The tasks of the twin, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sim.tasks.pick_cube import PickCube
from sim.tasks.task import Task
from tutelage_core.errors import UnknownNameError

TASKS: Mapping[str, Callable[[], Task]] = {"PickCube": PickCube}


def make_task(name: str) -> Task:
    """Return a new task.

    Raises:
        UnknownNameError: no task has this name; the legal ones are listed.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]()
