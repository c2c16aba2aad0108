"""How a hand turns a bottle: it grips it below the shoulder, leaning over the cap, and turns it in the air.

The grip never changes, so turning the bottle by a quarter turn takes the hand from leaning one way to pointing the
other way by the rest of that quarter turn. The arm reaches both in every direction, but only with the hand's yaw about
YAW_CENTRE_RAD, half way between the stops of the last joint, and with the bottle above the middle of the table.
"""

from __future__ import annotations

import math

import numpy as np

from sim.bottle import BottlePose
from sim.experts import HALF_TURN, QUARTER_TURN, UP, ExpertSettings, Grip, Hand, alike_yaw, pointing, ramp
from tutelage_core.rotations import quaternion_xyzw_to_matrix
from tutelage_core.types import FloatArray

LEAN_RAD = math.radians(37.0)
"""How far the hand leans over the cap, off the perpendicular to the bottle's axis [rad]."""

LEAN_BACK_RAD = math.radians(20.0)
"""The same where the cap points, or shall point, back to the robot [rad]: fingers that lean forward come near to the
line of the forearm, where the wrist is singular."""

YAW_CENTRE_RAD = 1.47
"""Middle of the hand's yaws from which it can lean both ways [rad]; found by inverse kinematics over the table."""

TURNING_AREA_M = ((0.52, 0.58), (-0.08, 0.08))
"""Where the hand goes to turn the bottle, from wherever it was [m]."""

TURNING_BACK_M = 0.06
"""How much nearer to the robot that is when the cap points back to it [m]."""

START_M = (0.45, 0.0)
"""Below where the hand starts, x and y [m]."""

SIDEWAYS_RAD = math.radians(60.0)
"""A bottle is laid down at least so far to the side of the arm's direction [rad]."""

TURN_CLEARANCE_M = 0.03
"""Height above the table of the bottle's lowest point while it is turned [m]."""

TURN_STEP_RAD = 0.09
"""Largest turn of a held bottle in a step [rad]; the wrist follows no faster where it is nearly stretched."""

MANNER = ExpertSettings(aligned_m=0.005, funnel_m=0.01)
"""The hand comes down only once it leans as it shall: it would touch the bottle's shoulder."""

HOVER_M = 0.085
NEAR_TIPS_M = 0.003
"""How much nearer to the finger tips than the TCP the bottle's axis is held; it keeps the hand off the shoulder [m]."""


def _fingers(hand: Hand) -> FloatArray:
    """Return the direction in which the fingers point, shape (3,)."""
    return quaternion_xyzw_to_matrix(hand.quaternion_xyzw)[:, 2]


def _across(hand: Hand, pose: BottlePose) -> FloatArray:
    """Return the direction in which the fingers reach across the bottle, perpendicular to its axis, shape (3,)."""
    way = _fingers(hand)
    return _unit(way - (way @ pose.axis) * pose.axis)


def _backward(pose: BottlePose, ahead: float) -> float:
    """Return how much the direction `ahead` [rad] points back to the robot, seen from the bottle, 0..1."""
    return ramp(-math.cos(ahead - math.atan2(pose.grip[1], pose.grip[0])), 0.2, 0.6)


def _lean(pose: BottlePose, ahead: float) -> float:
    """Return how far the hand leans over the cap of a bottle that lies, or shall lie, with its cap `ahead` [rad]."""
    return LEAN_RAD + (LEAN_BACK_RAD - LEAN_RAD) * _backward(pose, ahead)


def _leaning(hand: Hand, pose: BottlePose, yaw: float, tilt_rad: float, toward: float) -> Grip:
    """Return the grip of a hand whose fingers swing out of the vertical by `tilt_rad` toward `toward`.

    Half turns look alike: the yaw is the one nearest to YAW_CENTRE_RAD. A hand that is turned far away from it first
    goes on upright, part of the way, and through the centre: the last joint has stops.
    """
    heading = math.remainder(hand.heading - YAW_CENTRE_RAD, 2.0 * math.pi)
    goal = alike_yaw(yaw - YAW_CENTRE_RAD, HALF_TURN, heading)
    far = goal - heading
    upright = ramp(abs(far), 1.9, 2.4)
    aim = YAW_CENTRE_RAD + heading + (1.0 - upright) * far + upright * math.copysign(1.5, far)
    tilt = (1.0 - upright) * tilt_rad
    swing = math.sin(tilt_rad) * np.array([math.cos(toward), math.sin(toward), 0.0])
    out = math.cos(tilt_rad) * UP - swing
    return Grip(pose.grip + NEAR_TIPS_M * out, pointing(aim, tilt, toward), _width(pose), out)


def lying_grip(hand: Hand, pose: BottlePose) -> Grip:
    """Return how to take hold of a bottle that lies, in order to stand it up."""
    yaw = pose.yaw_rad
    return _leaning(hand, pose, yaw, _lean(pose, yaw), yaw + HALF_TURN)


def standing_grip(hand: Hand, pose: BottlePose) -> Grip:
    """Return how to take hold of a bottle that stands, in order to lay it down."""
    ahead = _away(hand, pose)
    return _leaning(hand, pose, ahead, QUARTER_TURN - _lean(pose, ahead), ahead)


def upright_turn(pose: BottlePose) -> FloatArray:
    """Return the rotation that makes the bottle stand, as a rotation vector in the base frame, shape (3,) [rad]."""
    return _rotation(pose.axis, UP)


def level_turn(hand: Hand, pose: BottlePose) -> FloatArray:
    """Return the rotation that makes a held bottle lie, as a rotation vector in the base frame, shape (3,) [rad].

    The direction of the fingers across the bottle comes to point down.
    """
    return _rotation(_across(hand, pose), -UP)


def hold(hand: Hand, pose: BottlePose) -> float:
    """Return how surely the hand holds the bottle, 0..1: it is around it, however turned, and closed on it."""
    offset = hand.measured - pose.grip
    along = float(offset @ pose.axis)
    aside = offset - min(max(along, -0.015), 0.015) * pose.axis
    there = 1.0 - ramp(float(np.linalg.norm(aside)), 0.022, 0.03)
    return there * ramp(_width(pose) - hand.width_m, -0.004, -0.0005)


def turn_over(hand: Hand, pose: BottlePose, turn: FloatArray) -> FloatArray:
    """Return the step that lifts a held bottle, turns it by `turn` [rad] above the table and lowers it again."""
    angle = float(np.linalg.norm(turn))
    lowest = pose.lowest_m
    # the cap's direction when the bottle lies; the fingers' once it stands
    ahead = pose.axis + _across(hand, pose)
    back = TURNING_BACK_M * _backward(pose, math.atan2(ahead[1], ahead[0]))
    (x_min, x_max), (y_min, y_max) = TURNING_AREA_M
    here = pose.grip
    x, y = min(max(here[0], x_min - back), x_max - back), min(max(here[1], y_min), y_max)
    way = np.array([x - here[0], y - here[1], 0.0])
    way *= ramp(lowest, 0.005, 0.015)
    way[2] = TURN_CLEARANCE_M * ramp(angle, 0.08, 0.4) - 0.001 - lowest
    way -= hand.position - hand.measured
    free = max(ramp(lowest, 0.003, 0.015), 1.0 - ramp(angle, 0.15, 0.35))
    return hand.step(way, free * turn * min(1.0, TURN_STEP_RAD / (hand.settings.gain * max(angle, 1e-6))), 0.0)


def leave(hand: Hand, pose: BottlePose) -> FloatArray:
    """Return the step that opens the fingers and, once they are clear, draws the hand back by a hand's breadth."""
    clear = ramp(hand.width_m - _width(pose), 0.004, 0.012)
    left = ramp(float(np.linalg.norm(hand.measured - pose.grip)), 0.08, 0.1)
    return hand.step(-0.03 * clear * (1.0 - left) * _fingers(hand), np.zeros(3), 1.0)


def _away(hand: Hand, pose: BottlePose) -> float:
    """Return the direction in which a standing bottle is laid down: away from the hand [rad].

    A tilted hand goes on in its own direction. One that points down goes straight away from where it starts, so that it
    need not reach over the bottle, but at least SIDEWAYS_RAD off the arm's own direction, where the wrist is singular.
    A box is turned about an edge near to that, a flask about its long ones only; rather sideways than along the arm.
    """
    flat = _fingers(hand)[:2]
    tilted = ramp(float(np.linalg.norm(flat)), 0.15, 0.4)
    arm = math.atan2(pose.grip[1], pose.grip[0])
    radial = math.atan2(pose.grip[1] - START_M[1], pose.grip[0] - START_M[0]) - arm
    radial = arm + math.copysign(max(abs(radial), SIDEWAYS_RAD), radial)
    ahead = tilted * _unit(flat) + (1.0 - tilted) * np.array([math.cos(radial), math.sin(radial)])
    if pose.style.shape.flat:
        sides = pose.matrix[:2, : 2 if pose.style.shape.flat == 1.0 else 1].T
        forward = np.array([math.cos(arm), math.sin(arm)])
        ahead = max(
            (sign * side for side in sides for sign in (1.0, -1.0)),
            key=lambda side: float(side @ ahead) - (1.0 - tilted) * ramp(abs(float(side @ forward)), 0.72, 0.85),
        )
    return math.atan2(ahead[1], ahead[0])


def _width(pose: BottlePose) -> float:
    """Return how thick the bottle is between the pads [m]; a flat one that lies on edge is gripped by its depth."""
    on_edge = abs(pose.matrix[2, 1]) > max(abs(pose.matrix[2, 0]), 0.5)
    return 2.0 * (pose.style.depth_m if on_edge else pose.style.radius_m)


def _unit(vector: FloatArray) -> FloatArray:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _rotation(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the shortest rotation from one unit vector to another as a rotation vector, shape (3,) [rad]."""
    axis = np.cross(first, second)
    sine = float(np.linalg.norm(axis))
    return math.atan2(sine, float(first @ second)) * axis / max(sine, 1e-9)
