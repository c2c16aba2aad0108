"""Pick up a bag by its handles: it stands anywhere in a square, turned a little, and shall be lifted and held."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from sim.bag import BAG, Bag, add_bag, handles_top, lift_m, pads_on_handles
from sim.experts import HALF_TURN, ExpertSettings, Grip, Hand, alike_yaw, blend, grasp, pointing, ramp, see_hand
from sim.rooms import Room, Table
from sim.tasks.task import WatchedTask
from sim.world import World
from tutelage_core.rotations import rotation_vector_to_xyzw
from tutelage_core.types import FloatArray

AREA_CENTRE_M = (0.5, 0.0)
AREA_HALF_M = (0.06, 0.1)
LARGEST_YAW = math.radians(35.0)
LIFT_M = 0.08
"""How high the lowest corner of the bag must be above the table [m]."""

ASKED_LIFT_M = 0.1
"""How high the expert lifts it [m]."""

DROP_M = 0.02
"""A bag that was lifted by this much and is then held no longer was dropped [m]."""

TIPPED_UP = 0.5
"""A bag whose axis has a smaller vertical part has tipped over."""

CLOSED_M = 0.018
"""Distance between the pads below which they can hold the handles [m]."""

BELOW_TOP_M = (0.002, 0.006)
"""How far below the top of one and of two handles the pads take hold [m]."""

REACH_M = ((0.3, 0.7), (-0.3, 0.3))
"""Where the bag can still be taken, x and y [m]."""

SETTINGS = ExpertSettings(closing_m=0.03, closed_m=0.02)
"""The handles give way while the fingers gather them, so closing goes on where the tops have moved."""


class PickBag(WatchedTask):
    """The task, its ground truth and its expert."""

    name = "PickBag"
    scene = "bag"
    instructions = (
        "pick up the bag",
        "lift the bag by its handle",
        "take the bag from the table",
        "grasp the bag's handle and raise it",
        "pick the shopping bag up and hold it",
    )
    failures = ("pushed_away", "dropped", "tipped", "timeout")
    styles = (Bag,)

    def build(self, spec: mujoco.MjSpec, room: Room) -> None:
        """Add the bag."""
        add_bag(spec, room.part(Bag), room.part(Table).height_m)

    def sample(self, world: World, rng: np.random.Generator) -> None:
        """Stand the bag somewhere in its square, turned by up to LARGEST_YAW either way."""
        half = np.array(AREA_HALF_M)
        shift, yaw = rng.uniform(-half, half), rng.uniform(-LARGEST_YAW, LARGEST_YAW)
        z = world.table_z_m + world.room.part(Bag).height_m / 2.0
        place = np.array([*(AREA_CENTRE_M + shift), z])
        world.place_body(BAG, place, rotation_vector_to_xyzw(np.array([0.0, 0.0, yaw])))

    def note(self, world: World) -> None:
        """Note how far away the handles are."""
        self._far_m = max(self._distance(world), 0.05)
        self._held = self._fallen = False
        self._highest_m = 0.0

    def look(self, world: World) -> None:
        """See whether the bag is held, how high it is and whether it fell."""
        self._held = holds(world)
        if self._held:
            self._highest_m, self._fallen = max(self._highest_m, lift_m(world)), False
        elif self._highest_m >= DROP_M and lift_m(world) < DROP_M:
            self._highest_m, self._fallen = 0.0, True

    def done(self, world: World) -> bool:
        """Tell whether it is held up."""
        return self._held and lift_m(world) >= LIFT_M

    def progress(self, world: World) -> float:
        """Return how far it has come: near, held, lifted."""
        near = 1.0 - min(self._distance(world) / self._far_m, 1.0)
        lift = min(max(lift_m(world) / LIFT_M, 0.0), 1.0)
        return 0.4 * near + (0.15 + 0.45 * lift if self._held else 0.0)

    def failure(self, world: World) -> str:
        """Tell whether the bag got out of reach, fell or lies on its side."""
        body = world.data.body(BAG)
        x, y = body.xpos[:2]
        if not (REACH_M[0][0] <= x <= REACH_M[0][1] and REACH_M[1][0] <= y <= REACH_M[1][1]):
            return "pushed_away"
        if body.xmat[8] < TIPPED_UP and not self._held:
            return "tipped"
        return "dropped" if self._fallen else ""

    def captions(self, world: World) -> tuple[str, ...]:
        """Say where the bag is."""
        if holds(world):
            if lift_m(world) >= LIFT_M:
                return ("the gripper holds the bag in the air by its handle", "the bag hangs from the gripper")
            return ("the gripper holds the bag's handle near the table", "the bag's handle is grasped")
        if world.data.body(BAG).xmat[8] < TIPPED_UP:
            return ("the bag has tipped over", "the bag lies on its side and nothing holds it")
        return ("the bag stands on the table", "the gripper is empty and the bag is on the table")

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the bag's middle and the top of its handles are."""
        return {"bag": world.data.body(BAG).xpos.copy(), "handle": handles_top(world)}

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Take all handles from above between the pads and lift."""
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad, SETTINGS)
        go_on = grasp(hand, self._grip(world, hand))
        rise = min(ASKED_LIFT_M - lift_m(world), 0.025)
        lift = hand.step(np.array([0.0, 0.0, rise]), np.zeros(3), 0.0)
        return blend(go_on, lift, self._hold(world, hand))

    def _grip(self, world: World, hand: Hand) -> Grip:
        handles, matrix = world.room.part(Bag).handles, world.data.body(BAG).xmat
        place = handles_top(world) - np.array([0.0, 0.0, BELOW_TOP_M[handles - 1]])
        yaw = alike_yaw(math.atan2(matrix[3], matrix[0]), HALF_TURN, hand.heading)
        return Grip(place, pointing(yaw), 0.01)

    def _hold(self, world: World, hand: Hand) -> float:
        return ramp(CLOSED_M - hand.width_m, 0.0, 0.004) if pads_on_handles(world) == 2 else 0.0

    def _distance(self, world: World) -> float:
        return float(np.linalg.norm(world.tcp_pose().position - handles_top(world)))


def holds(world: World) -> bool:
    """Tell whether both pads press on the handles."""
    width_m = world.gripper_opening * world.settings.gripper.width_m
    return pads_on_handles(world) == 2 and width_m < CLOSED_M
