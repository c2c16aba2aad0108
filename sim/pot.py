"""A pot and its lid. The pot's frame is in the middle of its underside; it is fixed, as one too heavy to push."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco

from sim.palette import COLOURS
from sim.parameters import choice, span, whole
from sim.robots import OBJECT_GROUP, WORLD_BITS, WORLD_GROUP
from sim.shapes import Shape, add_shape, shape_geoms
from sim.textures import Colour

POT, LID, KNOB = "pot", "lid", "knob"
SIDES = 16
WALL_M, POT_FLOOR_M = 0.004, 0.005
OVERLAP_M = 0.002
"""How far the lid reaches over the pot's outer edge [m]."""

DISC_M = 0.004
"""Thickness of the lid [m]."""

COLLAR_M, COLLAR_SLACK_M = 0.004, 0.003
"""Height of each of the two steps under the lid that centre it, and the slack of the wider one in the pot [m]."""

STEP_M = 0.006
"""How much narrower the lower step is [m]."""

LOOP_M = 0.018
"""How far a loop handle stands out [m]."""


@dataclass(frozen=True)
class Pot:
    """The pot: a casserole has two loops, a saucepan a long handle that points away from the middle."""

    kind: str = choice("casserole", "plain", held_out=("saucepan",), lab="casserole")
    colours_apart: int = whole(1, len(COLOURS) - 1, lab=3)
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    radius_m: float = span(0.046, 0.06, "m", lab=0.052, bands=12)
    height_m: float = span(0.044, 0.06, "m", lab=0.052)
    handle_m: float = span(0.05, 0.08, "m", lab=0.06)
    friction: float = span(0.3, 0.7)

    @property
    def outer_m(self) -> float:
        """Outer radius without handles [m]."""
        return self.radius_m + WALL_M


@dataclass(frozen=True)
class Lid:
    """The lid with its knob."""

    knob: str = choice("cylinder", "hexagon", held_out=("box", "cross"), lab="cylinder")
    colour: str = choice(*COLOURS, lab="blue")
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    knob_tone: float = span(0.1, 0.35)
    knob_width_m: float = span(0.018, 0.028, "m", lab=0.022)
    knob_height_m: float = span(0.027, 0.033, "m", lab=0.03)
    mass_kg: float = span(0.08, 0.2, "kg", lab=0.12)
    friction: float = span(0.3, 0.7)


def knob_shape(lid: Lid) -> Shape:
    """Return the shape of a lid's knob."""
    return Shape(lid.knob, lid.knob_width_m, lid.knob_height_m)


def pot_geoms(pot: Pot) -> tuple[str, ...]:
    """Return the names of a pot's geoms."""
    handles = {"casserole": ("pot_handle0", "pot_handle1"), "saucepan": ("pot_handle0",)}
    return ("pot_floor", *(f"pot_wall{k}" for k in range(SIDES)), *handles.get(pot.kind, ()))


def lid_geoms(lid: Lid) -> tuple[str, ...]:
    """Return the names of a lid's geoms."""
    return ("lid_disc", "lid_collar0", "lid_collar1", *shape_geoms(KNOB, knob_shape(lid)))


def add_pot(spec: mujoco.MjSpec, pot: Pot, colour: Colour, table_z_m: float) -> None:
    """Add a pot that nothing moves: a floor, a ring of boxes, and its handles."""
    body = spec.worldbody.add_body(name=POT, mocap=True, pos=[0.5, -0.1, table_z_m])
    looks = {"friction": [pot.friction, 0.005, 0.0001], "group": WORLD_GROUP, "rgba": [*colour, 1.0], **WORLD_BITS}
    kinds, tall, half = mujoco.mjtGeom, pot.height_m / 2, POT_FLOOR_M / 2
    body.add_geom(name="pot_floor", type=kinds.mjGEOM_CYLINDER, size=[pot.radius_m, half, 0], pos=[0, 0, half], **looks)
    middle = pot.radius_m + WALL_M / 2
    for k in range(SIDES):
        turn = 2.0 * math.pi * k / SIDES
        body.add_geom(
            name=f"pot_wall{k}",
            type=kinds.mjGEOM_BOX,
            size=[WALL_M / 2, pot.outer_m * math.tan(math.pi / SIDES), tall],
            pos=[middle * math.cos(turn), middle * math.sin(turn), tall],
            quat=[math.cos(turn / 2), 0.0, 0.0, math.sin(turn / 2)],
            **looks,
        )
    dark = looks | {"rgba": [0.15, 0.15, 0.16, 1.0]}
    high = pot.height_m - 0.014
    if pot.kind == "casserole":
        for k, side in enumerate((1.0, -1.0)):
            place = [side * (pot.outer_m + LOOP_M / 2), 0.0, high]
            body.add_geom(
                name=f"pot_handle{k}", type=kinds.mjGEOM_BOX, size=[LOOP_M / 2, 0.02, 0.005], pos=place, **dark
            )
    elif pot.kind == "saucepan":
        place = [pot.outer_m + pot.handle_m / 2, 0.0, high]
        body.add_geom(
            name="pot_handle0", type=kinds.mjGEOM_BOX, size=[pot.handle_m / 2, 0.009, 0.006], pos=place, **dark
        )


def add_lid(spec: mujoco.MjSpec, pot: Pot, lid: Lid, colour: Colour, table_z_m: float) -> None:
    """Add a free lid that fits the pot: its frame is in the middle of the disc's underside, two steps are below it."""
    knob = knob_shape(lid)
    body = spec.worldbody.add_body(name=LID, pos=[0.5, 0.1, table_z_m + 2.0 * COLLAR_M])
    body.add_freejoint(name=LID)
    collar = pot.radius_m - COLLAR_SLACK_M
    discs = (
        ("lid_disc", pot.outer_m + OVERLAP_M, 0.0, DISC_M, 0.6),
        ("lid_collar0", collar, -COLLAR_M, COLLAR_M, 0.2),
        ("lid_collar1", collar - STEP_M, -2.0 * COLLAR_M, COLLAR_M, 0.1),
    )
    for name, radius, low, thick, share in discs:
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[radius, thick / 2, 0.0],
            pos=[0.0, 0.0, low + thick / 2],
            mass=share * lid.mass_kg,
            condim=4,
            friction=[lid.friction, 0.005, 0.0001],
            group=OBJECT_GROUP,
            rgba=[*colour, 1.0],
            **WORLD_BITS,
        )
    grey = (lid.knob_tone, lid.knob_tone, lid.knob_tone)
    add_shape(body, spec, KNOB, knob, 0.1 * lid.mass_kg, 0.8, grey, (0.0, 0.0, DISC_M + knob.rest_m))
