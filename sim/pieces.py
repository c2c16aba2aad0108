"""Small pieces that lie about on the table, and the card onto which they are swept."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.palette import COLOURS, other_colour, paint
from sim.parameters import choice, span, whole
from sim.robots import OBJECT_GROUP, WORLD_BITS, WORLD_GROUP
from sim.rooms import Room, Table
from sim.world import World
from tutelage_core.types import FloatArray

AREA = "area"
"""Name of the card's body and geom."""

SIZES = (1.0, 0.92, 1.06, 0.97, 1.03)
"""Size of each piece, as a share of the room's."""


@dataclass(frozen=True)
class Pieces:
    """The pieces of a room, all alike but for their size."""

    count: int = whole(3, 5, lab=4)
    kind: str = choice("cube", "disc", held_out=("bean", "brick"), lab="cube")
    colour: str = choice(*COLOURS, lab="red")
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    half_m: float = span(0.009, 0.012, "m", lab=0.0105)
    mass_kg: float = span(0.005, 0.02, "kg", lab=0.01)
    friction: float = span(0.3, 0.5, lab=0.4)


@dataclass(frozen=True)
class Area:
    """The marked area: a sheet of card on the table."""

    half_x_m: float = span(0.06, 0.085, "m", lab=0.075)
    half_y_m: float = span(0.06, 0.085, "m", lab=0.075)
    apart: int = whole(1, len(COLOURS) - 1, lab=3)
    tone: float = span(-1.0, 1.0)
    side: int = whole(0, 1, lab=1)


def add_pieces(spec: mujoco.MjSpec, room: Room) -> None:
    """Add the card, which lies fast and has no contact, and the pieces: bodies `piece0`, `piece1` ..."""
    pieces, area, z = room.part(Pieces), room.part(Area), room.part(Table).height_m
    card = spec.worldbody.add_body(name=AREA, mocap=True, pos=[0.5, 0.12, z])
    card.add_geom(
        name=AREA,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=[0.0, 0.0, 0.0003],
        size=[area.half_x_m, area.half_y_m, 0.0005],
        rgba=[*paint(other_colour(pieces.colour, area.apart), 0.0, area.tone), 1.0],
        contype=0,
        conaffinity=0,
        group=WORLD_GROUP,
    )
    for index in range(pieces.count):
        half = pieces.half_m * SIZES[index]
        kind, size = _piece_geom(pieces.kind, half)
        body = spec.worldbody.add_body(name=f"piece{index}", pos=[0.4 + 0.05 * index, -0.1, z + size[2]])
        body.add_freejoint(name=f"piece{index}")
        body.add_geom(
            name=f"piece{index}",
            type=kind,
            size=[size[0], size[2], 0.0] if kind == mujoco.mjtGeom.mjGEOM_CYLINDER else list(size),
            mass=pieces.mass_kg,
            condim=6,
            friction=[pieces.friction, 0.003, 0.0008],
            group=OBJECT_GROUP,
            rgba=[*paint(pieces.colour, pieces.tint, pieces.tone), 1.0],
            **WORLD_BITS,
        )


def piece_height_m(pieces: Pieces, index: int) -> float:
    """Return the height of a lying piece's middle above the table [m]."""
    return _piece_geom(pieces.kind, pieces.half_m * SIZES[index])[1][2]


def piece_places(world: World) -> FloatArray:
    """Return where the pieces are, shape (count, 3) [m]."""
    return np.array([world.data.body(f"piece{i}").xpos for i in range(world.room.part(Pieces).count)])


def outside(world: World, inset_m: float) -> FloatArray:
    """Return how far the middle of each piece is outside the area shrunk by `inset_m`, shape (count,) [m]."""
    style = world.room.part(Area)
    half = np.array([style.half_x_m, style.half_y_m]) - inset_m
    off = np.abs(piece_places(world)[:, :2] - world.data.body(AREA).xpos[:2]) - half
    return np.linalg.norm(np.maximum(off, 0.0), axis=1)


def _piece_geom(kind: str, half: float) -> tuple[mujoco.mjtGeom, tuple[float, float, float]]:
    """Return a piece's geom and half its extents [m]."""
    if kind == "cube":
        return mujoco.mjtGeom.mjGEOM_BOX, (half, half, half)
    if kind == "brick":
        return mujoco.mjtGeom.mjGEOM_BOX, (1.25 * half, 0.85 * half, 0.75 * half)
    if kind == "disc":
        return mujoco.mjtGeom.mjGEOM_CYLINDER, (half, half, 0.6 * half)
    return mujoco.mjtGeom.mjGEOM_ELLIPSOID, (1.3 * half, 0.9 * half, 0.7 * half)
