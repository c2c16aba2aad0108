"""The twin: one robot in one world, in one process, without threads and bit for bit the same for the same seed."""

from __future__ import annotations

import numpy as np

from hardware.camera import Intrinsics
from sim.controller import TargetRamp
from sim.render import WorldRenderer
from sim.render_profiles import render_profile
from sim.rooms import Room
from sim.tasks import make_task
from sim.world import BLOCK_STEPS, TIMESTEP_NS, World, WorldSettings
from tutelage_core.contract import RobotContract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import ArmCommand, ArmState, FloatArray, ImageArray, TaskStatus

START_SHIFT_M = 0.01
"""Standard deviation of the TCP's place at the start of an episode, each axis [m]; cut at twice that."""

START_TURN_RAD = 0.03
"""The same for its rotation [rad]."""

SETTLE_STEPS = 50
RESTS_RAD_S = 0.03
"""An arm that holds has come to rest when its fastest joint is slower [rad/s]."""

TABLE_POINT_M = (0.5, 0.0)
"""Place of the point `table` in the plane, in the middle of where things lie [m]."""


class Twin:
    """Plays the robot controller, the cameras and the world for one task."""

    def __init__(
        self,
        contract: RobotContract,
        task: str = "PickCube",
        seed: int = 0,
        settings: WorldSettings | None = None,
        rooms: str = "lab",
        profile: str = "fast",
    ) -> None:
        """Build the world and reset it with `seed`. The renderer opens with the first picture.

        Args:
            contract: the robot.
            task: name of the task.
            seed: of the first episode.
            settings: controller and gripper.
            rooms: split that rooms are drawn from where a reset names none.
            profile: name of the render profile.

        Raises:
            UnknownNameError: no task, split or render profile has this name.
            ConfigurationError: the contract does not fit the model or its period is no multiple of 2 ms.
        """
        self.contract = contract
        self.task = make_task(task)
        self.rooms = Room(rooms).split
        self._settings = settings
        self._profile = render_profile(profile)
        self._period_ns = contract.period_ns
        self._count_steps(self._period_ns)
        self._world: World | None = None
        self._renderer: WorldRenderer | None = None
        self._resets = 0
        self.reset(seed)

    @property
    def world(self) -> World:
        """The model and its state, for tests and experts."""
        if self._world is None:
            raise RuntimeError("the twin has no world before its first reset")
        return self._world

    @property
    def room(self) -> Room:
        """The room of this episode."""
        return self.world.room

    @property
    def instruction(self) -> str:
        """What is asked for in this episode, in words."""
        return self._instruction

    @property
    def step_limit(self) -> int:
        """Control periods after which an episode is over."""
        return self.task.step_limit

    @property
    def resets(self) -> int:
        """How often it was reset; tells two episodes apart whose times are alike."""
        return self._resets

    @property
    def time_ns(self) -> int:
        """Simulated time since the reset [ns]."""
        return self.world.steps * TIMESTEP_NS

    def reset(self, seed: int, room: Room | None = None) -> None:
        """Lay out an episode drawn from `seed` and put the arm at home. Nothing of what was before remains.

        Args:
            seed: draws the layout, where the arm starts and the words of the instruction.
            room: where it happens; without it the room whose number is `seed`.

        Raises:
            ConfigurationError: the room's given parameters are not legal, or the task finds no layout in it.
        """
        room = room or Room(self.rooms, seed)
        task_rng, arm_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        if self._world is None or self._world.room != room:
            self._world = World(self.contract, room, self.task, self._settings)
            if self._renderer is not None:
                self._renderer.show(self._world)
        world = self._world
        shift = np.clip(arm_rng.normal(0.0, 1.0, 6), -2.0, 2.0) * np.repeat([START_SHIFT_M, START_TURN_RAD], 3)
        world.reset(shift)
        world.guard.begin({"task": self.task.name, "seed": seed, "room": room.name})
        self.task.sample(world, task_rng)
        world.measure()
        self._settle()
        self._resets += 1
        words = self.task.instructions[int(task_rng.integers(len(self.task.instructions)))]
        self._begin(words, opening=1.0)

    def follow(self, task: str, seed: int) -> None:
        """Begin an episode of another task where this one ended: nothing is moved, no time is lost.

        Args:
            task: name of a task in the same scene, such as the inverse of this one.
            seed: draws the words of the instruction.

        Raises:
            UnknownNameError: no task has this name.
            ConfigurationError: it is played in another scene.
        """
        following = make_task(task)
        if following.scene != self.task.scene:
            raise ConfigurationError(
                f"{task} cannot follow {self.task.name}: its scene is '{following.scene}', this one '{self.task.scene}'"
            )
        self.task = following
        self._resets += 1
        choice = np.random.default_rng(seed).integers(len(following.instructions))
        self._begin(following.instructions[int(choice)], self._ramp.opening)

    def _settle(self) -> None:
        """Let the objects come to rest before the episode's time begins."""
        world = self.world
        world.step(SETTLE_STEPS)
        world.steps = 0
        world.data.time = 0.0
        world.measure()

    def _begin(self, instruction: str, opening: float) -> None:
        world = self.world
        self._ramp = TargetRamp(world.tcp_pose(), opening, self._period_ns)
        self._holding = self._rests = True
        self._force_n = 0.0
        self.task.begin(world)
        self._instruction = instruction.format(**self.task.words(world))

    def arm_state(self) -> ArmState:
        """Return what the arm measures now."""
        return self.world.arm_state()

    def render(self, camera: str) -> ImageArray:
        """Return the picture of `camera` now, shape (height, width, 3), uint8, RGB; the size is the contract's.

        Raises:
            UnknownNameError: the contract has no such camera.
        """
        if self._renderer is None:
            self._renderer = WorldRenderer(self.world, dict(self.contract.cameras), self._profile)
        return self._renderer.render(camera)

    def advance(self, target: ArmCommand | None, period_ns: int | None = None) -> None:
        """Let time pass with the controller pulling to `target`.

        The controller's target moves in a straight line from where it is and arrives one control period after the
        command is first given, so five slices of 20 ms do what one of 100 ms does.

        Args:
            target: an absolute target; None, or one that holds, brings the arm to rest and keeps it where that is.
            period_ns: how long [ns], a multiple of 2 ms; one control period if not given.

        Raises:
            ConfigurationError: `period_ns` is no positive multiple of 2 ms.
        """
        remaining = self._count_steps(self._period_ns if period_ns is None else period_ns)
        world = self.world
        world.brace(braced=target is None or target.hold)
        self._force_n = 0.0
        holds, opening = target is None or target.hold, self._ramp.opening
        if target is not None:
            opening = target.gripper_opening
        if target is not None and not holds:
            self._ramp.aim(target.T_base_tcp_target, opening)
        self._rests, self._holding = self._rests and self._holding and holds, holds
        per_look = self._period_ns // TIMESTEP_NS
        while remaining:
            count = min(remaining, BLOCK_STEPS - world.steps % BLOCK_STEPS)
            if holds and not self._rests:  # its dampers bring it to rest, and there it stays
                self._ramp = TargetRamp(world.tcp_pose(), opening, self._period_ns)
                self._rests = world.joint_speed_rad_s() < RESTS_RAD_S
            world.set_target(self._ramp.advance(count * TIMESTEP_NS), self._ramp.opening)
            world.step(count)
            self._force_n = max(self._force_n, world.robot_force_n())
            remaining -= count
            if world.steps % per_look == 0:
                world.measure()
                self.task.watch(world)
        world.measure()

    def task_status(self) -> TaskStatus:
        """Return the task's ground truth as of the last control period."""
        return self.task.status()

    def contact_force_n(self) -> float:
        """Return the largest force with which the robot pressed on anything in the last `advance` [N].

        It is the sum of all normal forces at its contacts, the grip included, looked at every 20 ms.
        """
        return self._force_n

    def captions(self) -> tuple[str, ...]:
        """Return sentences that are true of the scene now."""
        return self.task.captions(self.world)

    def points(self) -> dict[str, FloatArray]:
        """Return where things are now, each shape (3,), in the base frame [m].

        `tcp`, `table` (the point of its top below `TABLE_POINT_M`: how high it is) and what the task names.
        """
        table = np.array([*TABLE_POINT_M, self.world.table_z_m])
        return {"tcp": self.world.tcp_pose().position, "table": table, **self.task.points(self.world)}

    def expert_step(self) -> FloatArray:
        """Return what the task's expert does in this state: a TCP step, shape (7,) [m, rad, 0..1]."""
        safety = self.contract.safety
        return self.task.expert_step(self.world, safety.max_step_m, safety.max_step_rad)

    def intrinsics(self, camera: str) -> Intrinsics:
        """Return how `camera` projects, as it is drawn in this room; pixels are square, nothing is distorted.

        Raises:
            UnknownNameError: the contract has no such camera.
        """
        if camera not in self.contract.cameras:
            raise UnknownNameError("camera", camera, self.contract.cameras)
        size = self.contract.cameras[camera]
        half_fov = np.deg2rad(float(self.world.model.camera(camera).fovy[0])) / 2
        focal = size.height / 2 / float(np.tan(half_fov))
        # pixel centres are at whole numbers: the first one is at 0, the last one at width - 1
        return Intrinsics(focal, focal, (size.width - 1) / 2, (size.height - 1) / 2)

    def close(self) -> None:
        """Free the renderer. May be called twice."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _count_steps(self, period_ns: int) -> int:
        if period_ns <= 0 or period_ns % TIMESTEP_NS:
            raise ConfigurationError(f"the twin advances in multiples of {TIMESTEP_NS} ns, got {period_ns} ns")
        return period_ns // TIMESTEP_NS
