"""What opening and closing a drawer or a door have in common: ground truth, failures and the expert's skills."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import numpy as np

from sim.cabinet import CABINET, PANEL, STANDS_ON, Cabinet, Leaf, colour_word, see_leaf, shifted
from sim.experts import (
    ExpertSettings,
    Grip,
    Hand,
    approach,
    blend,
    grasp,
    held,
    pointing,
    ramp,
    see_hand,
)
from sim.handles import NAMES, Handle, Hold, hold_of
from sim.rooms import Room
from sim.tasks.task import WORKPLACE, WatchedTask
from sim.world import World
from tutelage_core.rotations import quaternion_xyzw_to_matrix
from tutelage_core.types import FloatArray

TILT_RAD = 0.4
"""How far the fingers lean to the panel; so the hand's body stays clear of it [rad]."""

TOUCH_M = 0.012
"""Distance of the TCP from a panel that the leaning finger tips touch [m]."""

OVER_HANDLE_M = 0.02
"""How far above the handle's upper end the TCP pushes [m]."""

PRESS_M = 0.004
"""How far beyond shut a push aims [m]."""

STRIDE_M = 0.02
"""How far ahead along its way the handle is led [m]."""

PUSHED_M, TURNED_RAD = 0.03, math.radians(10.0)
"""A cabinet that moved or turned by more was pushed."""

LOST_M = 0.06
"""A hand that is farther from the handle has lost it [m]."""

BACK_SHARE = 0.2
"""Change of the opening, as a share of its whole range, in the wrong direction that is a failure."""

HOVER_M = 0.06
PINCHING = ExpertSettings(hover_m=HOVER_M)
HOOKING = ExpertSettings(aligned_m=0.003, funnel_m=0.012, hover_m=HOVER_M)
"""The gap behind a handle is narrow."""


class CabinetTask(WatchedTask):
    """A task at a cabinet. What derives from it says which way and how far.

    Attributes:
        opens: whether the task is to open.
        upright: whether the handle stands upright.
        still: speed below which the leaf is at rest [m/s or rad/s].
    """

    opens: ClassVar[bool]
    upright: ClassVar[bool]
    still: ClassVar[float]
    step_limit = 90
    keep_clear = (WORKPLACE, STANDS_ON)

    @abstractmethod
    def target(self, world: World) -> float:
        """Return the opening at which the task is done [m or rad]."""

    @abstractmethod
    def aim(self, world: World) -> float:
        """Return the opening to which the expert leads the leaf [m or rad]."""

    def words(self, world: World) -> dict[str, str]:
        """Return the cabinet's colour and what its handle is called."""
        style = world.room.part(Cabinet)
        colour = colour_word(style)
        return {"colour": colour, "handle": NAMES[world.room.part(Handle).kind]}

    def note(self, world: World) -> None:
        """Note where the cabinet stands and how far it is open."""
        body = world.data.body(CABINET)
        self._place, self._turn = body.xpos.copy(), body.xquat[[1, 2, 3, 0]].copy()
        leaf = see_leaf(world)
        self._first = self._best = leaf.opening
        self._far_m = max(self._distance(world, leaf), 0.05)
        self._near_m = self._far_m

    def look(self, world: World) -> None:
        """Follow how far it is open and where the hand is."""
        leaf = see_leaf(world)
        self._best = max(self._best, leaf.opening) if self.opens else min(self._best, leaf.opening)
        self._near_m = self._distance(world, leaf)

    def done(self, world: World) -> bool:
        """Tell whether it is open, or shut, far enough and at rest."""
        leaf, target = see_leaf(world), self.target(world)
        there = leaf.opening >= target if self.opens else leaf.opening <= target
        return there and abs(leaf.speed) <= self.still

    def progress(self, world: World) -> float:
        """Return how far it has come: the hand at the handle, the leaf on its way."""
        near = 1.0 - min(self._near_m / self._far_m, 1.0)
        return 0.35 * near + 0.6 * self._moved(see_leaf(world).opening, world)

    def failure(self, world: World) -> str:
        """Tell whether the cabinet was moved, the leaf went back, or the hand lost it half way."""
        moved_m, turned_rad = shifted(world, self._place, self._turn)
        if moved_m > PUSHED_M or turned_rad > TURNED_RAD:
            return "cabinet_pushed"
        leaf = see_leaf(world)
        back = self._best - leaf.opening if self.opens else leaf.opening - self._best
        if back > BACK_SHARE * self._range(world):
            return "shut_again" if self.opens else "pulled_open"
        begun, far = self._moved(leaf.opening, world), self._near_m > LOST_M
        if 0.15 < begun < 1.0 and far and abs(leaf.speed) <= self.still:
            return "slipped_off"
        return ""

    def points(self, world: World) -> dict[str, FloatArray]:
        """Return where the handle is and shall be, the middle of the panel, and the cabinet's foot."""
        leaf, hold = see_leaf(world), self._hold(world.room)
        return {
            "handle": leaf.place(hold.place),
            "target": leaf.place(hold.place, self.aim(world) - leaf.opening),
            "panel": world.data.geom(PANEL).xpos.copy(),
            "cabinet": world.data.body(CABINET).xpos.copy(),
        }

    def expert_step(self, world: World, max_step_m: float, max_step_rad: float) -> FloatArray:
        """Take hold of the handle and pull, or push the panel shut; a hand that has hold pushes with it."""
        leaf, hold = see_leaf(world), self._hold(world.room)
        settings = HOOKING if hold.hooks and self.opens else PINCHING
        hand = see_hand(world.arm_state(), world.settings.gripper.width_m, max_step_m, max_step_rad, settings)
        way = self.aim(world) - leaf.opening
        if not self.opens:
            way -= PRESS_M / leaf.lever_m
        stride = STRIDE_M / leaf.lever_m
        further = min(max(way, -stride), stride)
        grip = _grip(leaf, hold)
        engaged = _hooked(hand, leaf, hold) if hold.hooks else _pinched(hand, grip)
        # fingers that hook behind the handle push at the panel, which is nearer
        push_m = hold.place[1] if self.opens or not hold.hooks else TOUCH_M
        lead = _toward(hand, leaf, np.array([hold.place[0], push_m, hold.place[2]]), further)
        if self.opens:
            if hold.hooks:
                take = approach(hand, grip.position, grip.quaternion_xyzw, 0.0, grip.out)
            else:
                take = grasp(hand, grip)
            return blend(take, lead, engaged)
        return blend(self._push(world, hand, leaf, hold, further), lead, engaged)

    def _push(self, world: World, hand: Hand, leaf: Leaf, hold: Hold, further: float) -> FloatArray:
        """Return the step that brings the closed fingers to the panel above the handle and pushes."""
        spot = np.array([0.0, TOUCH_M + 0.003, hold.top_m + OVER_HANDLE_M])
        position, quaternion = leaf.place(spot), _turned(leaf.heading())
        out = _out(quaternion)
        top = float(world.data.geom(PANEL).xpos[2]) + world.room.part(Cabinet).height_m / 2.0
        hover = max(HOVER_M, (top + 0.03 - position[2]) / out[2])
        come = approach(hand, position, quaternion, 0.0, out, hover)
        offset = leaf.matrix.T @ (hand.measured - position)
        across = math.hypot(offset[0], offset[2])
        skew = float(np.linalg.norm(hand.turn_to(quaternion)))
        at = (1.0 - ramp(across + 0.03 * skew, 0.012, 0.02)) * (1.0 - ramp(abs(offset[1]), 0.012, 0.02))
        return blend(come, _toward(hand, leaf, spot - [0.0, 0.003, 0.0], further), at)

    def _hold(self, room: Room) -> Hold:
        return hold_of(room.part(Handle), self.upright)

    @abstractmethod
    def _range(self, world: World) -> float:
        """Return how far the leaf can open [m or rad]."""

    def _moved(self, opening: float, world: World) -> float:
        """Return the share of the way to the target that is done, 0..1; a way that was none is done."""
        whole = self.target(world) - self._first
        if (whole <= 0.0) == self.opens or whole == 0.0:
            return 1.0
        return min(max((opening - self._first) / whole, 0.0), 1.0)

    def _distance(self, world: World, leaf: Leaf) -> float:
        """Return how far the hand is from where it pulls or may push [m]."""
        tcp, hold = world.tcp_pose().position, self._hold(world.room)
        spots = [hold.place]
        if not self.opens:
            spots.append(np.array([0.0, TOUCH_M, hold.top_m + OVER_HANDLE_M]))
        return min(float(np.linalg.norm(tcp - leaf.place(spot))) for spot in spots)


def _turned(heading: float) -> FloatArray:
    """Return the orientation of a hand at a panel that faces `heading`, its fingers leaning to the panel."""
    return pointing(heading, TILT_RAD, heading + math.pi)


def _out(quaternion_xyzw: FloatArray) -> FloatArray:
    return -quaternion_xyzw_to_matrix(quaternion_xyzw)[:, 2]


def _grip(leaf: Leaf, hold: Hold) -> Grip:
    quaternion = _turned(leaf.heading())
    return Grip(leaf.place(hold.place), quaternion, hold.width_m, _out(quaternion))


def _pinched(hand: Hand, grip: Grip) -> float:
    """Return how surely the handle is between the pads, 0..1; fingers that closed beside it do not hold it."""
    return held(hand, grip) * ramp(hand.width_m - grip.width_m, -0.008, -0.003)


def _hooked(hand: Hand, leaf: Leaf, hold: Hold) -> float:
    """Return how surely the closed fingers are between handle and panel, 0..1."""
    offset = leaf.matrix.T @ (hand.measured - leaf.place(hold.place))
    deep = 1.0 - ramp(offset[2], 0.003, 0.007)
    beside = 1.0 - ramp(abs(offset[0]), 0.012, 0.018)
    between = 1.0 - ramp(abs(offset[1]), 0.010, 0.014)
    skew = float(np.linalg.norm(hand.turn_to(_turned(leaf.heading()))))
    return deep * beside * between * (1.0 - ramp(skew, 0.25, 0.4))


def _toward(hand: Hand, leaf: Leaf, local: FloatArray, further: float) -> FloatArray:
    """Return the step that leads the TCP to where a point of the handle's frame will be."""
    goal = leaf.place(local, further)
    return hand.step(goal - hand.position, hand.turn_to(_turned(leaf.heading(further))), 0.0)
