"""A twin whose world is served behind a Franka robot's protocol: this one follows it, for cameras and ground truth."""

from __future__ import annotations

from collections.abc import Callable

import mujoco

from sim.franka_process import STATE, ServedWorld, ServedWorldSettings
from sim.tasks import make_task
from sim.twin import Twin
from tutelage_core.contract import RobotContract
from tutelage_core.errors import ArmError, ConfigurationError
from tutelage_core.types import ArmCommand, TaskStatus

TICK_NS = 1_000_000
"""Period of the robot's controller [ns]."""

PATIENCE_S = 5.0
"""Time in the robot stretches on a busy machine, instead of its motion breaking off [s]."""


class ServedTwin(Twin):
    """Looks like a twin; its arm is moved by whoever is connected to the served robot."""

    def __init__(
        self,
        contract: RobotContract,
        task: str = "PickCube",
        seed: int = 0,
        rooms: str = "lab",
        serve: Callable[[ServedWorldSettings], ServedWorld] = ServedWorld,
    ) -> None:
        """Serve the world at the address that the contract gives its arm, and follow it.

        Args:
            contract: the robot, with the option `host` of its arm.
            task: name of the task.
            seed: of the first scene.
            rooms: split that rooms are drawn from.
            serve: makes the served world.

        Raises:
            ConfigurationError: the world cannot be served there: the address is taken, or a package is missing.
        """
        host = str(contract.arm.options.get("host", ""))
        self._served: ServedWorld | None = None
        super().__init__(contract, task, seed, rooms=rooms)
        settings = ServedWorldSettings(contract.name, task, seed, rooms, (host,) if host else (), PATIENCE_S)
        self._served = serve(settings)
        self._follow()

    @property
    def time_ns(self) -> int:
        """Time on the robot's clock [ns]; no reset sets it back."""
        return self._ticks * TICK_NS

    @property
    def host(self) -> str:
        """Address that the robot is served at."""
        assert self._served is not None
        return self._served.host

    def set_scene(self, task: str, seed: int) -> None:
        """Lay out an episode around the arm, which stays where it is.

        Raises:
            UnknownNameError: no task has this name.
            ConfigurationError: the room leaves the task no layout, or the served world is gone.
        """
        assert self._served is not None
        if task != self.task.name:
            self.task = make_task(task)
            self._world = None  # a scene of its own
        super().reset(seed)
        try:
            self._served.set_scene(task, seed)
        except ArmError as error:
            raise ConfigurationError(str(error)) from error
        self._follow()

    def advance(self, target: ArmCommand | None, period_ns: int | None = None) -> None:
        """Look at the served world; its time passes by itself, and its arm takes no targets from here."""
        del target, period_ns
        self._follow()

    def task_status(self) -> TaskStatus:
        """Return the ground truth of the served world."""
        return self._status

    def close(self) -> None:
        """End the served world and free the renderer. May be called twice."""
        if self._served is not None:
            self._served.close()
        super().close()

    def _follow(self) -> None:
        assert self._served is not None
        view = self._served.view()
        world = self.world
        mujoco.mj_setState(world.model, world.data, view.state, STATE)
        world.measure()
        self._ticks, self._status = view.ticks, view.status
