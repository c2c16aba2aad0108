"""A bowl: a floor with a flared wall of flat pieces around it. Its frame is in the middle of its underside."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.experts import UP
from sim.palette import COLOURS
from sim.parameters import choice, span, whole
from sim.robots import CONTACT_GROUP, OBJECT_GROUP, WORLD_BITS
from sim.textures import Colour
from tutelage_core.rotations import multiply_xyzw, rotation_vector_to_xyzw

BOWL = "bowl"
"""Name of its body and its joint."""

WALL_M, FLOOR_M = 0.004, 0.006
"""Thickness of wall and floor [m]."""

SIDES = {"round": 16, "octagonal": 8, "square": 4}


@dataclass(frozen=True)
class Bowl:
    """The bowl: `floor_m` is the radius of its floor, `flare_m` by how much it is wider at the rim."""

    outline: str = choice("round", "octagonal", held_out=("square",), lab="round")
    colours_apart: int = whole(1, len(COLOURS) - 1, lab=5)
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    floor_m: float = span(0.051, 0.06, "m", lab=0.055, bands=12)
    flare_m: float = span(0.014, 0.025, "m", lab=0.02)
    height_m: float = span(0.03, 0.043, "m", lab=0.036)
    mass_kg: float = span(0.35, 0.7, "kg", lab=0.5)
    friction: float = span(0.4, 0.8)

    @property
    def sides(self) -> int:
        """Number of its wall pieces."""
        return SIDES[self.outline]

    @property
    def rim_m(self) -> float:
        """Outer radius of its rim, corners included [m]."""
        return (self.floor_m + self.flare_m + WALL_M) / math.cos(math.pi / self.sides)


def bowl_geoms(bowl: Bowl) -> tuple[str, ...]:
    """Return the names of the geoms of a bowl that have contact."""
    return ("bowl_floor", *(f"bowl_wall{k}" for k in range(bowl.sides)))


def add_bowl(spec: mujoco.MjSpec, bowl: Bowl, colour: Colour, table_z_m: float) -> None:
    """Add a bowl, free to move: one mesh to look at, and a floor and wall pieces, all boxes, to touch.

    Args:
        spec: the model.
        bowl: its style.
        colour: red, green and blue, 0..1.
        table_z_m: height of what it stands on [m].
    """
    body = spec.worldbody.add_body(name=BOWL, pos=[0.5, -0.1, table_z_m])
    body.add_freejoint(name=BOWL)
    touch = {
        "friction": [bowl.friction, 0.005, 0.0001],
        "condim": 4,
        "group": CONTACT_GROUP,
        "mass": bowl.mass_kg / (bowl.sides + 1),
        **WORLD_BITS,
    }
    box, half = mujoco.mjtGeom.mjGEOM_BOX, FLOOR_M / 2
    body.add_geom(name="bowl_floor", type=box, size=[bowl.floor_m, bowl.floor_m, half], pos=[0, 0, half], **touch)
    lean = math.atan2(bowl.flare_m, bowl.height_m)
    tall = math.hypot(bowl.flare_m, bowl.height_m) / 2
    side = (bowl.floor_m + bowl.flare_m / 2) * math.tan(math.pi / bowl.sides)
    for k in range(bowl.sides):
        turn = 2.0 * math.pi * k / bowl.sides
        out = np.array([math.cos(turn), math.sin(turn), 0.0])
        # its inner face goes from the floor's edge to the rim
        normal = math.cos(lean) * out - math.sin(lean) * UP
        middle = (bowl.floor_m + bowl.flare_m / 2) * out + bowl.height_m / 2 * UP + WALL_M / 2 * normal
        quaternion = multiply_xyzw(
            rotation_vector_to_xyzw(turn * UP), rotation_vector_to_xyzw(np.array([0.0, lean, 0.0]))
        )
        body.add_geom(
            name=f"bowl_wall{k}",
            type=box,
            size=[WALL_M / 2, side, tall],
            pos=middle,
            quat=quaternion[[3, 0, 1, 2]],
            **touch,
        )
    _add_looks(spec, body, bowl, colour)


def _add_looks(spec: mujoco.MjSpec, body: mujoco.MjsBody, bowl: Bowl, colour: Colour) -> None:
    """Add the mesh of the bowl: its profile, turned about the vertical in as many steps as it has sides."""
    profile = [
        (0.0, 0.0),
        (bowl.floor_m + WALL_M, 0.0),
        (bowl.floor_m + bowl.flare_m + WALL_M, bowl.height_m),
        (bowl.floor_m + bowl.flare_m, bowl.height_m),
        (bowl.floor_m, FLOOR_M),
        (0.0, FLOOR_M),
    ]
    corner = 1.0 / math.cos(math.pi / bowl.sides)
    turns = 2.0 * math.pi * (np.arange(bowl.sides) + 0.5) / bowl.sides
    points = [(r * corner * math.cos(t), r * corner * math.sin(t), z) for t in turns for r, z in profile]
    rows, faces = len(profile), []
    for k in range(bowl.sides):
        here, there = rows * k, rows * ((k + 1) % bowl.sides)
        for row in range(rows - 1):
            corners = (here + row, there + row, there + row + 1, here + row + 1)
            faces += [(corners[0], corners[1], corners[2]), (corners[0], corners[2], corners[3])]
    mesh = spec.add_mesh(name=BOWL, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    mesh.uservert, mesh.userface = np.array(points).reshape(-1), np.array(faces).reshape(-1)
    body.add_geom(
        name=BOWL,
        type=mujoco.mjtGeom.mjGEOM_MESH,
        meshname=BOWL,
        mass=0.0,
        contype=0,
        conaffinity=0,
        group=OBJECT_GROUP,
        rgba=[*colour, 1.0],
    )
