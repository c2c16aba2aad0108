"""Shapes of things that parallel pads can take from above: their looks, their extents, their grips."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.experts import HALF_TURN, UP, Grip, Hand, pointing, ramp
from sim.robots import OBJECT_GROUP, WORLD_BITS
from tutelage_core.errors import UnknownNameError
from tutelage_core.types import FloatArray

COMMON_SHAPES = ("box", "cylinder", "hexagon")
HELD_OUT_SHAPES = ("capsule", "egg", "triangle", "cross")

SHAPE_WORDS: Mapping[str, str] = {
    "cube": "cube",
    "box": "block",
    "cylinder": "cylinder",
    "hexagon": "hexagonal prism",
    "capsule": "capsule",
    "egg": "egg",
    "triangle": "triangular prism",
    "cross": "cross",
}
"""What a shape is called in an instruction."""

LONG = 1.25
"""A box is so much longer than wide."""

FAT, STRETCH = 0.8, 1.5
"""Thickness and length of capsule and egg, as shares of the width."""

ARM = 0.36
"""Thickness of a cross's arms, as a share of its width."""

ROLLING_M = 0.0006
"""Rolling friction of shapes that would roll for ever [m]."""

WIDEST_M = 0.064
"""Thickest that the pads take, with room to spare [m]."""

LEVEL = 0.4
"""Largest slope of a side, as its normal's vertical part, at which the pads still take it."""

LOWEST_GRIP_M = 0.0115
"""Height of the TCP above what the thing stands on at which the pads just clear it [m]."""

BELOW_TOP_M, ABOVE_MIDDLE_M = 0.013, 0.006
"""The pads take a thing so far below its top, and no higher than this above its middle [m]."""

FINGER_M = 0.01
"""Thickness of a pad [m]."""

RING = (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2)
"""Turns that are tried on a thing that is round about the vertical [rad]."""

CLASPED_COST = 3.0
"""A grip that the hand already has is better than others by so much turning [rad]."""

LARGEST_TURN = 1.9
"""The hand turns no further from straight ahead [rad]."""


@dataclass(frozen=True)
class Shape:
    """A shape, in a frame at its middle in which it stands on the table as it should.

    Attributes:
        kind: one of SHAPE_WORDS; a room draws COMMON_SHAPES or HELD_OUT_SHAPES.
        width_m: its size across: for a prism the distance of the pads that grip it [m].
        height_m: its height; capsule and egg lie and are as high as thick [m].
    """

    kind: str
    width_m: float
    height_m: float

    def __post_init__(self) -> None:
        """Refuse an unknown kind.

        Raises:
            UnknownNameError: the legal ones are listed.
        """
        if self.kind not in SHAPE_WORDS:
            raise UnknownNameError("shape", self.kind, SHAPE_WORDS)

    @property
    def rest_m(self) -> float:
        """Height of its middle above what it stands on [m]."""
        return FAT * self.width_m / 2 if self.kind in ("capsule", "egg") else self.height_m / 2

    @property
    def radius_m(self) -> float:
        """Radius of the upright cylinder that it fits into, standing [m]."""
        turns = np.linspace(0.0, 2.0 * math.pi, 48, endpoint=False)
        return max(self.extent(np.array([math.cos(t), math.sin(t), 0.0])) for t in turns)

    def corners(self) -> FloatArray:
        """Return the points whose hull it is, but for roundings, shape (n, 3) [m]."""
        half, tall = self.width_m / 2, self.height_m / 2
        if self.kind in ("cube", "box"):
            flat = [(x * (LONG if self.kind == "box" else 1.0) * half, y * half) for x in (-1, 1) for y in (-1, 1)]
        elif self.kind == "hexagon":
            flat = [_polar(half / math.cos(math.pi / 6), (k + 0.5) * math.pi / 3) for k in range(6)]
        elif self.kind == "triangle":
            flat = [_polar(2.0 * self.width_m / 3, (2 * k + 1) * math.pi / 3) for k in range(3)]
        elif self.kind == "cross":
            arms = [(x * half, y * ARM * half) for x in (-1, 1) for y in (-1, 1)]
            flat = arms + [(y, x) for x, y in arms]
        elif self.kind == "cylinder":
            flat = [(0.0, 0.0)]
        else:
            end = (STRETCH - FAT) * half if self.kind == "capsule" else 0.0
            return np.array([[-end, 0.0, 0.0], [end, 0.0, 0.0]])
        return np.array([(x, y, z) for z in (-tall, tall) for x, y in flat])

    def extent(self, direction: FloatArray) -> float:
        """Return how far it reaches from its middle along a unit vector in its own frame, shape (3,) [m]."""
        far, half = float((self.corners() @ direction).max()), self.width_m / 2
        if self.kind == "cylinder":
            return far + half * math.hypot(direction[0], direction[1])
        if self.kind == "capsule":
            return far + FAT * half
        if self.kind == "egg":
            return float(np.linalg.norm(half * np.array([STRETCH, FAT, FAT]) * direction))
        return far

    def closings(self, matrix: FloatArray) -> list[FloatArray]:
        """Return the level directions, unit vectors in the world, along which pads can close on it.

        Args:
            matrix: rotation of its frame in the world, shape (3, 3).
        """
        x, y, z = np.eye(3)
        sides, axis = [x, y, z], None
        if self.kind in ("hexagon", "triangle"):
            sides = [z] + [np.array([*_polar(1.0, k * 2.0 * math.pi / 3), 0.0]) for k in range(3)]
        elif self.kind == "cylinder":
            sides, axis = [z], matrix @ z
        elif self.kind in ("capsule", "egg"):
            sides, axis = [], matrix @ x
        found = [_level(side) for side in (matrix @ side for side in sides) if abs(side[2]) < LEVEL]
        if axis is not None and math.hypot(axis[0], axis[1]) < LEVEL:
            found += [np.array([-math.sin(turn), math.cos(turn), 0.0]) for turn in RING]
        elif axis is not None:
            found.append(_level(np.cross(UP, axis)))
        return found or [_level(matrix[:, int(np.argmin(np.abs(matrix[2])))])]

    def grip(
        self,
        hand: Hand,
        position: FloatArray,
        matrix: FloatArray,
        open_m: float,
        spare_m: float = 0.04,
        crowding: Callable[[FloatArray], float] | None = None,
    ) -> Grip:
        """Return the grip from above that suits it best as it stands, lies or leans.

        Args:
            hand: that shall take it; of equal grips it takes the one that it is turned to.
            position: of its middle, shape (3,) [m].
            matrix: rotation of its frame in the world, row-major, 9 numbers.
            open_m: distance of the pads when fully open [m].
            spare_m: how much wider than the thing the fingers open [m].
            crowding: says how badly fingers fit at two places in the plane, shape (2, 2) [m], in radians of turning.
        """
        matrix = np.asarray(matrix).reshape(3, 3)
        low, high = self.extent(-matrix[2]), self.extent(matrix[2])
        height = max(LOWEST_GRIP_M - low, min(high - BELOW_TOP_M, ABOVE_MIDDLE_M))
        grips: list[tuple[float, Grip]] = []
        for closing in self.closings(matrix):
            one, other = self.extent(matrix.T @ closing), self.extent(-matrix.T @ closing)
            middle, width = position + (one - other) / 2 * closing, one + other
            cost = 20.0 * max(width - WIDEST_M, 0.0) / FINGER_M
            if crowding is not None:
                out = (width + spare_m) / 2 + FINGER_M
                cost += crowding(np.array([middle[:2] - out * closing[:2], middle[:2] + out * closing[:2]]))
            yaw = math.remainder(math.atan2(-closing[0], closing[1]), HALF_TURN)
            opening = min((width + spare_m) / open_m, 1.0)
            for turn in (yaw, yaw - math.copysign(HALF_TURN, yaw)):
                if abs(turn) < LARGEST_TURN:
                    grip = Grip(middle + height * UP, pointing(turn), width, opening=opening)
                    change = (
                        0.5 * abs(turn) + 0.5 * abs(turn - hand.heading) - CLASPED_COST * _clasped(hand, grip, turn)
                    )
                    grips.append((cost + change, grip))
        return min(grips, key=lambda found: found[0])[1]


def add_shape(
    body: mujoco.MjsBody,
    spec: mujoco.MjSpec,
    name: str,
    shape: Shape,
    mass_kg: float,
    friction: float,
    colour: tuple[float, float, float],
    position: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Add a shape's geoms, which `shape_geoms` names, to a body.

    Args:
        body: gets the geoms.
        spec: model of the body; a prism adds a mesh.
        name: of the thing; its geoms and mesh begin with it.
        shape: its shape.
        mass_kg: its mass [kg].
        friction: sliding friction.
        colour: red, green and blue, 0..1.
        position: of its middle in the body [m].
    """
    half, tall, kinds = shape.width_m / 2, shape.height_m / 2, mujoco.mjtGeom
    names = shape_geoms(name, shape)
    rolls = shape.kind in ("capsule", "egg", "cylinder")
    looks = {
        "mass": mass_kg / len(names),
        "friction": [friction, 0.005, ROLLING_M if rolls else 0.0001],
        "condim": 6 if rolls else 4,
        "group": OBJECT_GROUP,
        "rgba": [*colour, 1.0],
        **WORLD_BITS,
    }
    if shape.kind in ("hexagon", "triangle"):
        spec.add_mesh(name=name).uservert = shape.corners().reshape(-1)
        body.add_geom(name=names[0], type=kinds.mjGEOM_MESH, meshname=name, pos=position, **looks)
    elif shape.kind == "cross":
        for geom, size in zip(names, ([half, ARM * half, tall], [ARM * half, half, tall]), strict=True):
            body.add_geom(name=geom, type=kinds.mjGEOM_BOX, size=size, pos=position, **looks)
    elif shape.kind == "capsule":
        # a capsule of MuJoCo lies along z
        size, turned = [FAT * half, (STRETCH - FAT) * half, 0.0], [math.sqrt(0.5), 0.0, math.sqrt(0.5), 0.0]
        body.add_geom(name=names[0], type=kinds.mjGEOM_CAPSULE, size=size, quat=turned, pos=position, **looks)
    else:
        kind, size = {
            "cube": (kinds.mjGEOM_BOX, [half, half, tall]),
            "box": (kinds.mjGEOM_BOX, [LONG * half, half, tall]),
            "cylinder": (kinds.mjGEOM_CYLINDER, [half, tall, 0.0]),
            "egg": (kinds.mjGEOM_ELLIPSOID, [STRETCH * half, FAT * half, FAT * half]),
        }[shape.kind]
        body.add_geom(name=names[0], type=kind, size=size, pos=position, **looks)


def shape_geoms(name: str, shape: Shape) -> tuple[str, ...]:
    """Return the names of the geoms of a thing of this shape."""
    return (name, f"{name}_across") if shape.kind == "cross" else (name,)


def _clasped(hand: Hand, grip: Grip, turn: float) -> float:
    """Return how surely the fingers already have this grip, or nearly, 0..1."""
    near = 1.0 - ramp(float(np.linalg.norm(hand.measured - grip.position)), 0.02, 0.04)
    tight = ramp(grip.width_m + 0.006 - hand.width_m, 0.0, 0.004)
    return near * tight * (1.0 - ramp(abs(turn - hand.heading), 0.1, 0.3))


def _polar(radius: float, turn: float) -> tuple[float, float]:
    return radius * math.cos(turn), radius * math.sin(turn)


def _level(direction: FloatArray) -> FloatArray:
    flat = np.array([direction[0], direction[1], 0.0])
    return flat / max(float(np.linalg.norm(flat)), 1e-9)
