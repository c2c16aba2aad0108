"""A cabinet that stands on the table, with a drawer or a hinged door, and the geometry of its moving part."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.clutter import Rectangle
from sim.handles import HANDLE_SITE, Handle, add_handle
from sim.parameters import choice, span, whole
from sim.robots import OBJECT_GROUP, WORLD_BITS
from sim.rooms import MAX_SEED, Room, Table
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS, add_texture, rgb, texture
from sim.world import World
from tutelage_core.rotations import multiply_xyzw, quaternion_xyzw_to_matrix, rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

CABINET, LEAF = "cabinet", "leaf"
"""Names of the cabinet's body and joint, and of the drawer's or door's."""

PANEL = "panel"
WALL_M, PANEL_M, GAP_M = 0.009, 0.014, 0.003
"""Thickness of the walls, of the panel in front, and the gap round it [m]."""

SHADE = 0.45
"""How much darker a cabinet is inside."""

PLACE_M = ((0.42, 0.47), (-0.21, -0.17))
"""Where the middle of the front may stand, x and y [m]."""

COLOURS = ("red", "yellow", "green", "turquoise", "blue", "purple")
"""Names of the hues, a sixth of the circle each."""

YAW_RAD = (math.radians(-20.0), 0.0)
"""How the front may be turned from facing the robot's left [rad]."""

STANDS_ON = Rectangle(0.2, 0.66, -0.56, 0.0)
"""Where a cabinet may come, and its drawer or door."""


@dataclass(frozen=True)
class Cabinet:
    """The cabinet of a room."""

    width_m: float = span(0.17, 0.21, "m", lab=0.19, bands=8)
    height_m: float = span(0.155, 0.19, "m", lab=0.17)
    depth_m: float = span(0.15, 0.18, "m", lab=0.165)
    mass_kg: float = span(9.0, 14.0, "kg")
    friction: float = span(0.8, 1.1)
    hue: float = span(0.0, 1.0, lab=(0.56, 0.62), bands=32)
    saturation: float = span(0.1, 0.75, lab=(0.4, 0.5))
    value: float = span(0.4, 0.9, lab=(0.7, 0.8))
    contrast: float = span(0.05, 0.2)
    panel_shift: float = span(-0.15, 0.15)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS)
    grain: int = whole(0, MAX_SEED)


@dataclass(frozen=True)
class Drawer:
    """How the drawer of a room runs."""

    travel_m: float = span(0.09, 0.12, "m", lab=0.105)
    mass_kg: float = span(0.4, 1.0, "kg")
    friction_n: float = span(0.8, 3.0, "N")
    damping_ns_m: float = span(4.0, 12.0, "N s/m")


@dataclass(frozen=True)
class Door:
    """How the door of a room is hung; `hinge` is its side as seen by someone in front of it."""

    hinge: str = choice("left", "right")
    mass_kg: float = span(0.3, 0.8, "kg")
    friction_nm: float = span(0.06, 0.2, "Nm")
    damping_nms_rad: float = span(0.1, 0.3, "Nm s/rad")


DOOR_STOP_RAD = math.radians(100.0)


def add_cabinet(spec: mujoco.MjSpec, room: Room) -> mujoco.MjsBody:
    """Add the carcass, which stands on its own weight, and return its body.

    The body's frame has its origin below the middle of the front: x along the front, y out of it, z up.
    """
    style, z = room.part(Cabinet), room.part(Table).height_m
    first = rgb(style.hue, style.saturation, style.value)
    second = rgb(style.hue, 0.9 * style.saturation, max(style.value - style.contrast, 0.1))
    add_texture(spec, CABINET, texture(style.pattern, style.grain, first, second))
    body = spec.worldbody.add_body(name=CABINET, pos=[0.0, -1.0, z])
    body.add_freejoint(name=CABINET)
    half, depth, tall, wall = style.width_m / 2.0, style.depth_m / 2.0, style.height_m / 2.0, WALL_M / 2.0
    inner = tall - 2.0 * wall
    walls = (
        ((0.0, -depth, wall), (half, depth, wall)),
        ((0.0, -depth, 2.0 * tall - wall), (half, depth, wall)),
        ((wall - half, -depth, tall), (wall, depth, inner)),
        ((half - wall, -depth, tall), (wall, depth, inner)),
        ((0.0, wall - 2.0 * depth, tall), (half - 2.0 * wall, wall, inner)),
    )
    for index, (middle, size) in enumerate(walls):
        _add_board(body, f"{CABINET}{index}", middle, size, style.mass_kg / len(walls), style.friction)
    return body


def add_drawer(spec: mujoco.MjSpec, room: Room) -> None:
    """Add a cabinet with a drawer."""
    cabinet, style = room.part(Cabinet), room.part(Drawer)
    leaf = add_cabinet(spec, room).add_body(name=LEAF)
    leaf.add_joint(
        name=LEAF,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0.0, 1.0, 0.0],
        limited=True,
        range=[0.0, style.travel_m],
        frictionloss=style.friction_n,
        damping=style.damping_ns_m,
    )
    middle = np.array([0.0, PANEL_M / 2.0, cabinet.height_m / 2.0])
    _add_panel(spec, leaf, room, middle, 0.6 * style.mass_kg)
    half, tall = cabinet.width_m / 2.0 - WALL_M - GAP_M, cabinet.height_m / 2.0 - WALL_M - GAP_M
    reach, low, wall = cabinet.depth_m - WALL_M - GAP_M, WALL_M + GAP_M, WALL_M / 2.0
    tray = (
        ((0.0, -reach / 2.0, low + wall), (half, reach / 2.0, wall)),
        ((wall - half, -reach / 2.0, low + 0.7 * tall), (wall, reach / 2.0, 0.7 * tall)),
        ((half - wall, -reach / 2.0, low + 0.7 * tall), (wall, reach / 2.0, 0.7 * tall)),
        ((0.0, wall - reach, low + 0.7 * tall), (half, wall, 0.7 * tall)),
    )
    inside = _inside(cabinet)
    for index, (place, size) in enumerate(tray):
        _add_board(leaf, f"tray{index}", place, size, 0.1 * style.mass_kg, 0.5, inside)
    add_handle(leaf, room.part(Handle), middle + np.array([0.0, PANEL_M / 2.0, -0.01]), upright=False, mass_kg=0.03)
    spec.add_exclude(bodyname1=CABINET, bodyname2=LEAF)


def add_door(spec: mujoco.MjSpec, room: Room) -> None:
    """Add a cabinet with a hinged door and a shelf behind it."""
    cabinet, style, handle = room.part(Cabinet), room.part(Door), room.part(Handle)
    body = add_cabinet(spec, room)
    half = cabinet.width_m / 2.0
    # seen from in front, x points to the left
    side = 1.0 if style.hinge == "left" else -1.0
    leaf = body.add_body(name=LEAF, pos=[side * half, 0.0, 0.0])
    leaf.add_joint(
        name=LEAF,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0.0, 0.0, -side],
        limited=True,
        range=[0.0, DOOR_STOP_RAD],
        frictionloss=style.friction_nm,
        damping=style.damping_nms_rad,
    )
    middle = np.array([-side * half, PANEL_M / 2.0, cabinet.height_m / 2.0])
    _add_panel(spec, leaf, room, middle, style.mass_kg)
    depth = cabinet.depth_m / 2.0
    shelf = (half - WALL_M, depth - WALL_M, WALL_M / 2.0)
    _add_board(body, "shelf", (0.0, -depth, cabinet.height_m / 2.0), shelf, 0.3, 0.5, _inside(cabinet))
    shift = np.array([-side * (half - 0.03), PANEL_M / 2.0, -0.055 * cabinet.height_m])
    add_handle(leaf, handle, middle + shift, upright=True, mass_kg=0.03)
    spec.add_exclude(bodyname1=CABINET, bodyname2=LEAF)


def place_cabinet(world: World, rng: np.random.Generator, opening: float) -> None:
    """Stand the cabinet at the robot's right, facing its left, opened by `opening` [m or rad]."""
    place = [float(rng.uniform(*limits)) for limits in PLACE_M]
    yaw = float(rng.uniform(*YAW_RAD))
    world.place_body(CABINET, np.array([*place, world.table_z_m]), rotation_vector_to_xyzw(np.array([0.0, 0.0, yaw])))
    world.data.qpos[world.model.joint(LEAF).qposadr[0]] = opening


@dataclass(frozen=True)
class Leaf:
    """A drawer or door as it stands now.

    Attributes:
        opening: of its joint, 0 shut [m or rad].
        speed: at which it opens [m/s or rad/s].
        stop: the joint's upper limit [m or rad].
        handle: foot of the handle on the panel, in the base frame, shape (3,) [m].
        matrix: axes of the handle's frame as columns, shape (3, 3): along the panel, out of it, up.
        axis: of the joint, in the base frame, shape (3,).
        anchor: a point on it, shape (3,) [m].
        hinged: whether it turns instead of sliding.
    """

    opening: float
    speed: float
    stop: float
    handle: FloatArray
    matrix: FloatArray
    axis: FloatArray
    anchor: FloatArray
    hinged: bool

    @property
    def lever_m(self) -> float:
        """How far the handle moves for each unit of opening [m or m/rad]."""
        return float(np.linalg.norm(np.cross(self.axis, self.handle - self.anchor))) if self.hinged else 1.0

    def place(self, local: FloatArray, further: float = 0.0) -> FloatArray:
        """Return where a point of the handle's frame is once the leaf is `further` open, shape (3,) [m]."""
        here = self.handle + self.matrix @ local
        if not self.hinged:
            return here + further * self.axis
        turn = quaternion_xyzw_to_matrix(rotation_vector_to_xyzw(further * self.axis))
        return self.anchor + turn @ (here - self.anchor)

    def heading(self, further: float = 0.0) -> float:
        """Return the direction in the plane that the panel faces once the leaf is `further` open [rad]."""
        facing = math.atan2(self.matrix[1, 1], self.matrix[0, 1])
        return facing + further * float(self.axis[2]) if self.hinged else facing


def see_leaf(world: World) -> Leaf:
    """Return the state of the world's drawer or door."""
    data, joint, site = world.data, world.model.joint(LEAF), world.data.site(HANDLE_SITE)
    return Leaf(
        opening=float(data.qpos[joint.qposadr[0]]),
        speed=float(data.qvel[joint.dofadr[0]]),
        stop=float(joint.range[1]),
        handle=site.xpos.copy(),
        matrix=site.xmat.reshape(3, 3).copy(),
        axis=data.xaxis[joint.id].copy(),
        anchor=data.xanchor[joint.id].copy(),
        hinged=bool(joint.type[0] == mujoco.mjtJoint.mjJNT_HINGE),
    )


def shifted(world: World, position: FloatArray, quaternion_xyzw: FloatArray) -> tuple[float, float]:
    """Return how far the cabinet stands from a pose [m] and how much it is turned from it [rad]."""
    body = world.data.body(CABINET)
    now = body.xquat[[1, 2, 3, 0]]
    turn = multiply_xyzw(now, quaternion_xyzw * np.array([-1.0, -1.0, -1.0, 1.0]))
    return float(np.linalg.norm(body.xpos - position)), 2.0 * math.acos(min(abs(float(turn[3])), 1.0))


def colour_word(style: Cabinet) -> str:
    """Return what the cabinet's colour is called."""
    if style.saturation < 0.2:
        return "grey"
    if style.hue * 12.0 < 1.5 and style.value < 0.65:
        return "brown"
    return COLOURS[round(6.0 * style.hue) % 6]


def _inside(style: Cabinet) -> list[float]:
    return [*rgb(style.hue, 0.6 * style.saturation, SHADE * style.value), 1.0]


def _add_panel(spec: mujoco.MjSpec, leaf: mujoco.MjsBody, room: Room, middle: FloatArray, mass_kg: float) -> None:
    """Add the panel in front, as wide and high as the cabinet but for a gap; its picture lies in its face."""
    style = room.part(Cabinet)
    tone = float(np.clip(style.value + math.copysign(0.08, style.panel_shift) + style.panel_shift, 0.2, 0.95))
    other = rgb(style.hue, style.saturation, max(tone - style.contrast, 0.1))
    add_texture(spec, PANEL, texture(style.pattern, style.grain, rgb(style.hue, style.saturation, tone), other))
    leaf.add_geom(
        name=PANEL,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=middle,
        quat=[math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0],
        size=[style.width_m / 2.0 - GAP_M / 2.0, style.height_m / 2.0 - GAP_M, PANEL_M / 2.0],
        mass=mass_kg,
        friction=[0.5, 0.005, 0.0001],
        group=OBJECT_GROUP,
        material=PANEL,
        **WORLD_BITS,
    )


def _add_board(
    body: mujoco.MjsBody,
    name: str,
    middle: tuple[float, float, float],
    size: tuple[float, float, float],
    mass_kg: float,
    friction: float,
    colour: list[float] | None = None,
) -> None:
    looks = {"material": CABINET} if colour is None else {"rgba": colour}
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=middle,
        size=size,
        mass=mass_kg,
        friction=[friction, 0.005, 0.0001],
        group=OBJECT_GROUP,
        **looks,
        **WORLD_BITS,
    )
