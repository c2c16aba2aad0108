"""What tasks share in which a thing is taken from one place, laid at another, and let go."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import replace

import numpy as np

from sim.experts import UP, Grip, Hand, blend, carry, grasp, held, let_go, ramp, see_hand
from sim.robots import PADS
from sim.tasks.task import WatchedTask
from sim.world import World
from tutelage_core.types import FloatArray

STILL_M_S, STILL_RAD_S = 0.02, 0.5
"""A thing that moves and turns slower than this is at rest."""

CARRIED_M = 0.02
"""A thing that was held this far above where it was can be dropped [m]."""

SLIP_M = 0.012
"""A thing may slip so far between the pads and still be carried on [m]."""

ARRIVED = 0.85
"""Share of the way after which a thing counts as brought, for the progress."""

REACH_M = ((0.28, 0.72), (-0.32, 0.32))
"""Where a thing can still be grasped, x and y [m]."""

MIDDLE_M = (0.48, 0.0)
"""Middle of where the arm works, x and y [m]."""


class PlacingTask(WatchedTask):
    """Take a thing, carry it over its goal, set it down, let go.

    A task derives from it and says what the thing is, how to grip it, where it goes, and when it lies there.
    The thing is a free body whose joint has the body's name.
    """

    name = ""
    step_limit = 90
    thing = ""
    near_m = 0.009
    """Distance from the goal, in the plane, at which the expert lets go [m]."""

    @abstractmethod
    def geoms(self, world: World) -> tuple[str, ...]:
        """Return the names of the thing's geoms."""

    @abstractmethod
    def grip(self, world: World, hand: Hand) -> Grip:
        """Return how to take the thing as it is now."""

    @abstractmethod
    def goal(self, world: World) -> FloatArray:
        """Return where the expert sets the thing down: position of its body, shape (3,) [m]."""

    @abstractmethod
    def clearance_m(self, world: World) -> float:
        """Return the height above the goal at which the thing travels [m]."""

    @abstractmethod
    def lies(self, world: World) -> bool:
        """Tell whether the thing is where it shall be, held or not."""

    def landing(self, world: World) -> bool:
        """Tell whether the thing, if it was let go here, may still come to lie where it shall: so it is not dropped."""
        del world
        return False

    def handle(self, world: World) -> FloatArray:
        """Return where the hand goes to take the thing, roughly, shape (3,) [m]."""
        return world.data.body(self.thing).xpos.copy()

    def note(self, world: World) -> None:
        """Note how far the ways are."""
        self._far_m = max(self._hand_way(world), 0.05)
        self._rest_z = float(world.data.body(self.thing).xpos[2])
        self._way_m = max(self._way(world), 0.05)
        self._carried = self._dropped = False
        self.look(world)

    def look(self, world: World) -> None:
        """See who holds the thing, whether it lies at its goal and whether it was dropped on the way."""
        self._pads = world.touching(PADS, self.geoms(world))
        self._lies = self.lies(world)
        self._share = max(1.0 - self._way(world) / self._way_m, 0.0)
        if self._pads == len(PADS):
            lifted = float(world.data.body(self.thing).xpos[2]) - self._rest_z
            self._carried, self._dropped = self._carried or lifted > CARRIED_M, False
        elif self._lies:
            self._carried = self._dropped = False
        elif self._share > ARRIVED or self.landing(world):
            self._dropped = False
        elif self._carried and not self._pads:
            self._carried, self._dropped = False, True

    def done(self, world: World) -> bool:
        """Tell whether the thing lies where it shall, let go and at rest."""
        return self._lies and not self._pads and at_rest(world, self.thing)

    def progress(self, world: World) -> float:
        """Return how far it has come: hand at the thing, held, brought, there, let go."""
        near = 1.0 if self._lies else 1.0 - min(self._hand_way(world) / self._far_m, 1.0)
        holds = self._lies or self._share > ARRIVED or self._pads == len(PADS)
        lies = 0.05 + 0.05 * (not self._pads) if self._lies else 0.0
        return 0.35 * near + 0.05 * holds + 0.45 * self._share + lies

    def failure(self, world: World) -> str:
        """Tell whether the thing got out of reach or fell on the way."""
        if out_of_reach(world.data.body(self.thing).xpos):
            return "pushed_away"
        return "dropped" if self._dropped else ""

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Grasp the thing, carry it over its goal, sink, let go and draw back."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad)
        grip = _as_held(hand, self.grip(world, hand))
        goal, place = self.goal(world), world.data.body(self.thing).xpos.copy()
        way = goal - place
        there = (1.0 - ramp(math.hypot(way[0], way[1]), self.near_m, 1.5 * self.near_m)) * (
            1.0 - ramp(-way[2], 0.004, 0.008)
        )
        if self.lies(world):
            # where else it lies well and the hand is open, it stays
            there = max(there, ramp(hand.width_m - grip.width_m, 0.003, 0.008))
        else:
            # what came to lie badly is taken again
            there *= 1.0 - ramp(hand.width_m - grip.width_m, 0.012, 0.02)
        bring = carry(hand, place, goal, grip.quaternion_xyzw, self.clearance_m(world), min(self.near_m, 0.008), 0.03)
        go_on = blend(grasp(hand, grip), bring, held(hand, grip))
        return blend(go_on, let_go(hand, grip.width_m, opening=grip.opening), there)

    def _hand_way(self, world: World) -> float:
        return float(np.linalg.norm(world.tcp_pose().position - self.handle(world)))

    def _way(self, world: World) -> float:
        """Return how far the thing has to go: up, across and down [m]."""
        way = self.goal(world) - world.data.body(self.thing).xpos
        across = math.hypot(way[0], way[1])
        far = ramp(across, 0.01, 0.05)
        clearance = self.clearance_m(world)
        travel = max(way[2] + clearance, 0.0) + clearance
        return across + far * travel + (1.0 - far) * abs(float(way[2]))


def out_of_reach(position: FloatArray) -> bool:
    """Tell whether a thing at `position`, shape (3,) [m], can no longer be grasped."""
    (x_min, x_max), (y_min, y_max) = REACH_M
    return not (x_min <= position[0] <= x_max and y_min <= position[1] <= y_max)


def at_rest(world: World, thing: str) -> bool:
    """Tell whether the free body `thing` hardly moves and turns."""
    velocity = world.data.joint(thing).qvel
    return bool(np.linalg.norm(velocity[:3]) < STILL_M_S and np.linalg.norm(velocity[3:]) < STILL_RAD_S)


def beside(place: FloatArray, distance_m: float) -> FloatArray:
    """Return the point `distance_m` from `place` on the side where the arm has more room, shape (2,) [m]."""
    way = np.array(MIDDLE_M) - place[:2]
    length = float(np.linalg.norm(way))
    return place[:2] + distance_m * (way / length if length > 1e-6 else np.array([0.0, 1.0]))


def upright(world: World, body: str) -> float:
    """Return how upright a body stands: the vertical part of its z axis, 1 if it stands straight."""
    return float(world.data.body(body).xmat[8])


def lean_about(world: World, body: str) -> FloatArray:
    """Return the rotation vector that would set a body upright, shape (3,) [rad]."""
    axis = world.data.body(body).xmat.reshape(3, 3)[:, 2]
    return np.cross(axis, UP)


def _as_held(hand: Hand, grip: Grip) -> Grip:
    """Return the grip, moved to where the fingers are if they already clasp the thing a little beside it."""
    tight = ramp(grip.width_m + 0.004 - hand.width_m, -0.004, 0.0) * ramp(hand.width_m - grip.width_m, -0.014, -0.006)
    slip = hand.measured - grip.position
    length = max(float(np.linalg.norm(slip)), 1e-9)
    return replace(grip, position=grip.position + tight * min(SLIP_M / length, 1.0) * slip)
