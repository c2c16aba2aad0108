"""The plug point of a task in the twin."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import mujoco
import numpy as np

from sim.rooms import Room
from sim.world import World
from tutelage_core.types import FloatArray, TaskStatus


@runtime_checkable
class Task(Protocol):
    """What is to be done, how to tell that it is done, and how an expert does it.

    A task adds its objects to the model once, lays them out at each reset, and watches once a control period.

    Attributes:
        name: as in the registry of `sim.tasks`.
        instructions: the same wish in several words; an episode draws one.
        step_limit: control periods after which an episode is over.
        failures: names of the failure kinds that `status` can give.
    """

    name: str
    instructions: tuple[str, ...]
    step_limit: int
    failures: tuple[str, ...]

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add the task's objects to a model before it is compiled."""
        ...

    def dress(self, model: mujoco.MjModel, room: Room) -> None:
        """Give the objects the looks and feel that the room has drawn. Called before the state is cleared."""
        ...

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay out the objects, in a state that has just been cleared."""
        ...

    def begin(self, world: World) -> None:
        """Note where things stand, once they rest: an episode starts now."""
        ...

    def watch(self, world: World) -> None:
        """Look at the world; called once a control period."""
        ...

    def status(self) -> TaskStatus:
        """Return the ground truth as of the last look."""
        ...

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Return what an expert does in this state: a TCP step, shape (7,) [m, rad, 0..1].

        It is a function of the world's state alone, so it can label any state.
        """
        ...
