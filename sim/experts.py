"""What scripted experts are made of: reach, grasp, carry and put down, from the true state.

Nothing here has a memory or phases: hover height, closing, lifting and letting go fade into each other with distances
that an observer could also see. So an expert's steps can be learnt by behaviour cloning and can label any state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from tutelage_core.rotations import (
    conjugate_xyzw,
    multiply_xyzw,
    normalize_xyzw,
    quaternion_xyzw_to_matrix,
    rotation_vector_to_xyzw,
    xyzw_to_rotation_vector,
)
from tutelage_core.types import ArmState, FloatArray

UP = np.array([0.0, 0.0, 1.0])
HALF_TURN, QUARTER_TURN = math.pi, math.pi / 2.0


@dataclass(frozen=True)
class ExpertSettings:
    """How an expert moves.

    Attributes:
        gain: share of the remaining way that a step takes.
        lag_s: how far the arm follows behind its target [s]; its velocity tells where the target is.
        speed: share of the contract's largest step that is used.
        hover_m: distance from the grasp, along the way in, while not aligned [m].
        aligned_m: error across the way in up to which going in is right [m].
        funnel_m: further error over which the hover distance is reached [m].
        closing_m: distance from the grasp at which the fingers start to close [m].
        closed_m: distance at which they are told to close fully [m].
    """

    gain: float = 0.75
    lag_s: float = 0.05
    speed: float = 0.72
    hover_m: float = 0.055
    aligned_m: float = 0.006
    funnel_m: float = 0.02
    closing_m: float = 0.016
    closed_m: float = 0.010


@dataclass(frozen=True)
class Hand:
    """The hand as an expert sees it, and how far it may move in a step.

    Attributes:
        measured: where the TCP is, shape (3,) [m].
        position: where it will be when it has caught up with its target, shape (3,) [m].
        quaternion_xyzw: likewise its orientation.
        velocity: of the TCP, shape (3,) [m/s].
        opening: 0 closed .. 1 open.
        width_m: distance between the pads [m].
        max_step_m: longest translation of a step [m].
        max_step_rad: largest rotation of a step [rad].
        settings: how to move.
    """

    measured: FloatArray
    position: FloatArray
    quaternion_xyzw: FloatArray
    velocity: FloatArray
    opening: float
    width_m: float
    max_step_m: float
    max_step_rad: float
    settings: ExpertSettings

    @property
    def heading(self) -> float:
        """Turn of the hand about the vertical; 0 at home [rad]."""
        matrix = quaternion_xyzw_to_matrix(self.quaternion_xyzw)
        return math.atan2(matrix[1, 0], matrix[0, 0])

    def step(self, way: FloatArray, turn: FloatArray, opening: float) -> FloatArray:
        """Return a TCP step, shape (7,) [m, rad, 0..1], along `way` [m] and `turn` [rad], no longer than is allowed."""
        settings, step = self.settings, np.empty(7)
        step[:3] = _shorten(settings.gain * way, settings.speed * self.max_step_m)
        step[3:6] = _shorten(settings.gain * turn, settings.speed * self.max_step_rad)
        step[6] = opening
        return step

    def turn_to(self, quaternion_xyzw: FloatArray) -> FloatArray:
        """Return the rotation vector from the hand's orientation to this one, in the base frame, shape (3,) [rad]."""
        return xyzw_to_rotation_vector(multiply_xyzw(quaternion_xyzw, conjugate_xyzw(self.quaternion_xyzw)))


def see_hand(
    state: ArmState,
    gripper_width_m: float,
    max_step_m: float,
    max_step_rad: float,
    settings: ExpertSettings | None = None,
) -> Hand:
    """Return the hand of an arm in `state`; `gripper_width_m` is the pads' distance when fully open [m]."""
    settings = settings or ExpertSettings()
    pose, velocity = state.T_base_tcp, state.tcp_velocity
    moving = rotation_vector_to_xyzw(settings.lag_s * velocity[3:])
    return Hand(
        measured=pose.position,
        position=pose.position + settings.lag_s * velocity[:3],
        quaternion_xyzw=normalize_xyzw(multiply_xyzw(moving, pose.quaternion_xyzw)),
        velocity=velocity[:3],
        opening=state.gripper_opening,
        width_m=state.gripper_opening * gripper_width_m,
        max_step_m=max_step_m,
        max_step_rad=max_step_rad,
        settings=settings,
    )


def pointing(yaw: float, tilt_rad: float = 0.0, toward: float = 0.0) -> FloatArray:
    """Return the orientation of a hand that points down, as a quaternion xyzw.

    Args:
        yaw: turn about the vertical; the fingers open along y at 0 and along x at a quarter turn [rad].
        tilt_rad: how far the fingers then swing out of the vertical [rad].
        toward: direction in the plane into which they swing, 0 for x and a quarter turn for y [rad].
    """
    down = multiply_xyzw(rotation_vector_to_xyzw(np.array([0.0, 0.0, yaw])), np.array([1.0, 0.0, 0.0, 0.0]))
    axis = np.array([math.sin(toward), -math.cos(toward), 0.0])
    return multiply_xyzw(rotation_vector_to_xyzw(tilt_rad * axis), down)


def alike_yaw(yaw: float, period: float, heading: float) -> float:
    """Return the turn nearest to straight ahead among those that look alike [rad].

    At the border between two the one on the side of the hand's own `heading` is taken, so that it does not waver.
    """
    goal = (yaw + period / 2.0) % period - period / 2.0
    if abs(abs(goal) - period / 2.0) < 0.15 and goal * heading < 0.0:
        goal -= math.copysign(period, goal)
    return goal


@dataclass(frozen=True)
class Grip:
    """Where and how to take hold of a thing.

    Attributes:
        position: where the TCP shall be, shape (3,) [m].
        quaternion_xyzw: how the hand shall be turned.
        width_m: how thick the thing is between the pads [m].
        out: unit vector from the grip to where the hand comes from, shape (3,).
        opening: how far the hand opens before it closes, 0..1.
    """

    position: FloatArray
    quaternion_xyzw: FloatArray
    width_m: float
    out: FloatArray = field(default_factory=UP.copy)
    opening: float = 1.0


def top_grip(hand: Hand, position: FloatArray, yaw: float, width_m: float, period: float = QUARTER_TURN) -> Grip:
    """Return the grip from above of a thing that looks alike after each `period` of turning [rad]."""
    return Grip(position, pointing(alike_yaw(yaw, period, hand.heading)), width_m)


def held(hand: Hand, grip: Grip) -> float:
    """Return how surely the hand holds the thing, 0..1: it is there, and the fingers are as near as it allows."""
    squeeze = grip.width_m + 0.004 - hand.width_m
    return _nearness(hand, grip) * ramp(squeeze, -0.006, 0.0)


def reach(hand: Hand, position: FloatArray, quaternion_xyzw: FloatArray, opening: float) -> FloatArray:
    """Return the step straight to a pose."""
    return hand.step(position - hand.position, hand.turn_to(quaternion_xyzw), opening)


def approach(
    hand: Hand,
    position: FloatArray,
    quaternion_xyzw: FloatArray,
    opening: float,
    out: FloatArray = UP,
    hover_m: float | None = None,
) -> FloatArray:
    """Return the step to a pose that is entered along `out`: the hand comes near only once it is aligned.

    While it is misaligned and already too near it draws back first, or the fingers would push the thing away.
    """
    settings = hand.settings
    turn = hand.turn_to(quaternion_xyzw)
    offset = hand.position - position
    along = float(offset @ out)
    across = offset - along * out
    # a skewed gripper needs the same room as a misplaced one
    skew = float(np.linalg.norm(across)) + 0.04 * max(0.0, float(np.linalg.norm(turn)) - 0.1)
    hover = (settings.hover_m if hover_m is None else hover_m) * ramp(
        skew, settings.aligned_m, settings.aligned_m + settings.funnel_m
    )
    back = hover - along
    across = across * (1.0 - 0.9 * ramp(back, 0.01, 0.03))
    return hand.step(back * out - across, turn, opening)


def grasp(hand: Hand, grip: Grip, hover_m: float | None = None) -> FloatArray:
    """Return the step that goes on with taking hold; once it is `held`, the hand keeps still and pressed."""
    nearness = _nearness(hand, grip)
    opening = grip.opening * (1.0 - nearness)
    return approach(hand, grip.position, grip.quaternion_xyzw, opening, grip.out, hover_m)


def carry(
    hand: Hand,
    thing: FloatArray,
    goal: FloatArray,
    quaternion_xyzw: FloatArray,
    clearance_m: float,
    near_m: float = 0.008,
    far_m: float = 0.04,
) -> FloatArray:
    """Return the step that takes a held thing to its goal from above.

    Args:
        hand: that holds it.
        thing: where it is, shape (3,) [m].
        goal: where it shall be, shape (3,) [m].
        quaternion_xyzw: how the hand shall be turned.
        clearance_m: height above the goal at which it travels [m].
        near_m: distance in the plane within which it may sink to the goal [m].
        far_m: distance beyond which it travels at full height [m].
    """
    way = goal - thing - (hand.position - hand.measured)
    apart = math.hypot(way[0], way[1])
    way[2] += clearance_m * ramp(apart, near_m, far_m)
    way[:2] *= 1.0 - 0.95 * ramp(way[2], 0.01, 0.03)
    return hand.step(way, hand.turn_to(quaternion_xyzw), 0.0)


def let_go(hand: Hand, width_m: float, out: FloatArray = UP, opening: float = 1.0) -> FloatArray:
    """Return the step that opens the fingers around a thing `width_m` thick and, once they are clear, withdraws."""
    clear = ramp(hand.width_m - width_m, 0.004, 0.012)
    return hand.step(0.03 * clear * out, np.zeros(3), opening)


def blend(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Return the step that is `share` (0..1) of the way from `first` to `second`."""
    return (1.0 - share) * first + share * second


def ramp(value: float, low: float, high: float) -> float:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between."""
    x = min(max((float(value) - low) / (high - low), 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def flat_yaw(matrix: FloatArray) -> float:
    """Return the turn about the vertical of a box that lies on any of its faces; `matrix` is row-major, 9 numbers."""
    axes = np.asarray(matrix).reshape(3, 3).T
    flattest = axes[int(np.argmin(np.abs(axes[:, 2])))]
    return math.atan2(flattest[1], flattest[0])


def _nearness(hand: Hand, grip: Grip) -> float:
    """Return 1 where the fingers may close fully, 0 where they must be open."""
    skew = 0.03 * float(np.linalg.norm(hand.turn_to(grip.quaternion_xyzw)))
    distance = float(np.linalg.norm(hand.measured - grip.position)) + skew
    return 1.0 - ramp(distance, hand.settings.closed_m, hand.settings.closing_m)


def _shorten(vector: FloatArray, longest: float) -> FloatArray:
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)
