"""A served twin in a process of its own, as a robot is a machine of its own: its owner talks to it through a pipe."""

from __future__ import annotations

import logging
import multiprocessing
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

import mujoco
import numpy as np
import tyro

from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_core.errors import ArmError, ConfigurationError
from tutelage_core.types import FloatArray, TaskStatus

if TYPE_CHECKING:
    from sim.franka_server import WorldServer

START_TIMEOUT_S = 120.0
"""Building a world takes seconds; on a busy machine longer [s]."""

REPLY_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class WorldReport:
    """What the served world knows about itself.

    Attributes:
        ticks: milliseconds that have passed in the robot.
        tcp_position: where the TCP truly is, shape (3,), base frame [m].
        wrench: force and torque that the arm exerts on what it touches, shape (6,), base frame [N, Nm].
        errors: numbers of the robot's errors.
        in_motion: whether a client controls the arm.
    """

    ticks: int
    tcp_position: FloatArray
    wrench: FloatArray
    errors: tuple[int, ...]
    in_motion: bool


STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
"""What another process needs of a world to show it, in MuJoCo's words."""


@dataclass(frozen=True)
class WorldView:
    """What one needs to see the served world, and how its task goes.

    Attributes:
        ticks: milliseconds that have passed in the robot.
        state: MuJoCo's state `STATE` of the world, shape (n,).
        status: ground truth of the task.
    """

    ticks: int
    state: FloatArray
    status: TaskStatus


@dataclass(frozen=True)
class ServedWorldSettings:
    """Which world is served, and how.

    Attributes:
        robot: name of the twin's contract.
        task: name of the task.
        seed: of its first episode.
        rooms: split that rooms are drawn from.
        hosts: addresses to serve at, the first that is free; all of loopback if empty.
        patience_s: see `sim.franka_server.ServerSettings`.
        speed: of simulated time against the clock; 0 for as fast as it goes.
    """

    robot: str = "twin"
    task: str = "PickCube"
    seed: int = 0
    rooms: str = "lab"
    hosts: tuple[str, ...] = ()
    patience_s: float = 0.02
    speed: float = 1.0


@dataclass(frozen=True)
class _Failure:
    """What went wrong in the child; exceptions themselves do not all survive a pipe."""

    message: str


class ServedWorld:
    """Owns the process. Faults are asked for here, and the truth is read here."""

    def __init__(self, settings: ServedWorldSettings | None = None) -> None:
        """Start serving; returns when clients can connect.

        Raises:
            ConfigurationError: the process could not build or serve its world.
        """
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads and locks
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(settings or ServedWorldSettings(), theirs), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.host = str(self._receive(START_TIMEOUT_S))
        except ArmError as error:
            self.close()
            raise ConfigurationError(f"the world could not be served: {error}") from error

    def report(self) -> WorldReport:
        """Return how the world is now.

        Raises:
            ArmError: the process has ended or does not answer.
        """
        report = self._ask("report")
        assert isinstance(report, WorldReport)
        return report

    def wait_ticks(self, count: int) -> None:
        """Return once `count` milliseconds have passed in the robot, however long that takes here."""
        until = self.report().ticks + count
        while self.report().ticks < until:
            time.sleep(0.005)

    def reset(self, seed: int) -> None:
        """Begin an episode; a client that is connected is thrown out."""
        self._ask("reset", seed)

    def view(self) -> WorldView:
        """Return the world as it stands.

        Raises:
            ArmError: the process has ended or does not answer.
        """
        view = self._ask("view")
        assert isinstance(view, WorldView)
        return view

    def set_scene(self, task: str, seed: int) -> None:
        """Set the scene of an episode around the arm, as a person does: a client that is connected notices nothing.

        Raises:
            ArmError: the task has no layout in this room, or the process has ended or does not answer.
        """
        self._ask("scene", (task, seed))

    def abort(self, *errors: int) -> None:
        """Let the robot stop with these errors."""
        self._ask("abort", errors)

    def lock(self, locked: bool) -> None:
        """Let the robot refuse, or accept, to recover."""
        self._ask("lock", locked)

    def pause(self, paused: bool) -> None:
        """Let the robot fall silent, as with a broken network, or speak again."""
        self._ask("pause", paused)

    def close(self) -> None:
        """End the process. May be called twice."""
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()
        self._pipe.close()

    def _ask(self, request: str, argument: object = None) -> object:
        try:
            self._pipe.send((request, argument))
        except OSError as error:
            raise ArmError(f"the served world is gone: {error}") from error
        return self._receive(REPLY_TIMEOUT_S)

    def _receive(self, timeout_s: float) -> object:
        try:
            if not self._pipe.poll(timeout_s):
                raise ArmError(f"the served world did not answer within {timeout_s:g} s")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise ArmError(f"the served world is gone: {error!r}") from error
        if isinstance(answer, _Failure):
            raise ArmError(f"the served world failed: {answer.message}")
        return answer


def _serve(settings: ServedWorldSettings, pipe: Connection) -> None:
    """Serve one world until the owner goes away; runs in the child."""
    logging.getLogger("franky_sim").setLevel(logging.ERROR)  # it warns of every command that it only stores
    try:
        from sim.franka_server import ServerSettings, WorldServer  # noqa: PLC0415  # its packages are optional

        twin = _twin(settings, settings.task, settings.seed)
        choice = {"hosts": settings.hosts} if settings.hosts else {}
        server = WorldServer(twin, ServerSettings(patience_s=settings.patience_s, speed=settings.speed, **choice))
    except Exception as error:  # whatever it is, the owner must hear of it
        pipe.send(_Failure(str(error)))
        return
    pipe.send(server.host)
    paused, scene = False, None
    builder = ThreadPoolExecutor(1)  # a robot does not fall silent while its scene is built
    try:
        while True:
            if not paused:
                server.tick()
            if scene is not None and scene.done():
                pipe.send(_show(server, scene))
                scene = None
            if pipe.poll(REPLY_TIMEOUT_S if paused else 0):
                request, argument = pipe.recv()
                if request == "scene":
                    scene = builder.submit(_twin, settings, *argument)
                    continue
                paused = bool(argument) if request == "pause" else paused
                pipe.send(_answer(server, request, argument))
    except (EOFError, OSError, KeyboardInterrupt):
        server.close()


def _twin(settings: ServedWorldSettings, task: str, seed: int) -> Twin:
    return Twin(load_contract(settings.robot), task, seed, rooms=settings.rooms)


def _show(server: WorldServer, scene: Future[Twin]) -> _Failure | None:
    try:
        server.show(scene.result())
    except Exception as error:  # whatever it is, the owner must hear of it
        return _Failure(str(error))
    return None


def _answer(server: WorldServer, request: str, argument: object) -> object:
    robot = server.simulator.robot
    match request, argument:
        case "report", _:
            return WorldReport(
                server.ticks,
                server.simulator.twin.world.tcp_pose().position,
                robot.external_wrench,
                tuple(sorted(robot.errors)),
                server.server.in_motion,
            )
        case "view", _:
            world = server.simulator.twin.world
            state = np.empty(mujoco.mj_stateSize(world.model, STATE))
            mujoco.mj_getState(world.model, world.data, state, STATE)
            return WorldView(server.ticks, state, server.simulator.twin.task_status())
        case "reset", int(seed):
            server.reset(seed)
        case "abort", tuple(errors):
            server.server.abort(frozenset(errors))
        case "lock", bool(locked):
            server.server.locked = locked
        case "pause", bool():
            pass  # the loop above does it
        case _:
            return _Failure(f"it knows no request {request!r} with {argument!r}")
    return None


def main(settings: ServedWorldSettings) -> None:
    """Serve until interrupted, and say where."""
    world = ServedWorld(settings)
    print(f"serving a Franka robot at {world.host} (robot 1337, gripper 1338)", flush=True)
    try:
        while True:
            time.sleep(1.0)
    except KeyboardInterrupt:
        world.close()


if __name__ == "__main__":
    main(tyro.cli(ServedWorldSettings))
