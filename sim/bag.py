"""A bag that stands open: a firm bottom, four sides on soft hinges, and one or two limp handles that the pads take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mujoco
import numpy as np

from sim.parameters import choice, span, whole
from sim.robots import OBJECT_GROUP, PADS, SITE_GROUP, WORLD_BITS
from sim.textures import rgb
from sim.world import World
from tutelage_core.types import FloatArray

BAG = "bag"
LINKS = 9
"""Links of a handle's chain; an odd number, so that one is on top."""

HANDLE_RADIUS_M = 0.0035
HANDLE_BITS = {"contype": 4, "conaffinity": 2}
"""Handles meet the robot only; as limp as they are they would catch on the bag's rim for nothing."""

BOTTOM_M = 0.012
"""Thickness of the bottom [m]."""

OUTLINES = {"arch": 2.0, "oval": 2.8, "square": 6.0, "tent": 1.15}
"""Exponent of the curve |x|^p + |z|^p = 1 that a handle follows when it stands up."""


@dataclass(frozen=True)
class Bag:
    """The bag of a room, its sizes those of a small gift bag."""

    hue: float = span(0.0, 1.0)
    saturation: float = span(0.25, 0.9)
    value: float = span(0.4, 0.9)
    handle_hue: float = span(0.0, 1.0)
    handle_value: float = span(0.3, 0.95)
    width_m: float = span(0.095, 0.12, "m", lab=0.11)
    depth_m: float = span(0.042, 0.052, "m", lab=0.045)
    height_m: float = span(0.06, 0.08, "m", lab=0.07)
    handles: int = whole(1, 2)
    outline: str = choice("arch", "oval", held_out=("square", "tent"))
    loop_width_m: float = span(0.055, 0.07, "m", lab=0.06)
    loop_height_m: float = span(0.048, 0.06, "m", lab=0.055)
    mass_kg: float = span(0.08, 0.2, "kg", lab=0.15)
    friction: float = span(0.6, 1.0, lab=0.8)

    @property
    def tops(self) -> tuple[str, ...]:
        """Names of the links that are on top of the handles."""
        return tuple(_link(k, LINKS // 2) for k in range(self.handles))

    @property
    def links(self) -> tuple[str, ...]:
        """Names of all links of the handles."""
        return tuple(_link(k, i) for k in range(self.handles) for i in range(LINKS))


def add_bag(spec: mujoco.MjSpec, style: Bag, z_m: float) -> None:
    """Add the bag to a model before it is compiled; its frame is in its middle, x along its wide sides.

    Args:
        spec: the model.
        style: what it is like.
        z_m: height of the table [m].
    """
    body = spec.worldbody.add_body(name=BAG, pos=[0.5, 0.0, z_m + style.height_m / 2.0])
    body.add_freejoint(name=BAG)
    dark = [*rgb(style.hue, style.saturation, 0.8 * style.value), 1.0]
    body.add_geom(
        name=f"{BAG}_bottom",
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[style.width_m / 2.0, style.depth_m / 2.0, BOTTOM_M / 2.0],
        pos=[0.0, 0.0, (BOTTOM_M - style.height_m) / 2.0],
        mass=0.6 * style.mass_kg,
        condim=4,
        friction=[0.6, 0.005, 0.0001],
        group=OBJECT_GROUP,
        rgba=dark,
        **WORLD_BITS,
    )
    bright = [*rgb(style.hue, style.saturation, style.value), 1.0]
    for quarter in range(4):
        _add_side(body, style, quarter, bright if quarter % 2 else dark)
    for index in range(style.handles):
        _add_handle(spec, body, style, index)


def lift_m(world: World) -> float:
    """Return how high the lowest corner of the bag's bottom is above the table [m]."""
    style, body = world.room.part(Bag), world.data.body(BAG)
    x, y, z = body.xmat.reshape(3, 3)[2]
    reach = abs(x) * style.width_m / 2.0 + abs(y) * style.depth_m / 2.0
    return float(body.xpos[2] - z * style.height_m / 2.0 - reach) - world.table_z_m


def handles_top(world: World) -> FloatArray:
    """Return the point between the tops of the handles, shape (3,) [m]."""
    return np.mean([world.data.geom(name).xpos for name in world.room.part(Bag).tops], axis=0)


def pads_on_handles(world: World) -> int:
    """Return how many of the gripper's pads touch a handle, as of the last physics step."""
    return world.touching(PADS, world.room.part(Bag).links)


def _link(handle: int, index: int) -> str:
    return f"{BAG}_handle{handle}_{index}"


def _add_side(body: mujoco.MjsBody, style: Bag, quarter: int, rgba: list[float]) -> None:
    """Add the side that faces `quarter` quarter turns from x; it leans out a little, on a spring."""
    axis, sign = quarter % 2, 1.0 - 2.0 * (quarter // 2)
    depth, width = (style.width_m, style.depth_m) if axis == 0 else (style.depth_m, style.width_m)
    name, tall = f"{BAG}_side{quarter}", style.height_m / 2.0 - BOTTOM_M / 2.0
    foot, size, hinge = np.zeros(3), np.zeros(3), np.zeros(3)
    foot[axis], foot[2] = sign * 0.48 * depth, BOTTOM_M - style.height_m / 2.0
    size[axis], size[1 - axis], size[2] = 0.002, 0.485 * width, tall
    hinge[1 - axis] = sign if axis == 0 else -sign
    side = body.add_body(name=name, pos=foot)
    side.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=hinge,
        armature=1e-5,
        range=[-0.15, 0.5],
        limited=True,
        **_soft(stiffness=0.05, damping=0.002),
        springref=0.1,
    )
    side.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size,
        pos=[0.0, 0.0, tall],
        mass=0.08 * style.mass_kg,
        friction=[0.5, 0.005, 0.0001],
        group=OBJECT_GROUP,
        rgba=rgba,
        **WORLD_BITS,
    )


def _add_handle(spec: mujoco.MjSpec, body: mujoco.MjsBody, style: Bag, index: int) -> None:
    """Add a chain of links from rim to rim; its last end is tied to its seat."""
    single = style.handles == 1
    side_m = 0.0 if single else (2 * index - 1) * (style.depth_m / 2.0 - 0.004)
    half_m = 0.45 * style.width_m if single else style.loop_width_m / 2.0
    places = _outline(style, half_m) + np.array([0.0, side_m, style.height_m / 2.0])
    parent, origin = body, np.zeros(3)
    for i, (start, end) in enumerate(pairwise(places)):
        name = _link(index, i)
        parent, origin = parent.add_body(name=name, pos=start - origin), start
        parent.add_joint(
            name=name, type=mujoco.mjtJoint.mjJNT_BALL, armature=2e-6, **_soft(stiffness=0.02, damping=0.002)
        )
        parent.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[0.0, 0.0, 0.0, *(end - start)],
            size=[HANDLE_RADIUS_M, 0.0, 0.0],
            mass=0.001,
            condim=4,
            friction=[style.friction, 0.01, 0.0001],
            group=OBJECT_GROUP,
            rgba=[*rgb(style.handle_hue, 0.6, style.handle_value), 1.0],
            **HANDLE_BITS,
        )
    end, seat = f"{BAG}_end{index}", f"{BAG}_seat{index}"
    parent.add_site(name=end, pos=places[-1] - origin, group=SITE_GROUP)
    body.add_site(name=seat, pos=places[-1], group=SITE_GROUP)
    tie = spec.add_equality(type=mujoco.mjtEq.mjEQ_CONNECT, name1=end, name2=seat, objtype=mujoco.mjtObj.mjOBJ_SITE)
    tie.solref = [0.008, 1.0]


def _outline(style: Bag, half_m: float) -> FloatArray:
    """Return the ends of a handle's links as it stands up, links all alike long, shape (LINKS + 1, 3) [m]."""
    angle, power = np.linspace(0.0, math.pi, 361), 2.0 / OUTLINES[style.outline]
    cos, sin = np.cos(angle), np.clip(np.sin(angle), 0.0, 1.0)
    x, z = half_m * np.copysign(np.abs(cos) ** power, cos), style.loop_height_m * sin**power
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    at = np.linspace(0.0, length[-1], LINKS + 1)
    return np.stack([np.interp(at, length, x), np.zeros(LINKS + 1), np.interp(at, length, z)], axis=1)


def _soft(stiffness: float, damping: float) -> dict[str, Any]:
    """Return a joint's spring [N m/rad] and damper [N m s/rad]."""
    return {"stiffness": stiffness, "damping": damping}
