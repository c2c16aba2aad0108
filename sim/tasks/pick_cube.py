"""Pick up a cube: it lies anywhere in a square in front of the robot and shall be lifted and held."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from sim.experts import GraspSettings, grasp_step
from sim.robots import OBJECT_GROUP, PADS, WORLD_BITS
from sim.rooms import Room
from sim.world import World
from tutelage_core.types import FloatArray, TaskStatus

AREA_CENTRE_M = (0.5, 0.0)
AREA_HALF_M = 0.1
LARGEST_YAW = math.radians(30.0)
LIFT_M = 0.06
"""How far the cube must be lifted [m]."""

HOLD_PERIODS = 3
"""Control periods for which it must be held up."""

DROP_M = 0.02
"""A cube that was lifted by this much and then lies on the table was dropped [m]."""

REACH_M = ((0.28, 0.72), (-0.3, 0.3))
"""Where the cube can still be grasped, x and y [m]."""

NOMINAL_HALF_M = 0.02
CUBE = "cube"


class PickCube:
    """The task, its ground truth and its expert."""

    name = "PickCube"
    instructions = (
        "pick up the red cube",
        "lift the red cube",
        "grasp the red block and lift it",
        "take the cube from the table",
        "pick the red block up",
        "raise the red cube off the table",
    )
    step_limit = 100
    failures = ("pushed_away", "dropped", "timeout")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._grasp = GraspSettings()
        self._rest_z = self._far_m = 0.0
        self._held = self._fallen = False
        self._held_up = self._looks = 0
        self._highest_m = 0.0
        self._status = TaskStatus(False, 0.0)

    def build(self, spec: mujoco.MjSpec) -> None:
        """Add the cube."""
        body = spec.worldbody.add_body(name=CUBE, pos=[*AREA_CENTRE_M, NOMINAL_HALF_M])
        body.add_freejoint(name=CUBE)
        body.add_geom(
            name=CUBE,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[NOMINAL_HALF_M] * 3,
            mass=0.075,
            condim=4,
            group=OBJECT_GROUP,
            rgba=[0.9, 0.1, 0.1, 1.0],
            **WORLD_BITS,
        )

    def dress(self, model: mujoco.MjModel, room: Room) -> None:
        """Give the cube its colour, size, mass and friction."""
        geom, body, half = model.geom(CUBE).id, model.body(CUBE).id, room.cube_half_m
        model.geom_rgba[geom, :3] = room.cube_colour
        model.geom_size[geom] = half
        model.geom_rbound[geom] = math.sqrt(3.0) * half
        model.geom_aabb[geom] = [0.0, 0.0, 0.0, half, half, half]
        model.geom_friction[geom] = [room.cube_friction, 0.005, 0.0001]
        model.body_mass[body] = room.cube_mass_kg
        model.body_inertia[body] = room.cube_mass_kg * (2.0 * half) ** 2 / 6.0

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay the cube somewhere in its square, turned by up to LARGEST_YAW either way."""
        shift, yaw = rng.uniform(-AREA_HALF_M, AREA_HALF_M, 2), rng.uniform(-LARGEST_YAW, LARGEST_YAW)
        half = float(world.model.geom_size[world.model.geom(CUBE).id, 0])
        pose = [
            AREA_CENTRE_M[0] + shift[0],
            AREA_CENTRE_M[1] + shift[1],
            half,
            math.cos(yaw / 2.0),
            0.0,
            0.0,
            math.sin(yaw / 2.0),
        ]
        address = int(world.model.joint(CUBE).qposadr[0])
        world.data.qpos[address : address + 7] = pose

    def begin(self, world: World) -> None:
        """Note the cube's height and distance at rest."""
        self._rest_z = float(world.data.body(CUBE).xpos[2])
        self._far_m = max(self._distance(world), 0.05)
        self._held = self._fallen = False
        self._held_up = self._looks = 0
        self._highest_m = 0.0
        self._judge(world)

    def watch(self, world: World) -> None:
        """Look whether the cube is held, how high it is and whether it got away."""
        self._looks += 1
        self._held = self._pads_touching(world) == 2
        lifted = self._lifted(world)
        self._held_up = self._held_up + 1 if self._held and lifted >= LIFT_M else 0
        if self._held:
            self._highest_m, self._fallen = max(self._highest_m, lifted), False
        elif self._highest_m >= DROP_M and lifted < DROP_M:
            self._highest_m, self._fallen = 0.0, True
        self._judge(world)

    def status(self) -> TaskStatus:
        """Return the ground truth as of the last look."""
        return self._status

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Return the step of `sim.experts.grasp_step` for the cube."""
        body, geom = world.data.body(CUBE), world.model.geom(CUBE).id
        return grasp_step(
            world.arm_state(),
            body.xpos.copy(),
            _yaw(body.xmat),
            2.0 * world.model.geom_size[geom, 0],
            world.settings.gripper.width_m,
            max_step_m,
            max_step_rad,
            self._grasp,
        )

    def _judge(self, world: World) -> None:
        success = self._held_up >= HOLD_PERIODS
        near = 1.0 - min(self._distance(world) / self._far_m, 1.0)
        lift = min(max(self._lifted(world) / LIFT_M, 0.0), 1.0) if self._held else 0.0
        progress = 1.0 if success else 0.4 * near + (0.2 + 0.35 * lift if self._held else 0.0)
        self._status = TaskStatus(success, progress, "" if success else self._failure(world))

    def _failure(self, world: World) -> str:
        x, y = world.data.body(CUBE).xpos[:2]
        if not (REACH_M[0][0] <= x <= REACH_M[0][1] and REACH_M[1][0] <= y <= REACH_M[1][1]):
            return "pushed_away"
        if self._fallen:
            return "dropped"
        return "timeout" if self._looks >= self.step_limit else ""

    def _distance(self, world: World) -> float:
        return float(np.linalg.norm(world.tcp_pose().position - world.data.body(CUBE).xpos))

    def _lifted(self, world: World) -> float:
        return float(world.data.body(CUBE).xpos[2]) - self._rest_z

    def _pads_touching(self, world: World) -> int:
        """Return how many finger pads press on the cube."""
        cube = world.model.geom(CUBE).id
        pairs = world.data.contact.geom
        partners = np.concatenate([pairs[pairs[:, 0] == cube, 1], pairs[pairs[:, 1] == cube, 0]])
        return sum(world.model.geom(pad).id in partners for pad in PADS)


def _yaw(matrix: FloatArray) -> float:
    """Return the turn about the vertical of a box that lies on any of its faces [rad]."""
    axes = matrix.reshape(3, 3).T
    flattest = axes[int(np.argmin(np.abs(axes[:, 2])))]
    return math.atan2(flattest[1], flattest[0])
