"""Stack one cube on another, and take the stack apart again."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.experts import QUARTER_TURN, UP, Grip, Hand
from sim.palette import COLOURS, other_colour, paint
from sim.parameters import choice, span, whole
from sim.robots import OBJECT_GROUP, PADS, WORLD_BITS
from sim.rooms import MAX_SEED, Room, Table
from sim.shapes import Shape
from sim.surroundings import TABLE_CONTACT
from sim.tasks.placing import PlacingTask, beside, out_of_reach
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS, Colour, add_texture, texture
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_X_M, AREA_Y_M = (0.38, 0.62), (-0.17, 0.17)
"""Where the cubes stand, by their middles."""

APART_M = 0.115
"""Least distance of their middles: the open hand fits between [m]."""

LEVEL = 0.99
"""A cube is flat on something if one of its faces is this level (cosine of its lean)."""

GAP_M = 0.004
"""Largest difference of height at which one cube stands on the other [m]."""

TRAVEL_M = 0.05
"""Height above the lower cube at which the upper one comes to it; half of it is enough to leave [m]."""

BASE_MOVED_M = 0.04
"""The lower cube was knocked away once it has moved so far [m]."""

ATTEMPTS = 200
TOP, BASE = "top_cube", "base_cube"


@dataclass(frozen=True)
class TopCube:
    """The cube that goes on top."""

    colour: str = choice(*COLOURS, lab="green")
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS, lab="plain")
    grain: int = whole(0, MAX_SEED)
    half_m: float = span(0.017, 0.022, "m", lab=0.019, bands=12)
    mass_kg: float = span(0.04, 0.1, "kg", lab=0.06)
    friction: float = span(0.5, 0.9)


@dataclass(frozen=True)
class BaseCube:
    """The cube below: `colours_apart` says how its colour follows from the other's, so that the two differ."""

    colours_apart: int = whole(1, len(COLOURS) - 1, lab=2)
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS, lab="plain")
    grain: int = whole(0, MAX_SEED)
    half_m: float = span(0.019, 0.026, "m", lab=0.022, bands=12)
    mass_kg: float = span(0.08, 0.2, "kg", lab=0.12)
    friction: float = span(0.5, 0.9)


class _CubesTask(PlacingTask):
    """What both directions share: two cubes."""

    scene = "cubes"
    failures = ("pushed_away", "dropped", "base_moved", "timeout")
    styles = (TopCube, BaseCube)
    thing = TOP
    starts_stacked = False

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the two cubes."""
        top, base, z = room.part(TopCube), room.part(BaseCube), room.part(Table).height_m
        _add_cube(spec, TOP, top, paint(top.colour, top.tint, top.tone), (0.5, 0.1, z))
        _add_cube(spec, BASE, base, paint(base_colour(room), base.tint, base.tone), (0.5, -0.1, z))

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay the cubes apart, turned anyhow, or one on the other."""
        z = world.table_z_m
        for _ in range(ATTEMPTS):
            places = np.column_stack([rng.uniform(*AREA_X_M, 2), rng.uniform(*AREA_Y_M, 2)])
            if np.linalg.norm(places[0] - places[1]) > APART_M:
                break
        else:
            raise ConfigurationError(f"{self.name} found no layout in {ATTEMPTS} tries with {APART_M} m between")
        turns = rng.uniform(-QUARTER_TURN / 2, QUARTER_TURN / 2, 2)
        low = z + top_half_m(world)
        if self.starts_stacked:
            places[0] = places[1] + rng.uniform(-0.005, 0.005, 2)
            low += 2.0 * base_half_m(world)
        world.place_body(BASE, np.array([*places[1], z + base_half_m(world)]), rotation_vector_to_xyzw(turns[1] * UP))
        world.place_body(TOP, np.array([*places[0], low]), rotation_vector_to_xyzw(turns[0] * UP))

    def note(self, world: World) -> None:
        """Note where the lower cube stands."""
        self._base = world.data.body(BASE).xpos.copy()
        super().note(world)

    def geoms(self, world: World) -> tuple[str, ...]:
        """Return the name of the upper cube's geom."""
        del world
        return (TOP,)

    def grip(self, world: World, hand: Hand) -> Grip:
        """Return how to take the upper cube from above, a little above its middle."""
        body, side = world.data.body(TOP), 2.0 * top_half_m(world)
        return Shape("cube", side, side).grip(hand, body.xpos.copy(), body.xmat, world.settings.gripper.width_m)

    def words(self, world: World) -> dict[str, str]:
        """Return the colours."""
        return {"colour": world.room.part(TopCube).colour, "base_colour": base_colour(world.room)}

    def failure(self, world: World) -> str:
        """Tell whether the lower cube was knocked away or tipped, or the upper one got lost."""
        base = world.data.body(BASE)
        moved = float(np.linalg.norm(base.xpos - self._base)) > BASE_MOVED_M
        if moved or level(world, BASE) < LEVEL or out_of_reach(base.xpos):
            return "base_moved"
        return super().failure(world)

    def captions(self, world: World) -> tuple[str, ...]:
        """Say how the cubes stand."""
        words = self.words(world)
        top, base = f"the {words['colour']} cube", f"the {words['base_colour']} cube"
        pads = world.touching(PADS, (TOP,))
        if stacked(world):
            if pads:
                return (f"the gripper holds {top} on {base}", f"{top} is on {base} and still held")
            return (f"{top} is stacked on {base}", f"{top} stands on {base} and the gripper does not touch it")
        if pads == len(PADS):
            if world.touching((TOP,), (TABLE_CONTACT,)):
                return (f"the gripper holds {top}, which stands on the table", f"{top} is grasped beside {base}")
            return (f"the gripper holds {top} in the air", f"{top} is carried and does not touch {base}")
        if level(world, TOP) < LEVEL:
            return (f"{top} leans and is held by nothing", f"{top} is not flat on anything")
        return (f"{top} and {base} stand side by side", f"{top} is on the table and nothing is on {base}")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the cubes are."""
        return {"top_cube": world.data.body(TOP).xpos.copy(), "base_cube": world.data.body(BASE).xpos.copy()}


class StackCubes(_CubesTask):
    """Put one cube on the other."""

    name = "StackCubes"
    inverse = "UnstackCubes"
    instructions = (
        "stack the {colour} cube on the {base_colour} cube",
        "put the {colour} cube on top of the {base_colour} one",
        "place the {colour} block on the {base_colour} block",
        "build a tower with the {colour} cube on top of the {base_colour} cube",
        "pick up the {colour} cube and set it on the {base_colour} cube",
    )

    def goal(self, world: World) -> FloatArray:
        """Return where the upper cube's middle is when it stands on the lower one."""
        return world.data.body(BASE).xpos + (base_half_m(world) + top_half_m(world)) * UP

    def clearance_m(self, world: World) -> float:
        """Return the height above the lower cube at which the upper one travels [m]."""
        del world
        return TRAVEL_M

    def lies(self, world: World) -> bool:
        """Tell whether one cube stands on the other."""
        return stacked(world)


class UnstackCubes(_CubesTask):
    """Take the upper cube down and stand it on the table."""

    name = "UnstackCubes"
    inverse = "StackCubes"
    instructions = (
        "take the {colour} cube off the {base_colour} cube",
        "unstack the cubes",
        "put the {colour} cube on the table beside the {base_colour} cube",
        "remove the {colour} block from the {base_colour} block",
        "take the tower apart and lay the {colour} cube on the table",
    )
    starts_stacked = True

    def goal(self, world: World) -> FloatArray:
        """Return a place on the table beside the lower cube."""
        return np.array([*beside(world.data.body(BASE).xpos, APART_M), world.table_z_m + top_half_m(world)])

    def clearance_m(self, world: World) -> float:
        """Return the height above the table at which the upper cube travels over the lower one [m]."""
        return 2.0 * base_half_m(world) + TRAVEL_M / 2

    def lies(self, world: World) -> bool:
        """Tell whether the upper cube stands on the table, clear of the other, which stands too."""
        on_table = world.touching((TOP,), (TABLE_CONTACT,)) > 0 and world.touching((TOP,), (BASE,)) == 0
        return on_table and level(world, TOP) > LEVEL and level(world, BASE) > LEVEL


def top_half_m(world: World) -> float:
    """Return half the upper cube's side [m]."""
    return world.room.part(TopCube).half_m


def base_half_m(world: World) -> float:
    """Return half the lower cube's side [m]."""
    return world.room.part(BaseCube).half_m


def base_colour(room: Room) -> str:
    """Return the name of the lower cube's colour, which is never the upper one's."""
    return other_colour(room.part(TopCube).colour, room.part(BaseCube).colours_apart)


def level(world: World, cube: str) -> float:
    """Return how level a cube's flattest face is, 1 if it lies flat."""
    return float(np.abs(world.data.body(cube).xmat[6:]).max())


def stacked(world: World) -> bool:
    """Tell whether the upper cube stands flat on the lower one, which stands on the table."""
    off = world.data.body(TOP).xpos - world.data.body(BASE).xpos
    over = float(np.hypot(off[0], off[1])) < base_half_m(world)
    high = abs(off[2] - base_half_m(world) - top_half_m(world)) < GAP_M
    flat = level(world, TOP) > LEVEL and level(world, BASE) > LEVEL
    touches = world.touching((TOP,), (BASE,)) > 0 and world.touching((BASE,), (TABLE_CONTACT,)) > 0
    return over and high and flat and touches


def _add_cube(
    spec: mujoco.MjSpec, name: str, style: TopCube | BaseCube, colour: Colour, foot: tuple[float, float, float]
) -> None:
    second: Colour = (0.8 * colour[0], 0.8 * colour[1], 0.8 * colour[2])
    add_texture(spec, name, texture(style.pattern, style.grain, colour, second))
    body = spec.worldbody.add_body(name=name, pos=[foot[0], foot[1], foot[2] + style.half_m])
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[style.half_m] * 3,
        mass=style.mass_kg,
        condim=4,
        friction=[style.friction, 0.005, 0.0001],
        group=OBJECT_GROUP,
        material=name,
        **WORLD_BITS,
    )
