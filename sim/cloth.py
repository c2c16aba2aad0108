"""A cloth: a grid of points whose edges keep their length, without stiffness in bending, and held by friction alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.experts import Hand, approach, blend, pointing, ramp
from sim.robots import OBJECT_GROUP, PADS
from sim.textures import Colour, add_texture, rgb, texture
from sim.world import World
from tutelage_core.rotations import quaternion_xyzw_to_matrix
from tutelage_core.types import FloatArray

RADIUS_M = 0.003
"""Half of the cloth's thickness in contact [m]."""

REST_M = 0.004
"""Height of a cloth's points above the table when it is laid down [m]."""

EDGE_SOLREF = (0.01, 1.0)
PINCH_HALF_M = (0.016, 0.016)
"""Half of the box between the pads in which points count as pinched, along the hand's x and z [m]."""

PRESS_M = 0.008
"""Height of the TCP above the table at which the finger tips press on it [m]."""

ALIGNED_M = 0.008
"""How far beside its spot a pinch may begin [m]."""

GRIPPED_WIDTH_M = 0.016
"""Distance between the pads up to which they press on a fold [m]."""


@dataclass(frozen=True)
class Weave:
    """What a cloth is made of.

    Attributes:
        count: points along x and y.
        spacing_m: distance between them; the pads are 18 mm wide and miss a coarser grid [m].
        mass_kg: of the whole.
        friction: sliding friction.
        hue: of its colour, 0..1.
        saturation: of its colour, 0..1.
        value: of its colour, 0..1.
        pattern: one of the families of `sim.textures`.
        grain: draws the pattern.
    """

    count: tuple[int, int]
    spacing_m: float
    mass_kg: float
    friction: float
    hue: float
    saturation: float
    value: float
    pattern: str
    grain: int

    @property
    def size_m(self) -> tuple[float, float]:
        """Length of its sides along x and y [m]."""
        return (self.count[0] - 1) * self.spacing_m, (self.count[1] - 1) * self.spacing_m

    @property
    def colours(self) -> tuple[Colour, Colour]:
        """The two colours that its pattern mixes."""
        other = self.value - 0.12 if self.value > 0.6 else self.value + 0.12
        return rgb(self.hue, self.saturation, self.value), rgb(self.hue, 0.8 * self.saturation, other)


def add_cloth(spec: mujoco.MjSpec, name: str, weave: Weave, z_m: float) -> None:
    """Add a cloth to a model before it is compiled; `lay` puts it where it shall be.

    Args:
        spec: the model.
        name: of the cloth and its material.
        weave: what it is made of.
        z_m: height of the table [m].
    """
    add_texture(spec, name, texture(weave.pattern, weave.grain, *weave.colours))
    flex = spec.worldbody.make_flex(
        name=name,
        type="grid",
        dim=2,
        count=[*weave.count, 1],
        spacing=[weave.spacing_m, weave.spacing_m, 1.0],
        radius=RADIUS_M,
        mass=weave.mass_kg,
        inertiabox=0.005,
        pos=[0.5, 0.0, z_m + REST_M],
        equality=1,
        elastic2d=0,
    )
    flex.contype, flex.conaffinity, flex.condim = 1, 3, 3
    flex.friction = [weave.friction, 0.005, 0.0001]
    flex.selfcollide = mujoco.mjtFlexSelf.mjFLEXSELF_NONE
    flex.group = OBJECT_GROUP
    flex.material = name
    along_x, along_y = (np.linspace(0.0, 1.0, n) for n in weave.count)
    flex.texcoord = np.stack(np.meshgrid(along_x, along_y, indexing="ij"), axis=-1).ravel()
    flex.elemtexcoord = flex.elem
    for equality in spec.equalities:
        if equality.type == mujoco.mjtEq.mjEQ_FLEX and equality.name1 == name:
            equality.solref = list(EDGE_SOLREF)


class Cloth:
    """A cloth as it lies or hangs now, read from the world's state."""

    def __init__(self, world: World, name: str) -> None:
        """Find the cloth of this name."""
        model = world.model
        self._world = world
        self._flex = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_FLEX, name)
        first, count = int(model.flex_vertadr[self._flex]), int(model.flex_vertnum[self._flex])
        self._bodies = model.flex_vertbodyid[first : first + count]

    @property
    def points(self) -> FloatArray:
        """Its points in the base frame, those of a column along y after each other, shape (n, 3) [m]."""
        return self._world.data.xpos[self._bodies]

    @property
    def velocities(self) -> FloatArray:
        """How its points move, shape (n, 3) [m/s]."""
        model = self._world.model
        dofs = model.body_dofadr[self._bodies]
        return self._world.data.qvel[dofs[:, None] + np.arange(3)]

    def lay(self, centre: FloatArray, yaw: float, ripple: FloatArray | None = None) -> None:
        """Put it flat on the table, at rest; `measure` brings the rest up to date.

        Args:
            centre: of the cloth, x and y in the base frame, shape (2,) [m].
            yaw: turn of its x side about the vertical [rad].
            ripple: what each point is higher than flat, shape (n,) [m].
        """
        world = self._world
        rest = world.model.body_pos[self._bodies]
        flat = rest - rest.mean(axis=0)
        cos, sin = math.cos(yaw), math.sin(yaw)
        goal = np.empty_like(flat)
        goal[:, 0] = centre[0] + cos * flat[:, 0] - sin * flat[:, 1]
        goal[:, 1] = centre[1] + sin * flat[:, 0] + cos * flat[:, 1]
        goal[:, 2] = world.table_z_m + REST_M + (0.0 if ripple is None else ripple)
        first = world.model.jnt_qposadr[world.model.body_jntadr[self._bodies]]
        world.data.qpos[first[:, None] + np.arange(3)] = goal - rest

    def height_m(self) -> float:
        """Return the height of its highest point above the table [m]."""
        return float(self.points[:, 2].max()) - self._world.table_z_m

    def lowest_m(self) -> float:
        """Return the height of its lowest point above the table [m]."""
        return float(self.points[:, 2].min()) - self._world.table_z_m

    def speed_m_s(self) -> float:
        """Return the speed of its points, the root of the mean square [m/s]."""
        return math.sqrt(float(np.square(self.velocities).sum(axis=1).mean()))

    def pads_touching(self) -> int:
        """Return how many of the gripper's pads touch it, as of the last physics step."""
        contacts = self._world.data.contact
        geoms = contacts.geom[(contacts.flex == self._flex).any(axis=1)]
        return sum(bool((geoms == self._world.model.geom(pad).id).any()) for pad in PADS)

    def pinched(self) -> int:
        """Return how many of its points are between the pads."""
        pose = self._world.tcp_pose()
        offset = (self.points - pose.position) @ quaternion_xyzw_to_matrix(pose.quaternion_xyzw)
        half_gap_m = self._world.gripper_opening * self._world.settings.gripper.width_m / 2.0 + RADIUS_M
        inside = np.abs(offset) < (PINCH_HALF_M[0], half_gap_m, PINCH_HALF_M[1])
        return int(inside.all(axis=1).sum())

    def held(self) -> bool:
        """Tell whether a fold of it is between the pads, both of which press on it."""
        width_m = self._world.gripper_opening * self._world.settings.gripper.width_m
        return width_m < GRIPPED_WIDTH_M and self.pads_touching() == 2 and self.pinched() > 0

    def above(self, places: FloatArray) -> NDArray[np.bool_]:
        """Tell over which places it lies: whether a plumb line from above meets it before the place.

        Args:
            places: shape (m, 3), in the base frame [m].

        Returns:
            shape (m,).
        """
        model, points = self._world.model, self.points
        first = int(model.flex_elemdataadr[self._flex])
        corners = model.flex_elem[first : first + 3 * int(model.flex_elemnum[self._flex])].reshape(-1, 3)
        a, b, c = (points[corners[:, k]] for k in range(3))
        sides = np.stack([_side(p, q, places) for p, q in ((a, b), (b, c), (c, a))])
        inside = (sides >= 0.0).all(axis=0) | (sides <= 0.0).all(axis=0)
        higher = (a + b + c)[:, 2] / 3.0 > places[:, 2, None] - 0.01
        return (inside & higher).any(axis=1)


def _side(start: FloatArray, end: FloatArray, places: FloatArray) -> FloatArray:
    """Return on which side of each line from `start` to `end` (n, 3) each place (m, 3) is, from above, shape (m, n)."""
    along, off = (end - start)[None, :, :2], places[:, None, :2] - start[None, :, :2]
    return along[..., 0] * off[..., 1] - along[..., 1] * off[..., 0]


def pinch(
    hand: Hand, world: World, cloth: Cloth, spot: FloatArray, yaw: float, opening: float, closed: float = 0.0
) -> FloatArray:
    """Return the step that goes on with pinching a cloth that lies on the table, and then holds still.

    The tips come down onto the table with the fingers apart and push up a fold between them as they close.

    Args:
        hand: the gripper.
        world: where the cloth is.
        cloth: what is pinched.
        spot: where, x and y in the base frame, shape (2,) [m].
        yaw: turn of the hand about the vertical [rad].
        opening: how far the fingers are apart when they come down, 0..1.
        closed: how far they are apart when they hold, 0..1; a thin fold that is squeezed hard winds round a pad.
    """
    goal = np.array([spot[0], spot[1], world.table_z_m + PRESS_M])
    narrow = 1.0 - ramp(hand.opening / opening, 0.6, 0.95)
    # fingers that are already closing go on where they are, for the fold that they push up moves the cloth
    tolerance = ALIGNED_M + 0.03 * narrow
    across = math.hypot(*(hand.measured - goal)[:2])
    low = 1.0 - ramp(hand.measured[2] - goal[2], 0.004, 0.008)
    close = low * (1.0 - ramp(across, tolerance, tolerance + 0.008))
    down = approach(hand, goal, pointing(yaw), opening)
    still = hand.step(np.array([0.0, 0.0, goal[2] - hand.position[2]]), np.zeros(3), closed)
    shut_m = 0.006 + closed * world.settings.gripper.width_m
    empty = ramp(shut_m - hand.width_m, 0.0, 0.002) if cloth.pinched() == 0 else 0.0
    retreat = hand.step(np.array([0.0, 0.0, 0.03]), np.zeros(3), opening)
    return blend(blend(down, still, close), retreat, empty)


def gripped(hand: Hand, cloth: Cloth) -> float:
    """Return how surely a fold of the cloth is between the closed pads, 0..1."""
    return ramp(GRIPPED_WIDTH_M - hand.width_m, -0.004, 0.0) if cloth.pinched() else 0.0
