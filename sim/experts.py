"""A scripted expert for top-down grasps, working from the true state.

It has no memory and no phases: hover height, closing and lifting fade into each other with the distances that an
observer could also see, so that its steps can be learnt by behaviour cloning and can label any state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True)
class GraspSettings:
    """How the expert grasps.

    Attributes:
        gain: share of the remaining way that a step takes.
        lag_s: how far the arm follows behind its target [s]; its velocity tells where the target is.
        speed: share of the contract's largest step that is used.
        hover_m: height above the grasp while not aligned [m].
        aligned_m: horizontal error up to which descending is right [m].
        funnel_m: further error over which the hover height is reached [m].
        closing_m: distance from the grasp at which the fingers start to close [m].
        closed_m: distance at which they are told to close fully [m].
        lift_m: height of the object's centre above the table that is asked for [m].
    """

    gain: float = 0.75
    lag_s: float = 0.05
    speed: float = 0.72
    hover_m: float = 0.055
    aligned_m: float = 0.006
    funnel_m: float = 0.02
    closing_m: float = 0.016
    closed_m: float = 0.010
    lift_m: float = 0.11


def grasp_step(
    state: ArmState,
    position: FloatArray,
    yaw: float,
    width_m: float,
    gripper_width_m: float,
    max_step_m: float,
    max_step_rad: float,
    settings: GraspSettings,
) -> FloatArray:
    """Return the step that goes on with grasping a box from above and lifting it.

    Args:
        state: measured state of the arm.
        position: centre of the box in the base frame, shape (3,) [m].
        yaw: turn of the box about the vertical [rad]; quarter turns look alike.
        width_m: edge of the box [m].
        gripper_width_m: opening of the gripper when fully open [m].
        max_step_m: longest translation of a step [m].
        max_step_rad: largest rotation of a step [rad].
        settings: how to grasp.

    Returns:
        TCP step, shape (7,) [m, rad, 0..1].
    """
    here = state.T_base_tcp.position + settings.lag_s * state.tcp_velocity[:3]
    turn = _turn_to(state, yaw, settings)
    offset = here - position
    apart = math.hypot(offset[0], offset[1])
    skew = apart + 0.04 * max(0.0, abs(turn[2]) - 0.1)  # a skewed gripper needs the same room as a misplaced one
    nearness = 1.0 - _ramp(
        np.linalg.norm(state.T_base_tcp.position - position) + 0.03 * abs(turn[2]),
        settings.closed_m,
        settings.closing_m,
    )
    squeeze = width_m + 0.004 - state.gripper_opening * gripper_width_m
    held = nearness * _ramp(squeeze, -0.006, 0.0)

    hover = position[2] + settings.hover_m * _ramp(skew, settings.aligned_m, settings.aligned_m + settings.funnel_m)
    height = (1.0 - held) * hover + held * settings.lift_m
    way = np.array([-offset[0], -offset[1], 0.0]) * (1.0 - held)
    way[2] = height - here[2]
    if held <= 0.0:
        # too low for the misalignment: rise first, or the fingers would push the box away
        way[:2] *= 1.0 - 0.9 * _ramp(way[2], 0.01, 0.03)
    step = np.empty(7)
    step[:3] = _shorten(settings.gain * way, settings.speed * max_step_m)
    step[3:6] = _shorten(settings.gain * turn, settings.speed * max_step_rad)
    step[6] = 1.0 - nearness
    return step


def _turn_to(state: ArmState, yaw: float, settings: GraspSettings) -> FloatArray:
    """Return the rotation vector to the nearest downward orientation that fits `yaw`, shape (3,) [rad]."""
    moving = rotation_vector_to_xyzw(settings.lag_s * state.tcp_velocity[3:])
    measured = normalize_xyzw(multiply_xyzw(moving, state.T_base_tcp.quaternion_xyzw))
    matrix = quaternion_xyzw_to_matrix(measured)
    heading = math.atan2(matrix[1, 0], matrix[0, 0])
    quarter = math.pi / 2.0
    # the hand looks straight ahead at home: of all alike headings, take the one within an eighth turn of that
    goal_yaw = (yaw + quarter / 2.0) % quarter - quarter / 2.0
    if abs(abs(goal_yaw) - quarter / 2.0) < 0.15 and goal_yaw * heading < 0.0:
        goal_yaw -= math.copysign(quarter, goal_yaw)
    goal = multiply_xyzw(rotation_vector_to_xyzw(np.array([0.0, 0.0, goal_yaw])), np.array([1.0, 0.0, 0.0, 0.0]))
    return xyzw_to_rotation_vector(multiply_xyzw(goal, conjugate_xyzw(measured)))


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below `low`, 1 above `high`, and a smooth rise between."""
    x = min(max((float(value) - low) / (high - low), 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


def _shorten(vector: FloatArray, longest: float) -> FloatArray:
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)
