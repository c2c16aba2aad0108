"""A target that moves in a straight line: what lies between the commands of two control periods."""

from __future__ import annotations

import numpy as np

from tutelage_core.rotations import multiply_xyzw, normalize_xyzw, rotation_vector_to_xyzw, step_between
from tutelage_core.types import Pose


class PoseRamp:
    """Goes from where it is to each new goal within one control period, and rests there."""

    def __init__(self, pose: Pose, duration_ns: int) -> None:
        """Rest at `pose`; later goals are reached after `duration_ns` [ns]."""
        self._duration_ns = duration_ns
        self.rest(pose)

    def rest(self, pose: Pose) -> None:
        """Jump to `pose` and stay."""
        self._start = self._goal = pose
        self._turn = np.zeros(3)
        self._elapsed_ns = self._duration_ns

    def aim(self, goal: Pose) -> None:
        """Set out for `goal` from where the ramp is now."""
        start = self.pose()
        self._goal = Pose(goal.position.copy(), normalize_xyzw(goal.quaternion_xyzw))
        self._turn = step_between(start, self._goal)[3:]
        self._start = start
        self._elapsed_ns = 0

    def advance(self, delta_ns: int) -> Pose:
        """Go on by `delta_ns` [ns] and return the pose there."""
        self._elapsed_ns += delta_ns
        return self.pose()

    def pose(self) -> Pose:
        """Return the pose now."""
        fraction = self._elapsed_ns / self._duration_ns
        if fraction >= 1.0:
            return self._goal
        turned = multiply_xyzw(rotation_vector_to_xyzw(self._turn * fraction), self._start.quaternion_xyzw)
        return Pose(self._start.position + fraction * (self._goal.position - self._start.position), turned)
