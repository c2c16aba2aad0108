"""Pick up a cube: it lies anywhere in a square in front of the robot and shall be lifted and held."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.clutter import Rectangle
from sim.experts import blend, flat_yaw, grasp, held, see_hand, top_grip
from sim.parameters import span
from sim.robots import OBJECT_GROUP, PADS, WORLD_BITS
from sim.rooms import Room, Table
from sim.tasks.task import WatchedTask
from sim.textures import rgb
from sim.world import World
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_CENTRE_M = (0.5, 0.0)
AREA_HALF_M = 0.1
LARGEST_YAW = math.radians(30.0)
LIFT_M = 0.06
"""How far the cube must be lifted [m]."""

ASKED_LIFT_M = 0.11
"""Height of the cube's centre above the table that the expert lifts it to [m]."""

DROP_M = 0.02
"""A cube that was lifted by this much and then lies on the table was dropped [m]."""

REACH_M = ((0.28, 0.72), (-0.3, 0.3))
"""Where the cube can still be grasped, x and y [m]."""

CUBE = "cube"


@dataclass(frozen=True)
class Cube:
    """The cube of a room: near red, 36 to 44 mm."""

    hue: float = span(-0.025, 0.025)
    saturation: float = span(0.8, 0.95)
    value: float = span(0.7, 0.95)
    half_m: float = span(0.018, 0.022, "m")
    mass_kg: float = span(0.05, 0.1, "kg")
    friction: float = span(0.5, 0.9)


class PickCube(WatchedTask):
    """The task, its ground truth and its expert."""

    name = "PickCube"
    scene = "cube"
    instructions = (
        "pick up the red cube",
        "lift the red cube",
        "grasp the red block and lift it",
        "take the cube from the table",
        "pick the red block up",
        "raise the red cube off the table",
    )
    failures = ("pushed_away", "dropped", "timeout")
    styles = (Cube,)
    keep_clear = (Rectangle(0.3, 0.7, -0.2, 0.2),)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the cube."""
        style, z = room.part(Cube), room.part(Table).height_m
        body = spec.worldbody.add_body(name=CUBE, pos=[*AREA_CENTRE_M, z + style.half_m])
        body.add_freejoint(name=CUBE)
        body.add_geom(
            name=CUBE,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=[style.half_m] * 3,
            mass=style.mass_kg,
            condim=4,
            friction=[style.friction, 0.005, 0.0001],
            group=OBJECT_GROUP,
            rgba=[*rgb(style.hue, style.saturation, style.value), 1.0],
            **WORLD_BITS,
        )

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay the cube somewhere in its square, turned by up to LARGEST_YAW either way."""
        shift, yaw = rng.uniform(-AREA_HALF_M, AREA_HALF_M, 2), rng.uniform(-LARGEST_YAW, LARGEST_YAW)
        position = np.array([*(AREA_CENTRE_M + shift), world.table_z_m + world.room.part(Cube).half_m])
        world.place_body(CUBE, position, rotation_vector_to_xyzw(np.array([0.0, 0.0, yaw])))

    def note(self, world: World) -> None:
        """Note the cube's height and distance at rest."""
        self._rest_z = float(world.data.body(CUBE).xpos[2])
        self._far_m = max(self._distance(world), 0.05)
        self._held = self._fallen = False
        self._highest_m = 0.0

    def look(self, world: World) -> None:
        """See whether the cube is held, how high it is and whether it fell."""
        self._held = world.touching(PADS, (CUBE,)) == 2
        lifted = self._lifted(world)
        if self._held:
            self._highest_m, self._fallen = max(self._highest_m, lifted), False
        elif self._highest_m >= DROP_M and lifted < DROP_M:
            self._highest_m, self._fallen = 0.0, True

    def done(self, world: World) -> bool:
        """Tell whether it is held up."""
        return self._held and self._lifted(world) >= LIFT_M

    def progress(self, world: World) -> float:
        """Return how far it has come: near, held, lifted."""
        near = 1.0 - min(self._distance(world) / self._far_m, 1.0)
        lift = min(max(self._lifted(world) / LIFT_M, 0.0), 1.0) if self._held else 0.0
        return 0.4 * near + (0.2 + 0.35 * lift if self._held else 0.0)

    def failure(self, world: World) -> str:
        """Tell whether the cube got out of reach or fell."""
        x, y = world.data.body(CUBE).xpos[:2]
        if not (REACH_M[0][0] <= x <= REACH_M[0][1] and REACH_M[1][0] <= y <= REACH_M[1][1]):
            return "pushed_away"
        return "dropped" if self._fallen else ""

    def captions(self, world: World) -> tuple[str, ...]:
        """Say where the cube is."""
        lifted = float(world.data.body(CUBE).xpos[2]) - world.table_z_m - world.room.part(Cube).half_m
        if world.touching(PADS, (CUBE,)) == 2:
            if lifted >= LIFT_M:
                return ("the gripper holds the red cube in the air", "the red cube is lifted off the table")
            return ("the gripper holds the red cube just above the table", "the red cube is grasped")
        return ("the red cube lies on the table", "the gripper is empty and the red cube is on the table")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the cube is."""
        return {"cube": world.data.body(CUBE).xpos.copy()}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Grasp the cube from above and lift it."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad)
        body = world.data.body(CUBE)
        grip = top_grip(hand, body.xpos.copy(), flat_yaw(body.xmat), 2.0 * world.room.part(Cube).half_m)
        up = np.array([0.0, 0.0, world.table_z_m + ASKED_LIFT_M - hand.position[2]])
        lift = hand.step(up, hand.turn_to(grip.quaternion_xyzw), 0.0)
        return blend(grasp(hand, grip), lift, held(hand, grip))

    def _distance(self, world: World) -> float:
        return float(np.linalg.norm(world.tcp_pose().position - world.data.body(CUBE).xpos))

    def _lifted(self, world: World) -> float:
        return float(world.data.body(CUBE).xpos[2]) - self._rest_z
