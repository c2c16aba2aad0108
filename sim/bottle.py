"""The bottle of a room: body, shoulder, neck and cap from primitives, and where it is in a world."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.parameters import choice, span
from sim.robots import OBJECT_GROUP, WORLD_BITS
from sim.rooms import Room
from sim.textures import rgb
from sim.world import World
from tutelage_core.types import FloatArray

BOTTLE = "bottle"
BODY = "bottle_body"
BOTTLE_GEOMS = (BODY, "bottle_shoulder", "bottle_neck", "bottle_cap")

BELOW_SHOULDER_M = 0.012
"""How far below the upper end of the body the pads take hold [m]; they are 18 mm wide."""

HUES = {"red": 0.0, "orange": 0.085, "yellow": 0.155, "green": 0.36, "blue": 0.6, "purple": 0.78}

BODY_MASS_SHARE = 0.86
"""What the body and its contents weigh of the whole; the rest is shared by shoulder, neck and cap."""


@dataclass(frozen=True)
class Kind:
    """What tells one kind of bottle from another; lengths are shares of the room's radius.

    Attributes:
        word: what people call it.
        flat: 0 for a round body, else depth of a box-shaped one as a share of its width.
        shoulder: height of the dome above the body.
        neck: radius of the neck.
        neck_m: shortest and longest neck, the cap included [m].
        cap: radius of the cap.
        cap_m: height of the cap [m].
    """

    word: str
    flat: float
    shoulder: float
    neck: float
    neck_m: tuple[float, float]
    cap: float
    cap_m: float


KINDS = {
    "soda": Kind("bottle", 0.0, 0.75, 0.36, (0.028, 0.038), 0.44, 0.014),
    "wine": Kind("bottle", 0.0, 0.6, 0.38, (0.040, 0.050), 0.42, 0.020),
    "medicine": Kind("bottle", 0.0, 0.35, 0.60, (0.018, 0.024), 0.72, 0.014),
    "square": Kind("square bottle", 1.0, 0.4, 0.40, (0.024, 0.034), 0.48, 0.014),
    "jar": Kind("jar", 0.0, 0.15, 0.80, (0.009, 0.011), 0.86, 0.008),
    "flask": Kind("flask", 0.66, 0.3, 0.34, (0.020, 0.030), 0.42, 0.012),
}


@dataclass(frozen=True)
class Bottle:
    """The bottle of a room."""

    kind: str = choice("soda", "wine", "medicine", held_out=("square", "jar", "flask"), lab="soda")
    radius_m: float = span(0.026, 0.032, "m", lab=0.029)
    body_m: float = span(0.072, 0.095, "m", lab=0.085)
    slenderness: float = span(0.0, 1.0, lab=0.5)
    mass_kg: float = span(0.06, 0.3, "kg", lab=(0.12, 0.18))
    friction: float = span(0.4, 0.8, lab=(0.5, 0.7))
    rolling_friction_m: float = span(0.0008, 0.002, "m")
    colour: str = choice(*HUES, lab="green")
    hue_shift: float = span(-0.022, 0.022, bands=16)
    saturation: float = span(0.55, 0.95, lab=(0.7, 0.85))
    value: float = span(0.45, 0.9, lab=(0.55, 0.7))
    label_value: float = span(0.75, 0.95)
    cap_hue: float = span(0.0, 1.0, lab=(0.55, 0.65))
    cap_value: float = span(0.2, 0.9, lab=(0.2, 0.4))

    @property
    def shape(self) -> Kind:
        """What its kind looks like."""
        return KINDS[self.kind]

    @property
    def depth_m(self) -> float:
        """Half the depth of a box-shaped body, the radius of a round one [m]."""
        return self.radius_m * (self.shape.flat or 1.0)

    @property
    def grip_m(self) -> float:
        """Where it is gripped: height above its bottom [m]."""
        return self.body_m - BELOW_SHOULDER_M

    @property
    def height_m(self) -> float:
        """From the bottom to the top of the cap [m]."""
        shape = self.shape
        low, high = shape.neck_m
        return self.body_m + shape.shoulder * self.depth_m + low + (high - low) * self.slenderness

    def reach_down(self, matrix: FloatArray) -> float:
        """Return how far the body reaches below its middle in the orientation `matrix`, shape (3, 3) [m]."""
        x, y, z = np.abs(matrix[2])
        across = x * self.depth_m + y * self.radius_m if self.shape.flat else math.hypot(x, y) * self.radius_m
        return float(across + z * self.body_m / 2.0)


def add_bottle(spec: mujoco.MjSpec, room: Room, foot: tuple[float, float, float]) -> None:
    """Add the room's bottle to a model, upright with the middle of its bottom at `foot` [m].

    Its body has the z axis from bottom to cap; the wider side of a flat one lies along y.
    """
    style = room.part(Bottle)
    shape, half = style.shape, style.body_m / 2.0
    body = spec.worldbody.add_body(name=BOTTLE, pos=list(foot))
    body.add_freejoint(name=BOTTLE)
    colour = [*rgb(HUES[style.colour] + style.hue_shift, style.saturation, style.value), 1.0]
    rest = (1.0 - BODY_MASS_SHARE) / 3.0 * style.mass_kg
    # condim 6: without rolling friction a cylinder that lies on its side never comes to rest
    solid = {
        "group": OBJECT_GROUP,
        "condim": 6,
        "friction": [style.friction, 0.005, style.rolling_friction_m],
        **WORLD_BITS,
    }
    box, cylinder = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CYLINDER
    size = [style.depth_m, style.radius_m, half] if shape.flat else [style.radius_m, half, 0.0]
    body.add_geom(
        name=BODY,
        type=box if shape.flat else cylinder,
        pos=[0.0, 0.0, half],
        size=size,
        mass=BODY_MASS_SHARE * style.mass_kg,
        rgba=colour,
        **solid,
    )
    paper = 0.0004
    band = (
        [style.depth_m + paper, style.radius_m + paper, 0.5 * half]
        if shape.flat
        else [style.radius_m + paper, 0.5 * half, 0.0]
    )
    body.add_geom(
        name="bottle_label",
        type=box if shape.flat else cylinder,
        pos=[0.0, 0.0, 0.75 * half],
        size=band,
        mass=0.0,
        group=OBJECT_GROUP,
        contype=0,
        conaffinity=0,
        rgba=[*rgb(style.cap_hue, 0.12, style.label_value), 1.0],
    )
    dome = shape.shoulder * style.depth_m
    body.add_geom(
        name="bottle_shoulder",
        type=mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        pos=[0.0, 0.0, style.body_m],
        size=[0.98 * style.depth_m, 0.98 * style.radius_m, dome],
        mass=rest,
        rgba=colour,
        **solid,
    )
    for name, width, low, high, tint in (
        ("bottle_neck", shape.neck, style.body_m, style.height_m - shape.cap_m, colour),
        (
            "bottle_cap",
            shape.cap,
            style.height_m - shape.cap_m,
            style.height_m,
            [*rgb(style.cap_hue, 0.6, style.cap_value), 1.0],
        ),
    ):
        body.add_geom(
            name=name,
            type=cylinder,
            pos=[0.0, 0.0, (low + high) / 2.0],
            size=[width * style.depth_m, (high - low) / 2.0, 0.0],
            mass=rest,
            rgba=tint,
            **solid,
        )


@dataclass(frozen=True)
class BottlePose:
    """Where a world's bottle is.

    Attributes:
        style: its sizes.
        foot: middle of its bottom, shape (3,) [m].
        matrix: its orientation, shape (3, 3); the last column points from bottom to cap.
        table_z_m: height of the table [m].
        speed_m_s: how fast the faster of its two ends moves [m/s].
    """

    style: Bottle
    foot: FloatArray
    matrix: FloatArray
    table_z_m: float
    speed_m_s: float

    @property
    def axis(self) -> FloatArray:
        """Unit vector from bottom to cap, shape (3,)."""
        return self.matrix[:, 2]

    @property
    def grip(self) -> FloatArray:
        """Where it is gripped, shape (3,) [m]."""
        return self.foot + self.style.grip_m * self.axis

    @property
    def cap(self) -> FloatArray:
        """Top of the cap, shape (3,) [m]."""
        return self.foot + self.style.height_m * self.axis

    @property
    def lowest_m(self) -> float:
        """Height of the body's lowest point above the table [m]."""
        middle_z = self.foot[2] + 0.5 * self.style.body_m * self.matrix[2, 2]
        return float(middle_z) - self.style.reach_down(self.matrix) - self.table_z_m

    @property
    def tilt_rad(self) -> float:
        """Angle between its axis and the vertical [rad]."""
        return math.acos(min(max(float(self.matrix[2, 2]), -1.0), 1.0))

    @property
    def yaw_rad(self) -> float:
        """Direction of its cap in the plane [rad]."""
        return math.atan2(self.matrix[1, 2], self.matrix[0, 2])


def see_bottle(world: World) -> BottlePose:
    """Return where the world's bottle is now."""
    style, body = world.room.part(Bottle), world.data.body(BOTTLE)
    matrix = body.xmat.reshape(3, 3).copy()
    dof = int(world.model.joint(BOTTLE).dofadr[0])
    # a free joint's linear velocity is the foot's in the base frame, its angular velocity is in the body's own
    at_foot, spin = world.data.qvel[dof : dof + 3], matrix @ world.data.qvel[dof + 3 : dof + 6]
    at_cap = at_foot + np.cross(spin, style.height_m * matrix[:, 2])
    speed = max(float(np.linalg.norm(at_foot)), float(np.linalg.norm(at_cap)))
    return BottlePose(style, body.xpos.copy(), matrix, world.table_z_m, speed)
