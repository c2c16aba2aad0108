"""The tasks of the twin, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from tutelage_core.errors import UnknownNameError

if TYPE_CHECKING:
    from sim.tasks.task import Task

TASKS: Mapping[str, str] = {
    "PickCube": "sim.tasks.pick_cube:PickCube",
    "PlaceInBowl": "sim.tasks.place_in_bowl:PlaceInBowl",
    "TakeFromBowl": "sim.tasks.place_in_bowl:TakeFromBowl",
    "StackCubes": "sim.tasks.stack_cubes:StackCubes",
    "UnstackCubes": "sim.tasks.stack_cubes:UnstackCubes",
    "PegInsertion": "sim.tasks.peg_insertion:PegInsertion",
    "PegExtraction": "sim.tasks.peg_insertion:PegExtraction",
    "OpenDrawer": "sim.tasks.drawer:OpenDrawer",
    "CloseDrawer": "sim.tasks.drawer:CloseDrawer",
    "OpenDoor": "sim.tasks.door:OpenDoor",
    "CloseDoor": "sim.tasks.door:CloseDoor",
    "ReorientBottle": "sim.tasks.reorient_bottle:ReorientBottle",
    "LayBottle": "sim.tasks.reorient_bottle:LayBottle",
    "PickNapkin": "sim.tasks.pick_napkin:PickNapkin",
    "PickBag": "sim.tasks.pick_bag:PickBag",
    "SweepToTarget": "sim.tasks.sweep_to_target:SweepToTarget",
    "CoverWithCloth": "sim.tasks.cover_with_cloth:CoverWithCloth",
    "PutLid": "sim.tasks.pot_lid:PutLid",
    "TakeLid": "sim.tasks.pot_lid:TakeLid",
    "PushButton": "sim.tasks.push_button:PushButton",
}
"""Name to class, imported when asked for."""


def make_task(name: str) -> Task:
    """Return a new task.

    Raises:
        UnknownNameError: no task has this name; the legal ones are listed.
    """
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    module, _, attribute = TASKS[name].partition(":")
    return cast("Task", getattr(importlib.import_module(module), attribute)())
