"""The arm and its cell as the SafetyGate knows them: where a target would bring the joints, and how near to what.

The model is an MJCF file of joints and capsules beside the robot's contract. MuJoCo computes kinematics and distances;
nothing here moves with time.
"""

# pyright: reportAttributeAccessIssue=false
# MuJoCo ships no types

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from tutelage_core.contract import CellBox
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import conjugate_xyzw, multiply_xyzw, xyzw_to_rotation_vector
from tutelage_core.types import FloatArray, Pose

TCP_SITE = "tcp"

DAMPING = 0.03
"""Of the least-squares step to a target's joints: keeps it short near a singular posture [m, rad]."""

FAR_M = 0.5
"""Distances are looked for up to here [m]."""


@dataclass(frozen=True)
class Nearest:
    """The smaller of two things' distances.

    Attributes:
        distance_m: between their surfaces; below 0 they overlap [m].
        first, second: their names.
    """

    distance_m: float
    first: str
    second: str


class RobotModel:
    """Kinematics, joint limits and distances of one arm in its cell."""

    def __init__(self, file: Path, joints: Sequence[str], cell: Sequence[CellBox] = ()) -> None:
        """Read the model and stand the cell's boxes around it.

        Args:
            file: MJCF with the joints, capsules and a site `tcp`.
            joints: names in the order in which positions are given.
            cell: what stands around the arm.

        Raises:
            ConfigurationError: the file is missing or no model, or its joints are not these.
        """
        try:
            spec = mujoco.MjSpec.from_file(str(file))
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"{file}: no robot model: {error}") from error
        names = tuple(joint.name for joint in spec.joints)
        if names != tuple(joints):
            raise ConfigurationError(
                f"{file}: the model's joints {', '.join(names)} are not the contract's, {', '.join(joints)}"
            )
        parts = [geom.name for geom in spec.geoms]
        for box in cell:
            spec.worldbody.add_geom(
                name=box.name,
                type=mujoco.mjtGeom.mjGEOM_BOX,
                pos=list(box.centre_m),
                size=[side / 2.0 for side in box.size_m],
                contype=0,
                conaffinity=0,
            )
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        self.joints = names
        self.low = self.model.jnt_range[:, 0].copy()
        self.high = self.model.jnt_range[:, 1].copy()
        self._site = self.model.site(TCP_SITE).id
        self._jacobian, self._solution = np.zeros((6, self.model.nv)), np.zeros(6)
        self._damping = DAMPING**2 * np.eye(6)
        self._pairs = self._own_pairs(parts) + self._cell_pairs(parts, [box.name for box in cell])

    def tcp_pose(self, joint_positions: FloatArray) -> Pose:
        """Return where the TCP is with these joints, shape (n,) [rad]."""
        self._place(joint_positions)
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._site])
        return Pose(self.data.site_xpos[self._site].copy(), quaternion[[1, 2, 3, 0]])

    def joints_at(self, target: Pose, joint_positions: FloatArray) -> FloatArray:
        """Return the joints at `target`, by one damped least-squares step from where they are, shape (n,) [rad].

        Exact only near by; a gate's target is at most a few centimetres ahead.
        """
        now = self.tcp_pose(joint_positions)
        turn = multiply_xyzw(target.quaternion_xyzw, conjugate_xyzw(now.quaternion_xyzw))
        way = np.concatenate([target.position - now.position, xyzw_to_rotation_vector(turn)])
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_jacSite(self.model, self.data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian
        square = jacobian @ jacobian.T + self._damping
        mujoco.mju_cholFactor(square, 0.0)
        mujoco.mju_cholSolve(self._solution, square, way)
        return joint_positions + jacobian.T @ self._solution

    def joint_margin(self, joint_positions: FloatArray) -> tuple[float, str]:
        """Return how far the joint nearest to a limit is from it [rad], below 0 beyond, and its name."""
        margins = np.minimum(joint_positions - self.low, self.high - joint_positions)
        worst = int(np.argmin(margins))
        return float(margins[worst]), self.joints[worst]

    def nearest(self, joint_positions: FloatArray) -> Nearest:
        """Return the smallest distance between parts of the arm that could meet, and between arm and cell."""
        self._place(joint_positions)
        found = Nearest(FAR_M, "", "")
        for first, second in self._pairs:
            distance = mujoco.mj_geomDistance(self.model, self.data, first, second, FAR_M, None)
            if distance < found.distance_m:
                found = Nearest(distance, self.model.geom(first).name, self.model.geom(second).name)
        return found

    def _place(self, joint_positions: FloatArray) -> None:
        self.data.qpos[:] = joint_positions
        mujoco.mj_kinematics(self.model, self.data)

    def _own_pairs(self, parts: Sequence[str]) -> list[tuple[int, int]]:
        """Return the parts three joints or more from each other: nearer ones touch, or limits keep them apart."""
        model = self.model
        found: list[tuple[int, int]] = []
        for i, first in enumerate(parts):
            for second in parts[i + 1 :]:
                a, b = model.geom(first).id, model.geom(second).id
                if abs(self._depth(a) - self._depth(b)) >= 3:
                    found.append((a, b))
        return found

    def _depth(self, geom: int) -> int:
        """Return how many joints lie between the base and this geom."""
        body, count = int(self.model.geom_bodyid[geom]), 0
        while body:
            count += int(self.model.body_jntnum[body])
            body = int(self.model.body_parentid[body])
        return count

    def _cell_pairs(self, parts: Sequence[str], cell: Sequence[str]) -> list[tuple[int, int]]:
        """Return each moving part with each box; the base stands on the table and does not move."""
        moving = [name for name in parts if self._depth(self.model.geom(name).id) >= 3]
        return [(self.model.geom(part).id, self.model.geom(box).id) for part in moving for box in cell]
