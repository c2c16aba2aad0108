"""The compliant Cartesian impedance controller, with reference clipping, inside MuJoCo's own 500 Hz loop.

A mocap body carries the target pose. Six spring actuators act between the TCP's site and the target's site, one for
each axis; their force limit is stiffness times clip distance, which is exactly a spring whose deviation is clipped
(Luo et al., "Precise and Dexterous Robotic Manipulation via Human-in-the-Loop Reinforcement Learning", section IV-D).
So however far away a target is, contact forces stay bounded. Six more actuators damp the TCP; they are not clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from tutelage_core.rotations import multiply_xyzw, normalize_xyzw, rotation_vector_to_xyzw, step_between
from tutelage_core.types import Pose

TARGET_BODY = "target"
TARGET_SITE = "target_site"
TCP_SITE = "tcp"
AXES = ("x", "y", "z", "rx", "ry", "rz")


@dataclass(frozen=True)
class ImpedanceSettings:
    """Stiffness, damping and clipping of the controller.

    Attributes:
        stiffness_n_m: translational spring [N/m].
        damping_ns_m: translational damper [N s/m].
        clip_m: largest deviation that the spring feels on each axis [m].
        stiffness_nm_rad: rotational spring [Nm/rad].
        damping_nms_rad: rotational damper [Nm s/rad].
        clip_rad: largest rotation that the spring feels on each axis [rad].
        posture_nm_rad: spring of the upper-arm roll joint to its home angle, which fixes the elbow [Nm/rad].
        joint_damping_nms_rad: damping of each arm joint [Nm s/rad].
    """

    stiffness_n_m: float = 3000.0
    damping_ns_m: float = 150.0
    clip_m: float = 0.015
    stiffness_nm_rad: float = 200.0
    damping_nms_rad: float = 10.0
    clip_rad: float = 0.1
    posture_nm_rad: float = 10.0
    joint_damping_nms_rad: float = 2.0

    @property
    def force_limit_n(self) -> float:
        """Largest spring force on each axis [N]."""
        return self.stiffness_n_m * self.clip_m


def add_controller(spec: mujoco.MjSpec, settings: ImpedanceSettings) -> None:
    """Add the target and the twelve actuators to a model that has a site `tcp`."""
    target = spec.worldbody.add_body(name=TARGET_BODY, mocap=True)
    target.add_site(name=TARGET_SITE, group=5)
    for axis, name in enumerate(AXES):
        turns = axis >= 3
        stiffness = settings.stiffness_nm_rad if turns else settings.stiffness_n_m
        limit = stiffness * (settings.clip_rad if turns else settings.clip_m)
        damping = settings.damping_nms_rad if turns else settings.damping_ns_m
        spring = _add_actuator(spec, f"spring_{name}", axis, np.array([0.0, -stiffness, 0.0]))
        spring.forcelimited = True
        spring.forcerange = np.array([-limit, limit])
        _add_actuator(spec, f"damper_{name}", axis, np.array([0.0, 0.0, -damping]))


def _add_actuator(spec: mujoco.MjSpec, name: str, axis: int, bias: np.ndarray) -> mujoco.MjsActuator:
    actuator = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_SITE, target=TCP_SITE, refsite=TARGET_SITE)
    gear = np.zeros(6)
    gear[axis] = 1.0
    actuator.gear = gear
    actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
    actuator.gainprm = np.zeros(len(actuator.gainprm))
    actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    actuator.biasprm = np.concatenate([bias, np.zeros(len(actuator.biasprm) - 3)])
    actuator.ctrllimited = False
    return actuator


class TargetRamp:
    """Moves the target from where it is to a new goal in a straight line, over one control period."""

    def __init__(self, pose: Pose, opening: float, duration_ns: int) -> None:
        """Rest at `pose` and `opening` (0..1); later goals are reached after `duration_ns` [ns]."""
        self._duration_ns = duration_ns
        self._start = self._goal = pose
        self._opening = opening
        self._turn = np.zeros(3)
        self._elapsed_ns = duration_ns

    @property
    def goal(self) -> Pose:
        """Where the ramp ends."""
        return self._goal

    @property
    def opening(self) -> float:
        """Gripper opening that is asked for, 0..1; it is not ramped."""
        return self._opening

    def aim(self, goal: Pose, opening: float) -> None:
        """Start a new ramp to `goal`; does nothing when that is already the goal."""
        self._opening = opening
        if np.array_equal(goal.position, self._goal.position) and np.array_equal(
            goal.quaternion_xyzw, self._goal.quaternion_xyzw
        ):
            return
        self._start = self.pose()
        self._goal = Pose(goal.position.copy(), normalize_xyzw(goal.quaternion_xyzw))
        self._turn = step_between(self._start, self._goal)[3:]
        self._elapsed_ns = 0

    def advance(self, delta_ns: int) -> Pose:
        """Go on by `delta_ns` [ns] and return the target there."""
        self._elapsed_ns += delta_ns
        return self.pose()

    def pose(self) -> Pose:
        """Return the target now."""
        fraction = self._elapsed_ns / self._duration_ns
        if fraction >= 1.0:
            return self._goal
        turned = multiply_xyzw(rotation_vector_to_xyzw(self._turn * fraction), self._start.quaternion_xyzw)
        return Pose(self._start.position + fraction * (self._goal.position - self._start.position), turned)
