"""Stand a bottle up that lies on the table, at any yaw, and the way back: lay it down gently."""

from __future__ import annotations

import math
from abc import abstractmethod

import mujoco
import numpy as np

from sim.bottle import BOTTLE, BOTTLE_GEOMS, Bottle, BottlePose, add_bottle, see_bottle
from sim.bottle_expert import (
    HOVER_M,
    MANNER,
    START_M,
    hold,
    leave,
    level_turn,
    lying_grip,
    standing_grip,
    turn_over,
    upright_turn,
)
from sim.experts import (
    HALF_TURN,
    QUARTER_TURN,
    Grip,
    Hand,
    blend,
    grasp,
    ramp,
    see_hand,
)
from sim.robots import PADS
from sim.rooms import Room, Table
from sim.tasks.task import WatchedTask
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import multiply_xyzw, rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_M = ((0.46, 0.59), (-0.12, 0.12))
"""Where the bottle's grip lies at the start, x and y [m]."""

STANDING_AREA_M = ((0.46, 0.58), (-0.14, 0.14))
"""The same for a bottle that stands at the start."""

REACH_M = ((0.32, 0.70), (-0.26, 0.26))
"""Where the bottle can still be gripped [m]."""

CLEAR_OF_HAND_M = 0.1
"""How far from the start of the hand a bottle stands at the start, in the plane [m]."""

FLASK_YAW_RAD = math.radians(25.0)
"""How far the broad sides of a standing flask may face off sideways at the start [rad]."""

FLAT_RAD = math.radians(5.0)
"""A bottle stands or lies if it is this near to it [rad]."""

REST_M = 0.004
REST_SPEED_M_S = 0.02
AWAY_M = 0.05
"""How far the hand must have left the grip at the end [m]."""

FALL_M = 0.02
"""A bottle whose grip is held this much higher than when it lies falls if it is let go [m]."""

ATTEMPTS = 100

Area = tuple[tuple[float, float], tuple[float, float]]


class _BottleTask(WatchedTask):
    """What both ways have in common: the bottle, who holds it, whether it fell, and the skeleton of the expert."""

    scene = "bottle"
    step_limit = 130
    failures = ("rolled_away", "dropped", "fell_over", "timeout")
    styles = (Bottle,)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the bottle."""
        add_bottle(spec, room, (0.55, 0.0, room.part(Table).height_m))

    def note(self, world: World) -> None:
        """Note how far away the hand is."""
        self._far_m = max(_distance(world, see_bottle(world)), AWAY_M)
        self._peril = self._fallen = ""
        self.look(world)

    def look(self, world: World) -> None:
        """See who holds the bottle, and what it would be called if it came down now."""
        pose = see_bottle(world)
        touching = world.touching(PADS, BOTTLE_GEOMS)
        self._held, self._free = touching == 2, touching == 0
        if self._held:
            high = pose.grip[2] - world.table_z_m - pose.style.depth_m > FALL_M
            self._peril, self._fallen = "dropped" if high else "", ""
        elif _stands(pose):
            self._peril, self._fallen = "fell_over", ""
        elif _lies(pose) and self._peril:
            self._peril, self._fallen = "", self._peril

    def done(self, world: World) -> bool:
        """Tell whether it is as it shall be, at rest, and the hand has left it."""
        pose = see_bottle(world)
        left = self._free and _distance(world, pose) >= AWAY_M
        return left and self._reached(pose) and pose.speed_m_s <= REST_SPEED_M_S

    def progress(self, world: World) -> float:
        """Return how far it has come: near, held, turned, put down, left."""
        pose = see_bottle(world)
        distance = _distance(world, pose)
        if self._reached(pose):
            return 0.8 + 0.19 * min(distance / AWAY_M, 1.0)
        near = 1.0 - min(distance / self._far_m, 1.0)
        return 0.25 * near + (0.1 + 0.45 * self._turned(pose) if self._held else 0.0)

    def failure(self, world: World) -> str:
        """Tell whether the bottle got out of reach or fell."""
        x, y = see_bottle(world).grip[:2]
        if not (REACH_M[0][0] <= x <= REACH_M[0][1] and REACH_M[1][0] <= y <= REACH_M[1][1]):
            return "rolled_away"
        return self._fallen

    def words(self, world: World) -> dict[str, str]:
        """Return what the bottle is called."""
        style = world.room.part(Bottle)
        return {"colour": style.colour, "kind": style.shape.word}

    def captions(self, world: World) -> tuple[str, ...]:
        """Say how the bottle stands or lies and whether it is held."""
        pose, words = see_bottle(world), self.words(world)
        name = f"the {words['colour']} {words['kind']}"
        if self._held:
            if pose.lowest_m > REST_M:
                how = "upright" if pose.tilt_rad < FLAT_RAD else "tilted" if not _level(pose) else "level"
                return (f"the gripper holds {name} {how} in the air", f"{name} is lifted off the table, {how}")
            how = "which stands upright" if _stands(pose) else "which lies on its side" if _lies(pose) else "tilted"
            return (f"the gripper holds {name}, {how}", f"{name} touches the table and is still grasped")
        if _stands(pose):
            return (f"{name} stands upright on the table", f"{name} stands on its bottom and nobody holds it")
        if _lies(pose):
            fell = "has fallen and " if self._fallen else ""
            return (f"{name} {fell}lies on its side on the table", f"nobody holds {name}, which lies on the table")
        return (f"{name} is falling", f"{name} neither stands nor lies and nobody holds it")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return both ends of the bottle and where it is gripped."""
        pose = see_bottle(world)
        return {"bottom": pose.foot, "cap": pose.cap, "grip": pose.grip}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Grip the bottle, turn it in the air, set it down, let go and leave."""
        state, pose = world.arm_state(), see_bottle(world)
        hand = see_hand(state, world.settings.gripper.width_m, max_step_m, max_step_rad, MANNER)
        turn = self._turn(hand, pose) - hand.settings.lag_s * state.tcp_velocity[3:]
        step = blend(grasp(hand, self._grip(hand, pose), HOVER_M), turn_over(hand, pose, turn), hold(hand, pose))
        return blend(step, leave(hand, pose), self._put(pose))

    @abstractmethod
    def _reached(self, pose: BottlePose) -> bool:
        """Tell whether the bottle is as it shall be, held or not."""

    @abstractmethod
    def _turned(self, pose: BottlePose) -> float:
        """Return how much of the quarter turn is done, 0..1."""

    @abstractmethod
    def _turn(self, hand: Hand, pose: BottlePose) -> FloatArray:
        """Return the rotation that a held bottle still needs, as a rotation vector in the base frame [rad]."""

    @abstractmethod
    def _grip(self, hand: Hand, pose: BottlePose) -> Grip:
        """Return how to take hold of the bottle."""

    @abstractmethod
    def _put(self, pose: BottlePose) -> float:
        """Return how surely the bottle can be let go, 0..1."""


class ReorientBottle(_BottleTask):
    """Stand the bottle up."""

    name = "ReorientBottle"
    inverse = "LayBottle"
    instructions = (
        "stand the {colour} {kind} upright",
        "set the lying {kind} on its bottom",
        "put the {colour} {kind} upright on the table",
        "pick up the {kind} and stand it on the table",
        "turn the {colour} {kind} so that it stands",
        "the {kind} lies on its side, stand it up",
    )

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Lay the bottle down anywhere in its area, its cap in any direction; a flat one lies on its broad side."""
        style = world.room.part(Bottle)
        grip, yaw = _draw(rng, AREA_M), rng.uniform(-HALF_TURN, HALF_TURN)
        roll = rng.uniform(-HALF_TURN, HALF_TURN)
        if style.shape.flat:
            roll = HALF_TURN * (roll > 0.0)
        along = np.array([math.cos(yaw), math.sin(yaw), 0.0])
        foot = np.append(grip, world.table_z_m + style.depth_m) - style.grip_m * along
        level = multiply_xyzw(_about(1, QUARTER_TURN), _about(2, roll))
        world.place_body(BOTTLE, foot, multiply_xyzw(_about(2, yaw), level))

    def _reached(self, pose: BottlePose) -> bool:
        return _stands(pose)

    def _turned(self, pose: BottlePose) -> float:
        return min(max(1.0 - pose.tilt_rad / QUARTER_TURN, 0.0), 1.0)

    def _turn(self, hand: Hand, pose: BottlePose) -> FloatArray:
        del hand
        return upright_turn(pose)

    def _grip(self, hand: Hand, pose: BottlePose) -> Grip:
        return lying_grip(hand, pose)

    def _put(self, pose: BottlePose) -> float:
        return (1.0 - ramp(pose.lowest_m, 0.002, 0.005)) * (1.0 - ramp(pose.tilt_rad, 0.05, 0.1))


class LayBottle(_BottleTask):
    """Lay the bottle down gently: a bottle that fell does not count until it has been stood up again."""

    name = "LayBottle"
    inverse = "ReorientBottle"
    instructions = (
        "lay the {colour} {kind} on its side",
        "lay the {kind} down gently",
        "put the {colour} {kind} down so that it lies on the table",
        "tip the standing {kind} over slowly and leave it lying",
        "grasp the {colour} {kind} and lay it flat on the table",
    )

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Stand the bottle anywhere in its area that is not below the hand, turned anyhow.

        A flask can be laid on its broad sides only: they face sideways, where the arm reaches, within FLASK_YAW_RAD.
        """
        for _ in range(ATTEMPTS):
            place = _draw(rng, STANDING_AREA_M)
            if math.dist(place, START_M) >= CLEAR_OF_HAND_M:
                break
        else:
            raise ConfigurationError(
                f"no place for the bottle found in {ATTEMPTS} tries: x, y in {STANDING_AREA_M} m and "
                f"{CLEAR_OF_HAND_M} m away from {START_M}"
            )
        yaw = rng.uniform(-HALF_TURN, HALF_TURN)
        if 0.0 < world.room.part(Bottle).shape.flat < 1.0:
            sideways = math.atan2(place[1], place[0]) + math.copysign(QUARTER_TURN, yaw)
            yaw = sideways + (2.0 * abs(yaw) / HALF_TURN - 1.0) * FLASK_YAW_RAD
        world.place_body(BOTTLE, np.append(place, world.table_z_m), _about(2, yaw))

    def _reached(self, pose: BottlePose) -> bool:
        return _lies(pose) and not self._fallen

    def _turned(self, pose: BottlePose) -> float:
        return min(max(pose.tilt_rad / QUARTER_TURN, 0.0), 1.0)

    def _turn(self, hand: Hand, pose: BottlePose) -> FloatArray:
        return level_turn(hand, pose)

    def _grip(self, hand: Hand, pose: BottlePose) -> Grip:
        return standing_grip(hand, pose)

    def _put(self, pose: BottlePose) -> float:
        off = abs(pose.tilt_rad - QUARTER_TURN)
        return (1.0 - ramp(pose.lowest_m, 0.002, 0.005)) * (1.0 - ramp(off, 0.05, 0.1))


def _stands(pose: BottlePose) -> bool:
    return pose.tilt_rad <= FLAT_RAD and pose.lowest_m <= REST_M


def _level(pose: BottlePose) -> bool:
    return abs(pose.tilt_rad - QUARTER_TURN) <= FLAT_RAD


def _lies(pose: BottlePose) -> bool:
    return _level(pose) and pose.lowest_m <= REST_M


def _distance(world: World, pose: BottlePose) -> float:
    return float(np.linalg.norm(world.tcp_pose().position - pose.grip))


def _draw(rng: np.random.Generator, area: Area) -> FloatArray:
    return np.array([rng.uniform(*area[0]), rng.uniform(*area[1])])


def _about(axis: int, angle: float) -> FloatArray:
    """Return the rotation about a coordinate axis as a quaternion xyzw."""
    vector = np.zeros(3)
    vector[axis] = angle
    return rotation_vector_to_xyzw(vector)
