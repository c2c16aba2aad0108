"""Sweep small pieces into a marked area: too many to carry, so they are pushed between two nearly closed fingers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.experts import HALF_TURN, UP, Hand, alike_yaw, pointing, ramp, see_hand
from sim.palette import other_colour
from sim.pieces import AREA, Area, Pieces, add_pieces, outside, piece_height_m, piece_places
from sim.rooms import Room
from sim.tasks.task import WatchedTask
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_X_M = (0.42, 0.58)
AREA_Y_M = (0.1, 0.16)
"""Where the middle of the target lies; on either side of the robot."""

FIELD_X_M = (0.36, 0.64)
FIELD_Y_M = 0.17
"""How far the pieces may lie to the other side."""

AWAY_M = 0.03
"""Smallest distance from a piece to the target's edge at the start [m]."""

APART_M = 0.055
"""Smallest distance between two pieces at the start [m]."""

REACH_M = ((0.27, 0.73), (-0.33, 0.33))
PAST_M = 0.03
"""A piece this far beyond the target's far side was swept past it [m]."""

INSET_M = 0.016
"""The expert brings a piece this far inside the edge [m]."""

TCP_HEIGHT_M = 0.012
"""Height of the TCP above the table while sweeping; the fingers' tips are 9 mm lower [m]."""

LIFT_M = 0.04
START_M = 0.012
"""A sweep begins this far behind where the fingers would touch the piece [m]."""

LANE_M = 0.03
"""How far behind the piece the fingers may be down [m]."""

PAD_HALF_M = 0.009
GAP_SHARE = 0.55
"""Gap between the fingers as a share of a piece's width: a piece nestles in it, and cannot slip through."""

STILL_M_S = 0.03
ATTEMPTS = 400


class SweepToTarget(WatchedTask):
    """The task, its ground truth and its expert."""

    name = "SweepToTarget"
    scene = "sweep"
    instructions = (
        "sweep the {colour} pieces onto the {area} area",
        "sweep all pieces into the {area} area",
        "push the small {colour} things onto the {area} card",
        "gather the pieces on the {area} area",
        "brush everything onto the {area} card",
    )
    step_limit = 240
    failures = ("pieces_lost", "swept_past", "timeout")
    styles = (Pieces, Area)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the area and the pieces."""
        add_pieces(spec, room)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay down the area on its side of the table and scatter the pieces over the other."""
        style, pieces = world.room.part(Area), world.room.part(Pieces)
        side = 1.0 if style.side else -1.0
        middle = np.array([rng.uniform(*AREA_X_M), side * rng.uniform(*AREA_Y_M)])
        world.data.mocap_pos[int(world.model.body(AREA).mocapid[0])] = [*middle, world.table_z_m]
        for _ in range(ATTEMPTS):
            x = rng.uniform(*FIELD_X_M, pieces.count)
            edge = abs(middle[1]) - style.half_y_m - AWAY_M
            y = side * rng.uniform(-FIELD_Y_M, edge, pieces.count)
            apart = np.hypot(x[:, None] - x, y[:, None] - y) + np.eye(pieces.count)
            if apart.min() >= APART_M:
                break
        else:
            raise ConfigurationError(f"{self.name} found no layout in {ATTEMPTS} tries for {pieces.count} pieces")
        for index in range(pieces.count):
            height = piece_height_m(pieces, index)
            turn = rotation_vector_to_xyzw(rng.uniform(-math.pi, math.pi) * UP)
            world.place_body(f"piece{index}", np.array([x[index], y[index], world.table_z_m + height]), turn)

    def note(self, world: World) -> None:
        """Note how far each piece has to go."""
        self._far_m = np.maximum(outside(world, 0.0), 0.02)

    def done(self, world: World) -> bool:
        """Tell whether all pieces rest inside."""
        count = world.room.part(Pieces).count
        speeds = [np.linalg.norm(world.data.joint(f"piece{i}").qvel[:3]) for i in range(count)]
        return not outside(world, 0.0).any() and bool(max(speeds) < STILL_M_S) and not self._lost(world)

    def progress(self, world: World) -> float:
        """Return the mean share of their way that the pieces have come."""
        return float(np.mean(np.clip(1.0 - outside(world, 0.0) / self._far_m, 0.0, 1.0)))

    def failure(self, world: World) -> str:
        """Tell whether a piece is out of reach or beyond the area."""
        if self._lost(world):
            return "pieces_lost"
        style, middle = world.room.part(Area), world.data.body(AREA).xpos
        side = 1.0 if style.side else -1.0
        beyond = side * (piece_places(world)[:, 1] - middle[1]) - style.half_y_m
        return "swept_past" if beyond.max() > PAST_M else ""

    def words(self, world: World) -> dict[str, str]:
        """Return the colours of pieces and area."""
        pieces, area = world.room.part(Pieces), world.room.part(Area)
        return {"colour": pieces.colour, "area": other_colour(pieces.colour, area.apart)}

    def captions(self, world: World) -> tuple[str, ...]:
        """Say how many pieces are inside."""
        words = self.words(world)
        out = outside(world, 0.0) > 0.0
        area, inside, count = words["area"], int(np.sum(~out)), len(out)
        if self._lost(world):
            return ("a piece is lost", "not all pieces are in reach any more")
        if inside == count:
            return (
                f"all pieces are on the {area} area",
                f"the {words['colour']} pieces are gathered on the {area} card",
            )
        if inside:
            return (
                f"{inside} of {count} pieces are on the {area} area",
                f"some pieces are still beside the {area} card",
            )
        return (f"the {area} area is empty", f"all {count} {words['colour']} pieces lie beside the {area} card")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the area's middle and the pieces are."""
        places = {f"piece{i}": place for i, place in enumerate(piece_places(world))}
        return {"area": world.data.body(AREA).xpos.copy(), **places}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Go behind the piece that is quickest to sweep, lower the fingers, push it in, and lift them."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad)
        places, out = piece_places(world)[:, :2], outside(world, INSET_M)
        gap = GAP_SHARE * 2.0 * world.room.part(Pieces).half_m / world.settings.gripper.width_m
        low = world.table_z_m + TCP_HEIGHT_M
        if not out.any():
            return hand.step(max(low + LIFT_M - hand.position[2], 0.0) * UP, np.zeros(3), gap)
        strokes = [_stroke(world, hand, index) for index in range(len(out)) if out[index]]
        return min(strokes, key=lambda stroke: _cost(stroke, places)).step(hand, low, gap)

    def _lost(self, world: World) -> bool:
        places = piece_places(world)
        low, high = np.array(REACH_M).T
        beside = (places[:, :2] < low) | (places[:, :2] > high)
        return bool(beside.any() or places[:, 2].min() < world.table_z_m - 0.01)


@dataclass(frozen=True)
class _Stroke:
    """A straight sweep of one piece, as the hand stands to it.

    Attributes:
        index: which piece.
        place: where it is, shape (2,) [m].
        way: unit vector of the sweep, shape (2,).
        length_m: how far the piece has to go [m].
        back_m: how far the TCP is behind the piece's middle when it touches it [m].
        behind_m: how far it is behind now [m].
        beside_m: how far it is to the left of the sweep's line [m].
        turn: rotation vector that squares the hand to the sweep, shape (3,) [rad].
    """

    index: int
    place: FloatArray
    way: FloatArray
    length_m: float
    back_m: float
    behind_m: float
    beside_m: float
    turn: FloatArray

    @property
    def misfit_m(self) -> float:
        """How far the hand is from where it can sweep, skew included [m]."""
        early = max(self.behind_m - self.back_m - LANE_M, 0.0)
        late = max(self.back_m - 0.006 - self.behind_m, 0.0)
        skew = 0.04 * max(float(np.linalg.norm(self.turn)) - 0.1, 0.0)
        return math.hypot(self.beside_m, early + late) + skew

    def step(self, hand: Hand, low: float, gap: float) -> FloatArray:
        """Return the step that goes on with the sweep: over to the start, down, and along."""
        lift = ramp(self.misfit_m, 0.007, 0.02)
        up = low + LIFT_M * lift - hand.position[2]
        forward = (1.0 - lift) * (1.0 - ramp(hand.position[2] - low, 0.004, 0.012))
        along = self.behind_m - self.back_m + forward * self.length_m - (1.0 - forward) * START_M
        free = 1.0 - ramp(up, 0.008, 0.02)
        left = np.array([-self.way[1], self.way[0]])
        way = free * (along * self.way - self.beside_m * left)
        return hand.step(np.array([way[0], way[1], up]), free * self.turn, gap)


def _stroke(world: World, hand: Hand, index: int) -> _Stroke:
    """Return the sweep that takes a piece the shortest way into the area."""
    style, pieces = world.room.part(Area), world.room.part(Pieces)
    place, middle = piece_places(world)[index, :2], world.data.body(AREA).xpos[:2]
    inner = np.array([style.half_x_m, style.half_y_m]) - INSET_M - 0.004
    way = middle + np.clip(place - middle, -inner, inner) - place
    length = float(np.linalg.norm(way))
    way /= max(length, 1e-6)
    off = hand.position[:2] - place
    yaw = alike_yaw(math.atan2(way[1], way[0]), HALF_TURN, hand.heading)
    return _Stroke(
        index,
        place,
        way,
        length,
        pieces.half_m + PAD_HALF_M,
        behind_m=-float(off @ way),
        beside_m=float(off[1] * way[0] - off[0] * way[1]),
        turn=hand.turn_to(pointing(yaw)),
    )


def _cost(stroke: _Stroke, places: FloatArray) -> float:
    """Return how unwelcome a sweep is: far from the hand, or with another piece where the fingers come down."""
    start = stroke.place - (stroke.back_m + START_M) * stroke.way
    others = np.delete(places, stroke.index, axis=0)
    crowd = float(np.linalg.norm(others - start, axis=1).min(initial=1.0))
    begun = 1.0 - ramp(stroke.misfit_m, 0.007, 0.02)
    return stroke.misfit_m + 0.3 * (1.0 - ramp(crowd, 0.022, 0.032)) - 0.5 * begun
