"""Put a square peg into a square hole that is one millimetre wider, and pull it out again into its holder."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from sim.experts import (
    HALF_TURN,
    QUARTER_TURN,
    UP,
    Grip,
    Hand,
    alike_yaw,
    blend,
    grasp,
    let_go,
    pointing,
    ramp,
    see_hand,
    top_grip,
)
from sim.experts import flat_yaw as box_yaw
from sim.peg import (
    BLOCK,
    CLEARANCE_M,
    HOLDER,
    PEG,
    Block,
    Holder,
    Peg,
    Socket,
    add_peg,
    depth,
    lean,
    peg_ends,
    socket,
)
from sim.robots import PADS
from sim.rooms import Room
from sim.tasks.task import WatchedTask
from sim.world import World
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import quaternion_xyzw_to_matrix, rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

INSERTED_M = 0.025
"""How deep the tip must be in the hole [m]."""

HELD_IN_M = 0.01
"""How deep the tip must be in the holder [m]."""

TILTED_RAD = 0.15
"""A peg that leans more than this does not stand [rad]."""

LEANING_RAD = 0.4
FALLEN_RAD = 0.9
STILL_M_S = 0.02
BESIDE_PERIODS = 12
"""Control periods in a row on the rim of the hole after which the peg counts as pressed beside it."""

GRIP_BELOW_TOP_M = 0.02
TRAVEL_M = 0.012
"""Height of the tip above both mouths while it travels [m]."""

AREA_X_M, AREA_Y_M = (0.36, 0.62), (-0.2, 0.2)
"""Where block and holder stand, by their centres."""

APART_M = 0.15
REACH_M = ((0.27, 0.73), (-0.33, 0.33))
ATTEMPTS = 200


class _PegTask(WatchedTask):
    """What both directions share: bring the peg from one socket to the other."""

    name = ""
    scene = "peg"
    step_limit = 120
    styles = (Peg, Block, Holder)
    start, goal = HOLDER, BLOCK
    needed_m = INSERTED_M

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add peg, block and holder."""
        peg, block = room.part(Peg), room.part(Block)
        if peg.length_m - block.depth_m - GRIP_BELOW_TOP_M < 0.012:
            raise ConfigurationError(
                f"block.depth_m = {block.depth_m:g} leaves no grip on the peg; "
                f"legal: up to {peg.length_m - GRIP_BELOW_TOP_M - 0.012:g} m"
            )
        add_peg(spec, room)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Put up block and holder apart from each other, turned anyhow, and the peg where the task begins."""
        for _ in range(ATTEMPTS):
            places = np.column_stack([rng.uniform(*AREA_X_M, 2), rng.uniform(*AREA_Y_M, 2)])
            if np.linalg.norm(places[0] - places[1]) >= APART_M:
                break
        else:
            raise ConfigurationError(f"{self.name} found no layout in {ATTEMPTS} tries with {APART_M} m between")
        turns = rng.uniform(-QUARTER_TURN / 2, QUARTER_TURN / 2, 2)
        for name, place, turn in zip((BLOCK, HOLDER), places, turns, strict=True):
            mocap = int(world.model.body(name).mocapid[0])
            world.data.mocap_pos[mocap] = [*place, world.table_z_m]
            world.data.mocap_quat[mocap] = rotation_vector_to_xyzw(turn * UP)[[3, 0, 1, 2]]
        world.measure()
        start = socket(world, self.start)
        middle = start.floor + world.room.part(Peg).length_m / 2 * UP
        world.place_body(PEG, middle, rotation_vector_to_xyzw(start.yaw * UP))

    def note(self, world: World) -> None:
        """Note how far the way is."""
        self._far_m = max(_hand_way(world), 0.05)
        self._way_m = max(_way(world, self.goal), 0.05)
        self._beside = 0

    def look(self, world: World) -> None:
        """See how long the peg has been on the rim."""
        tip, hole = peg_ends(world)[0], socket(world, BLOCK)
        apart = math.hypot(*(tip - hole.mouth)[:2])
        on_rim = -0.003 < tip[2] - hole.mouth[2] < 0.004 and CLEARANCE_M < apart < 0.035
        self._beside = self._beside + 1 if on_rim else 0

    def done(self, world: World) -> bool:
        """Tell whether the peg is where it shall be."""
        return depth(world, self.goal) >= self.needed_m and lean(world) < TILTED_RAD

    def progress(self, world: World) -> float:
        """Return how far it has come: hand at the peg, peg over its goal, tip in it."""
        deep = min(max(depth(world, self.goal) / self.needed_m, 0.0), 1.0)
        near = max(1.0 - _hand_way(world) / self._far_m, 0.0, deep)
        way = max(1.0 - _way(world, self.goal) / self._way_m, 0.0)
        return 0.2 * near + 0.4 * way + 0.4 * deep

    def failure(self, world: World) -> str:
        """Tell whether the peg lies, is out of reach or was pressed beside the hole."""
        x, y = world.data.body(PEG).xpos[:2]
        if not (REACH_M[0][0] <= x <= REACH_M[0][1] and REACH_M[1][0] <= y <= REACH_M[1][1]):
            return "out_of_reach"
        if lean(world) > FALLEN_RAD and world.touching(PADS, (PEG,)) == 0:
            return "fallen"
        return "beside_hole" if self._beside >= BESIDE_PERIODS else ""

    def captions(self, world: World) -> tuple[str, ...]:
        """Say where the peg is."""
        holds = world.touching(PADS, (PEG,)) == 2
        if depth(world, BLOCK) >= INSERTED_M:
            return ("the peg is deep in the hole of the block", "the peg is inserted")
        if depth(world, BLOCK) > 0.003:
            return ("the peg is only partly in the hole", "the tip of the peg is in the hole of the block")
        if depth(world, HOLDER) > 0.003:
            if holds:
                return ("the gripper holds the peg, which is still in its holder", "the peg is grasped in its holder")
            return ("the peg stands in its holder", "the hole in the block is empty and the peg is in the holder")
        if holds:
            return ("the gripper holds the peg in the air", "the peg is held, and the hole is empty")
        if lean(world) > FALLEN_RAD:
            return ("the peg has fallen and lies on its side", "the peg lies, neither in the hole nor in the holder")
        return ("the peg stands outside hole and holder", "the peg is neither in the hole nor in its holder")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the peg's ends and the mouths of hole and holder are."""
        tip, top = peg_ends(world)
        return {
            "peg_tip": tip,
            "peg_top": top,
            "hole": socket(world, BLOCK).mouth,
            "holder": socket(world, HOLDER).mouth,
        }

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Grasp the peg near its top, bring it over its goal, let the bevel guide it in, and let go."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad)
        goal, width_m = socket(world, self.goal), 2.0 * world.room.part(Peg).half_m
        axis, upright = _axis_to_grip(world, hand), lean(world) < LEANING_RAD
        grip = _grip(world, hand, axis, upright)
        near = 1.0 - ramp(float(np.linalg.norm(hand.measured - grip.position)), 0.012, 0.022)
        holds = near * ramp(width_m + 0.004 - hand.width_m, -0.006, 0.0)
        go_on = blend(grasp(hand, grip), _bring(world, hand, goal, axis), holds)
        deep = depth(world, self.goal)
        home = ramp(deep - goal.depth_m, -0.006, -0.003) if lean(world) < TILTED_RAD else 0.0
        return blend(go_on, let_go(hand, width_m), home)


class PegInsertion(_PegTask):
    """Put the peg from its holder into the hole."""

    name = "PegInsertion"
    inverse = "PegExtraction"
    instructions = (
        "insert the peg into the hole",
        "put the yellow peg into the square hole",
        "push the peg into the block",
        "take the peg from its holder and insert it",
        "fit the square peg into the hole of the block",
    )
    failures = ("out_of_reach", "fallen", "beside_hole", "timeout")


class PegExtraction(_PegTask):
    """Pull the peg out of the hole and put it back into its holder."""

    name = "PegExtraction"
    inverse = "PegInsertion"
    instructions = (
        "pull the peg out of the hole",
        "take the yellow peg out and put it into its holder",
        "put the peg back into the holder",
        "remove the peg from the block",
        "extract the peg and stand it in its holder",
    )
    failures = ("out_of_reach", "fallen", "timeout")
    start, goal = BLOCK, HOLDER
    needed_m = HELD_IN_M

    def done(self, world: World) -> bool:
        """Tell whether the peg stands in its holder, let go and at rest."""
        still = float(np.linalg.norm(world.data.joint(PEG).qvel[:3])) < STILL_M_S
        return super().done(world) and still and world.touching(PADS, (PEG,)) == 0


def _height_above(world: World, tip: FloatArray, name: str) -> float:
    return float(tip[2] - socket(world, name).mouth[2])


def _hand_way(world: World) -> float:
    tip, top = peg_ends(world)
    grip = top + GRIP_BELOW_TOP_M / world.room.part(Peg).length_m * (tip - top)
    return float(np.linalg.norm(world.tcp_pose().position - grip))


def _way(world: World, goal: str) -> float:
    """Return how far the tip has to go until it is over its goal, climbing included [m]."""
    tip = peg_ends(world)[0]
    across = math.hypot(*(socket(world, goal).mouth - tip)[:2])
    climb = max(TRAVEL_M - min(_height_above(world, tip, name) for name in (BLOCK, HOLDER)), 0.0)
    return across + climb * ramp(across, 0.01, 0.05)


def _axis_to_grip(world: World, hand: Hand) -> FloatArray:
    """Return the peg's direction towards the end that is gripped: the upper one, or the one that the hand leans to."""
    axis = world.data.body(PEG).xmat.reshape(3, 3)[:, 2]
    back = -quaternion_xyzw_to_matrix(hand.quaternion_xyzw)[:, 2]
    # of two ends on the table the one towards the robot is easier to reach
    return axis * math.copysign(1.0, float(axis @ back) - 0.3 * axis[0])


def _grip(world: World, hand: Hand, axis: FloatArray, upright: bool) -> Grip:
    """Return the grip near the peg's end; a lying peg is taken at half its lean, so that it can be stood up."""
    peg, body = world.room.part(Peg), world.data.body(PEG)
    place = body.xpos + (peg.length_m / 2 - GRIP_BELOW_TOP_M) * axis
    if upright:
        return top_grip(hand, place, box_yaw(body.xmat), 2.0 * peg.half_m)
    along = math.atan2(axis[1], axis[0])
    tilt = math.acos(min(max(float(axis[2]), -1.0), 1.0)) / 2
    turned = pointing(alike_yaw(along, HALF_TURN, hand.heading), tilt, along + HALF_TURN)
    return Grip(place + 0.005 * UP, turned, 2.0 * peg.half_m)


def _bring(world: World, hand: Hand, goal: Socket, axis: FloatArray) -> FloatArray:
    """Return the step that takes the held peg over its goal, upright, and presses it in."""
    body = world.data.body(PEG)
    tip = body.xpos - world.room.part(Peg).length_m / 2 * axis + hand.position - hand.measured
    leaning = ramp(lean(world), 0.3, 0.6)
    slip = math.remainder(box_yaw(body.xmat) - hand.heading, QUARTER_TURN)
    twist = math.remainder(alike_yaw(goal.yaw, QUARTER_TURN, hand.heading) - slip - hand.heading, 2.0 * HALF_TURN)
    turn = np.cross(axis, UP) + (1.0 - leaning) * twist * UP
    way = goal.floor - tip
    apart = math.hypot(way[0], way[1]) + 0.03 * float(np.linalg.norm(turn))
    # inside the bevel's reach it goes down and lets the walls do the rest
    tolerance = goal.slack_m / 2 + 0.0004
    over = ramp(apart, tolerance, tolerance + 0.01)
    here = min(_height_above(world, tip, name) for name in (BLOCK, HOLDER))
    way[2] = (1.0 - over) * max(way[2], -0.012) + over * (TRAVEL_M - here)
    way[:2] *= 1.0 - ramp(way[2] * over, 0.002, 0.01)
    # inside the socket that it leaves it may not twist, and on the table it may not be stood up
    turn[2] *= max(1.0 - over, ramp(here, 0.0, 0.008))
    turn[:2] *= 1.0 - leaning * (1.0 - ramp(tip[2] - world.table_z_m, 0.02, 0.04))
    return hand.step(way, turn, 0.0)
