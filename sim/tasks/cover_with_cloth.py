"""Cover a low thing with a cloth: the cloth lies before it, is pinched at its near edge, drawn over it and let go."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.cloth import Cloth, Weave, add_cloth, gripped, pinch
from sim.experts import HALF_TURN, Hand, alike_yaw, blend, carry, pointing, ramp, see_hand
from sim.palette import COLOURS, paint
from sim.parameters import choice, span, whole
from sim.rooms import MAX_SEED, Room, Table
from sim.shapes import SHAPE_WORDS, Shape, add_shape
from sim.tasks.task import WatchedTask
from sim.textures import COMMON_PATTERNS, HELD_OUT_PATTERNS
from sim.world import World
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

CLOTH, THING = "cloth", "thing"
AREA_M = ((0.53, 0.59), (-0.07, 0.07))
"""Where the thing stands, x and y [m]."""

LARGEST_YAW = 0.35
"""The cloth lies before the thing, as seen from the arm, or so much to a side [rad]."""

GAP_M = (0.035, 0.055)
"""Distance from the cloth's edge to the middle of the thing [m]."""

COVERED = 0.85
"""Share of the thing's top that the cloth must be above."""

WITHDRAWN_M = 0.05
"""Height of the TCP above the cloth's highest point from which the hand is out of the way [m]."""

STILL_M_S = 0.02
"""A cloth whose points are slower has come to rest [m/s]."""

PUSHED_M = 0.025
"""A thing that moved further from where it stood was pushed away [m]."""

DRAWN_M = 0.02
"""A cloth that was drawn so far and then let go too early slipped [m]."""

INSET_M = 0.015
"""Distance of the pinch from the edge [m]."""

OPENING, RELEASE, CLOSED = 0.36, 0.35, 0.055
"""How far the fingers are apart to pinch, to let go and to hold, 0..1: squeezed harder the cloth winds round a pad."""

BEYOND_M = 0.06
"""How far beyond the middle of the thing the edge is drawn [m]."""

DRAG_M, LOWER_M = 0.075, 0.025
"""Height of the TCP above the table while it draws and where it lets go [m]; a cloth drawn higher becomes a rope."""

RISE_M = 0.011
"""Height that the hand gains in a step while it leaves [m]."""

SHAKE_AT_M, SHAKE = (0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.18), (0.35, 0.9, 0.3, 0.9, 0.3, 0.9, 0.3, 1.0)
"""How far the fingers are apart at which heights of the TCP while it leaves."""

RINGS = (0.38, 0.67, 0.87)
"""Outlines, as shares of the top's own, on which coverage is looked at; each stands for a third of the area."""


@dataclass(frozen=True)
class Cover:
    """The cloth of a room: 18 cm long and 14 cm wide."""

    hue: float = span(0.0, 1.0)
    saturation: float = span(0.05, 0.75)
    value: float = span(0.6, 0.95)
    pattern: str = choice(*COMMON_PATTERNS, held_out=HELD_OUT_PATTERNS)
    grain: int = whole(0, MAX_SEED)
    spacing_m: float = span(0.0172, 0.018, "m", lab=0.018)
    mass_kg: float = span(0.015, 0.025, "kg", lab=0.02)
    friction: float = span(0.25, 0.35, lab=0.3)

    @property
    def weave(self) -> Weave:
        """What it is made of."""
        return Weave(
            count=(11, 9),
            spacing_m=self.spacing_m,
            mass_kg=self.mass_kg,
            friction=self.friction,
            hue=self.hue,
            saturation=self.saturation,
            value=self.value,
            pattern=self.pattern,
            grain=self.grain,
        )


@dataclass(frozen=True)
class Thing:
    """What shall be covered."""

    kind: str = choice("box", "cylinder", held_out=("hexagon", "cube"), lab="box")
    colour: str = choice(*COLOURS, lab="red")
    tint: float = span(-1.0, 1.0)
    tone: float = span(-1.0, 1.0)
    width_m: float = span(0.034, 0.042, "m", lab=0.038)
    height_m: float = span(0.024, 0.032, "m", lab=0.028)
    mass_kg: float = span(0.2, 0.35, "kg", lab=0.25)
    friction: float = span(0.6, 0.9, lab=0.7)

    @property
    def shape(self) -> Shape:
        """Its geometry."""
        return Shape(self.kind, self.width_m, self.height_m)


class CoverWithCloth(WatchedTask):
    """The task, its ground truth and its expert."""

    name = "CoverWithCloth"
    scene = "cover"
    instructions = (
        "cover the {colour} {shape} with the cloth",
        "draw the cloth over the {shape}",
        "hide the {colour} {shape} under the cloth",
        "pull the cloth over the {colour} {shape} and let go",
        "put the cloth on top of the {shape}",
    )
    step_limit = 120
    failures = ("pushed_away", "slipped", "uncovered", "timeout")
    styles = (Cover, Thing)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the cloth and the thing."""
        thing, z = room.part(Thing), room.part(Table).height_m
        body = spec.worldbody.add_body(name=THING, pos=[0.56, 0.0, z + thing.shape.rest_m])
        body.add_freejoint(name=THING)
        colour = paint(thing.colour, thing.tint, thing.tone)
        add_shape(body, spec, THING, thing.shape, thing.mass_kg, thing.friction, colour)
        add_cloth(spec, CLOTH, room.part(Cover).weave, z)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Put the thing somewhere in its rectangle, turned anyhow, and the cloth before it."""
        shape, (x, y) = world.room.part(Thing).shape, (rng.uniform(*side) for side in AREA_M)
        turn = rotation_vector_to_xyzw(np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)]))
        world.place_body(THING, np.array([x, y, world.table_z_m + shape.rest_m]), turn)
        yaw, gap_m = rng.uniform(-LARGEST_YAW, LARGEST_YAW), rng.uniform(*GAP_M)
        back_m = gap_m + world.room.part(Cover).weave.size_m[0] / 2.0
        Cloth(world, CLOTH).lay(np.array([x - back_m * math.cos(yaw), y - back_m * math.sin(yaw)]), yaw)

    def note(self, world: World) -> None:
        """Note where thing and edge are."""
        self._stood = world.data.body(THING).xpos.copy()
        self._far_m = max(self._distance(world), 0.05)
        self._way_m = max(_edge_way_m(world), 0.05)
        self._edge = _edge(world)
        self._held = self._was_drawn = self._was_covered = False
        self._coverage = coverage(world)

    def look(self, world: World) -> None:
        """See whether the cloth is held and drawn, and what it covers."""
        self._coverage, self._held = coverage(world), Cloth(world, CLOTH).held()
        if self._held:
            self._was_covered = False
            self._was_drawn |= float(np.linalg.norm(_edge(world) - self._edge)) > DRAWN_M
        elif self._coverage >= COVERED:
            self._was_covered = True

    def done(self, world: World) -> bool:
        """Tell whether the cloth lies over the thing and the hand has let go of it and is out of the way."""
        cloth = Cloth(world, CLOTH)
        free = cloth.pads_touching() == 0 and _above_cloth_m(world) >= WITHDRAWN_M
        return free and self._coverage >= COVERED and cloth.speed_m_s() < STILL_M_S

    def progress(self, world: World) -> float:
        """Return how far it has come: near the edge, pinched, drawn over, withdrawn."""
        over = 1.0 - min(_edge_way_m(world) / self._way_m, 1.0)
        if not self._held and self._coverage >= COVERED:
            return 0.8 + 0.19 * min(max(_above_cloth_m(world) / WITHDRAWN_M, 0.0), 1.0)
        near = 1.0 - min(self._distance(world) / self._far_m, 1.0)
        return 0.25 * near + (0.05 if self._held else 0.0) + 0.5 * over

    def failure(self, world: World) -> str:
        """Tell whether the thing was pushed, or the cloth lost on the way or drawn off again."""
        if float(np.linalg.norm((world.data.body(THING).xpos - self._stood)[:2])) > PUSHED_M:
            return "pushed_away"
        lost = "uncovered" if self._was_covered else "slipped" if self._was_drawn else ""
        return "" if self._held or self._coverage >= COVERED else lost

    def words(self, world: World) -> dict[str, str]:
        """Return the thing's colour and shape."""
        thing = world.room.part(Thing)
        return {"colour": thing.colour, "shape": SHAPE_WORDS[thing.kind]}

    def captions(self, world: World) -> tuple[str, ...]:
        """Say what the cloth covers and who holds it."""
        what, share = " ".join(self.words(world).values()), coverage(world)
        if Cloth(world, CLOTH).held():
            if share > 0.0:
                return (f"the gripper draws the cloth over the {what}", f"the pinched cloth is partly over the {what}")
            return (f"the gripper has pinched the cloth before the {what}", "the edge of the cloth is pinched")
        if share >= COVERED:
            return (f"the cloth covers the {what}", f"the {what} is hidden under the cloth, which nothing holds")
        if share > 0.0:
            return (f"the cloth covers the {what} only partly", f"a part of the {what} shows beside the cloth")
        return (f"the cloth lies beside the {what}", f"the {what} is not covered")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the thing, the cloth's middle and the edge to pinch are."""
        thing, cloth = world.data.body(THING).xpos.copy(), Cloth(world, CLOTH).points.mean(axis=0)
        return {"thing": thing, "cloth": cloth, "edge": _edge(world)}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Pinch the edge, draw it low over the thing, lower it, and open slowly while rising."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad)
        cloth, along = Cloth(world, CLOTH), _along(world)
        yaw = alike_yaw(math.atan2(along[1], along[0]), HALF_TURN, hand.heading)
        over = ramp(coverage(world), COVERED - 0.05, COVERED)
        take = pinch(hand, world, cloth, _spot(world), yaw, OPENING, CLOSED)
        free = blend(take, self._leave(world, hand), over)
        return blend(free, self._draw(world, hand, yaw), gripped(hand, cloth))

    def _draw(self, world: World, hand: Hand, yaw: float) -> FloatArray:
        """Draw the edge low over the thing, sink, and let go."""
        goal = _goal(world)
        step = carry(hand, hand.measured, goal, pointing(yaw), DRAG_M - LOWER_M, 0.012, 0.03)
        off = float(np.linalg.norm(hand.measured - goal))
        step[6] = CLOSED + (RELEASE - CLOSED) * (1.0 - ramp(off, 0.006, 0.012))
        return step

    def _leave(self, world: World, hand: Hand) -> FloatArray:
        """Rise slowly while the fingers open and close a little: what still clings to a pad drops off."""
        above_m = hand.position[2] - world.table_z_m
        clear = ramp(hand.opening, 0.6 * RELEASE, 0.9 * RELEASE)
        rise = RISE_M / hand.settings.gain * clear
        up = np.array([0.0, 0.0, rise * (1.0 - ramp(above_m, 0.18, 0.22))])
        return hand.step(up, np.zeros(3), float(np.interp(above_m, SHAKE_AT_M, SHAKE)))

    def _distance(self, world: World) -> float:
        return float(np.linalg.norm(world.tcp_pose().position - _edge(world)))


def coverage(world: World) -> float:
    """Return the share of the thing's top that has the cloth above it, 0..1."""
    body, shape = world.data.body(THING), world.room.part(Thing).shape
    places = body.xpos + _top(shape) @ body.xmat.reshape(3, 3).T
    return float(Cloth(world, CLOTH).above(places).mean())


def _top(shape: Shape) -> FloatArray:
    """Return places on the top of a prism, evenly over its area, in its frame, shape (n, 3) [m]."""
    flat = np.array([corner[:2] for corner in shape.corners() if corner[2] > 0.0])
    if shape.kind == "cylinder":
        turns = np.linspace(0.0, 2.0 * math.pi, 16, endpoint=False)
        flat = shape.width_m / 2.0 * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    flat = flat[np.argsort(np.arctan2(flat[:, 1], flat[:, 0]))]
    sides = [flat + share * (np.roll(flat, -1, axis=0) - flat) for share in (0.0, 0.25, 0.5, 0.75)]
    rings = np.concatenate([ring * np.concatenate(sides) for ring in RINGS])
    return np.column_stack([rings, np.full(len(rings), shape.height_m / 2.0)])


def _grid(world: World) -> FloatArray:
    """Return the cloth's rows of points, shape (rows, points, 3) [m]."""
    return Cloth(world, CLOTH).points.reshape(*world.room.part(Cover).weave.count, 3)


def _edge(world: World) -> FloatArray:
    """Return the middle of the edge that lies nearest to the thing at first, shape (3,) [m]."""
    row = _grid(world)[-1]
    return row[len(row) // 2].copy()


def _spot(world: World) -> FloatArray:
    """Return where the cloth is pinched, x and y, shape (2,) [m]."""
    weave = world.room.part(Cover).weave
    inner, outer = _grid(world)[-2:, weave.count[1] // 2]
    return (outer + INSET_M / weave.spacing_m * (inner - outer))[:2]


def _along(world: World) -> FloatArray:
    """Return the direction, in the plane, from the edge that stays behind to the thing, shape (2,)."""
    row = _grid(world)[0]
    way = world.data.body(THING).xpos[:2] - row[len(row) // 2][:2]
    return way / max(float(np.linalg.norm(way)), 1e-6)


def _goal(world: World) -> FloatArray:
    """Return where the TCP lets go of the edge, shape (3,) [m]."""
    place = world.data.body(THING).xpos[:2] + BEYOND_M * _along(world)
    return np.array([*place, world.table_z_m + LOWER_M])


def _edge_way_m(world: World) -> float:
    return float(np.linalg.norm((_goal(world) - _edge(world))[:2]))


def _above_cloth_m(world: World) -> float:
    return float(world.tcp_pose().position[2]) - world.table_z_m - Cloth(world, CLOTH).height_m()
