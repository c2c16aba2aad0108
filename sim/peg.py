"""A square peg, a block with a square hole one millimetre wider, and a holder in which the peg stands loosely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from sim.experts import QUARTER_TURN, UP
from sim.parameters import choice, span, whole
from sim.robots import OBJECT_GROUP, WORLD_BITS, WORLD_GROUP
from sim.rooms import MAX_SEED, Room, Table
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS, add_texture, rgb, texture
from sim.world import World
from tutelage_core.rotations import multiply_xyzw, rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

PEG, BLOCK, HOLDER = "peg", "block", "holder"
"""Names of the bodies; the peg's joint and geom have its name too."""

CLEARANCE_M = 0.001
"""How much wider than the peg the hole is, both sides together [m]."""

FLOOR_M = 0.005
"""Thickness of the floor of hole and holder [m]."""

STIFF = {"solref": [0.006, 1.0], "solimp": [0.95, 0.99, 0.0005, 0.5, 2.0]}
"""Contacts that give less than a tenth of the clearance under the largest force of the controller."""


@dataclass(frozen=True)
class Peg:
    """The peg of a room: yellow to orange."""

    hue: float = span(0.07, 0.15)
    saturation: float = span(0.75, 0.95)
    value: float = span(0.75, 0.95)
    half_m: float = span(0.011, 0.014, "m", lab=0.0125)
    length_m: float = span(0.08, 0.095, "m", lab=0.088)
    mass_kg: float = span(0.03, 0.08, "kg", lab=0.05)
    friction: float = span(0.2, 0.45, lab=0.3)


@dataclass(frozen=True)
class Block:
    """The block with the hole; its walls are this thick, its mouth is bevelled."""

    hue: float = span(0.5, 0.8)
    saturation: float = span(0.3, 0.8)
    value: float = span(0.35, 0.7)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS, lab="plain")
    grain: int = whole(0, MAX_SEED)
    depth_m: float = span(0.03, 0.042, "m", lab=0.036)
    bevel_m: float = span(0.001, 0.002, "m", lab=0.0015)
    wall_m: float = span(0.014, 0.022, "m", lab=0.018)
    friction: float = span(0.2, 0.45, lab=0.3)


@dataclass(frozen=True)
class Holder:
    """What the peg stands in before; `slack_m` wider than the peg."""

    value: float = span(0.2, 0.6)
    depth_m: float = span(0.016, 0.02, "m", lab=0.018)
    slack_m: float = span(0.005, 0.008, "m", lab=0.006)
    wall_m: float = span(0.006, 0.012, "m", lab=0.008)


@dataclass(frozen=True)
class Socket:
    """A square hole as it stands: middle of its floor, shape (3,) [m], its turn [rad], depth and slack [m]."""

    floor: FloatArray
    yaw: float
    depth_m: float
    slack_m: float

    @property
    def mouth(self) -> FloatArray:
        """Middle of its mouth, shape (3,) [m]."""
        return self.floor + self.depth_m * UP


def add_peg(spec: mujoco.MjSpec, room: Room) -> None:
    """Add the peg, free to move, and block and holder, which nothing moves."""
    peg, block, holder, z = room.part(Peg), room.part(Block), room.part(Holder), room.part(Table).height_m
    first = rgb(block.hue, block.saturation, block.value)
    second = rgb(block.hue, 0.6 * block.saturation, min(block.value + 0.12, 0.9))
    add_texture(spec, BLOCK, texture(block.pattern, block.grain, first, second))
    looks = {"material": BLOCK, "friction": [block.friction, 0.005, 0.0001], "group": WORLD_GROUP}
    body = spec.worldbody.add_body(name=BLOCK, mocap=True, pos=[0.5, 0.1, z])
    _add_socket(body, peg.half_m + CLEARANCE_M / 2, block.wall_m, block.depth_m, block.bevel_m, looks)
    looks = {"rgba": [*rgb(0.0, 0.0, holder.value), 1.0], "group": WORLD_GROUP}
    body = spec.worldbody.add_body(name=HOLDER, mocap=True, pos=[0.5, -0.1, z])
    _add_socket(body, peg.half_m + holder.slack_m / 2, holder.wall_m, holder.depth_m, 0.0, looks)
    body = spec.worldbody.add_body(name=PEG, pos=[0.5, -0.1, z + FLOOR_M + peg.length_m / 2])
    body.add_freejoint(name=PEG)
    body.add_geom(
        name=PEG,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[peg.half_m, peg.half_m, peg.length_m / 2],
        mass=peg.mass_kg,
        condim=4,
        friction=[peg.friction, 0.005, 0.0001],
        group=OBJECT_GROUP,
        rgba=[*rgb(peg.hue, peg.saturation, peg.value), 1.0],
        **STIFF,
        **WORLD_BITS,
    )


def socket(world: World, name: str) -> Socket:
    """Return how the hole of BLOCK or HOLDER stands."""
    body = world.data.body(name)
    room = world.room
    depth_m, slack_m = (
        (room.part(Block).depth_m, CLEARANCE_M)
        if name == BLOCK
        else (room.part(Holder).depth_m, room.part(Holder).slack_m)
    )
    return Socket(body.xpos + FLOOR_M * UP, math.atan2(body.xmat[3], body.xmat[0]), depth_m, slack_m)


def peg_ends(world: World) -> tuple[FloatArray, FloatArray]:
    """Return the middle of the peg's lower end and of its upper end, each shape (3,) [m]."""
    body = world.data.body(PEG)
    axis = body.xmat.reshape(3, 3)[:, 2] * math.copysign(1.0, body.xmat[8])
    half = world.room.part(Peg).length_m / 2
    return body.xpos - half * axis, body.xpos + half * axis


def lean(world: World) -> float:
    """Return how far the peg is from upright [rad]."""
    return math.acos(min(abs(float(world.data.body(PEG).xmat[8])), 1.0))


def depth(world: World, name: str) -> float:
    """Return how deep the peg's tip is in BLOCK or HOLDER [m]; 0 if it is not in."""
    place, tip = socket(world, name), peg_ends(world)[0]
    off = tip - place.mouth
    cos, sin = math.cos(place.yaw), math.sin(place.yaw)
    inside = max(abs(cos * off[0] + sin * off[1]), abs(cos * off[1] - sin * off[0])) < place.slack_m / 2 + 0.002
    return max(-float(off[2]), 0.0) if inside else 0.0


def _add_socket(
    body: mujoco.MjsBody, half_m: float, wall_m: float, depth_m: float, bevel_m: float, looks: Mapping[str, Any]
) -> None:
    """Add four walls around a square hole, the floor under it, and a bevel at 45 degrees along its mouth."""
    box, outer, top = mujoco.mjtGeom.mjGEOM_BOX, half_m + wall_m, FLOOR_M + depth_m
    body.add_geom(type=box, size=[outer, outer, FLOOR_M / 2], pos=[0, 0, FLOOR_M / 2], **looks, **STIFF, **WORLD_BITS)
    # below the bevel the walls begin at the hole, beside it behind the bevel
    for inner, low, high in ((half_m, FLOOR_M, top - bevel_m), (half_m + bevel_m, top - bevel_m, top)):
        if high <= low:
            continue
        middle, thick, tall = (inner + outer) / 2, (outer - inner) / 2, (high - low) / 2
        for sign in (-1, 1):
            for pos, size in (((sign * middle, 0.0), (thick, outer)), ((0.0, sign * middle), (inner, thick))):
                body.add_geom(
                    type=box, pos=[*pos, low + tall], size=[*size, tall], **looks, **STIFF, **WORLD_BITS
                )  # fmt: skip
    if bevel_m:
        for quarter in range(4):
            turn = quarter * QUARTER_TURN
            out = np.array([math.cos(turn), math.sin(turn), 0.0])
            tilt = np.array([-out[1], out[0], 0.0]) * math.pi / 4
            quat = multiply_xyzw(rotation_vector_to_xyzw(tilt), rotation_vector_to_xyzw(turn * UP))[[3, 0, 1, 2]]
            body.add_geom(
                type=box,
                pos=(half_m + bevel_m) * out + (top - bevel_m) * UP,
                quat=quat,
                size=[bevel_m / math.sqrt(2), half_m + bevel_m, bevel_m / math.sqrt(2)],
                **looks,
                **STIFF,
                **WORLD_BITS,
            )
