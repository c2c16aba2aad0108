"""The plug point of a task in the twin, and what all tasks have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import mujoco
import numpy as np

from sim.clutter import Rectangle
from sim.rooms import Room
from sim.world import World
from tutelage_core.types import FloatArray, TaskStatus

WORKPLACE = Rectangle(0.26, 0.74, -0.27, 0.27)
"""Where the arm works and nothing may stand about."""


@runtime_checkable
class Task(Protocol):
    """What is to be done, how to tell that it is done, and how an expert does it.

    A task adds its objects to a room's model, lays them out at each reset, and watches once a control period.

    Attributes:
        name: as in the registry of `sim.tasks`.
        scene: tasks with the same objects share it; one can follow the other without a reset.
        inverse: name of the task that undoes this one, empty if none does.
        instructions: the same wish in several words, with places for `words`; an episode draws one.
        step_limit: control periods after which an episode is over.
        failures: names of the failure kinds that `status` can give.
        styles: parts that a room has for this task, in the manner of `sim.parameters`.
        keep_clear: where the room may not place its clutter.
    """

    name: str
    scene: str
    inverse: str
    instructions: tuple[str, ...]
    step_limit: int
    failures: tuple[str, ...]
    styles: tuple[type, ...]
    keep_clear: Sequence[Rectangle]

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the task's objects, in the room's style, to a model before it is compiled.

        Raises:
            ConfigurationError: this room leaves no layout that the arm can reach.
        """
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

    def words(self, world: World) -> dict[str, str]:
        """Return what stands for the places in the instructions, such as colours."""
        ...

    def captions(self, world: World) -> tuple[str, ...]:
        """Return sentences that are true of the scene now, for models of images and text."""
        ...

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the task's things are, by name, each shape (3,), in the base frame [m]."""
        ...

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Return what an expert does in this state: a TCP step, shape (7,) [m, rad, 0..1].

        It is a function of the world's state alone, so it can label any state.
        """
        ...


class WatchedTask(ABC):
    """The half of a task that is alike in all: success must last, progress ends at 1, and failures have names.

    A task derives from it and gives `done`, `progress` and, where it has failures of its own, `failure`.
    """

    inverse = ""
    step_limit = 100
    failures: tuple[str, ...] = ("timeout",)
    styles: tuple[type, ...] = ()
    keep_clear: Sequence[Rectangle] = (WORKPLACE,)
    hold_periods = 3
    """Control periods for which the goal must be kept."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._looks = self._kept = 0
        self._status = TaskStatus(False, 0.0)

    def begin(self, world: World) -> None:
        """Start an episode."""
        self._looks = self._kept = 0
        self.note(world)
        self._judge(world)

    def watch(self, world: World) -> None:
        """Look at the world; called once a control period."""
        self._looks += 1
        self.look(world)
        self._kept = self._kept + 1 if self.done(world) else 0
        self._judge(world)

    def status(self) -> TaskStatus:
        """Return the ground truth as of the last look."""
        return self._status

    def words(self, world: World) -> dict[str, str]:
        """Return nothing: these instructions have no places."""
        del world
        return {}

    def note(self, world: World) -> None:  # noqa: B027  most tasks have something, none must
        """Remember what later looks are compared with."""

    def look(self, world: World) -> None:  # noqa: B027
        """Follow what happens from one control period to the next."""

    @abstractmethod
    def done(self, world: World) -> bool:
        """Tell whether the goal is reached now."""

    @abstractmethod
    def progress(self, world: World) -> float:
        """Return how far the task has come, 0..1."""

    def failure(self, world: World) -> str:
        """Return the kind of failure that can be seen now, empty if none."""
        del world
        return ""

    def _judge(self, world: World) -> None:
        if self._kept >= self.hold_periods:
            self._status = TaskStatus(True, 1.0)
            return
        kind = self.failure(world) or ("timeout" if self._looks >= self.step_limit else "")
        self._status = TaskStatus(False, min(max(self.progress(world), 0.0), 0.99), kind)
