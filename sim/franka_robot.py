"""The twin's arm as a robot that is moved by joint torques at 1 kHz, for `sim.franka_server`.

The world's impedance springs and its gravity compensation are off. Gravity is compensated from a second model, as the
robot's own controller does it, and external torques are what contacts put on the joints. Not modelled are friction,
motor dynamics and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from franky_sim.base_simulator import BaseRobot, BaseSimulator, InnerRobotState
from franky_sim.constants import FRANKA_TORQUE_LIMITS_HIGH
from franky_sim.franka_robot_state import FrankaRobotState

from sim.controller import AXES, TCP_SITE
from sim.robots import FINGER_JOINTS, GRIPPER
from sim.twin import Twin
from sim.world import TIMESTEP_NS
from tutelage_core.errors import ArmError
from tutelage_core.types import FloatArray

TICK_NS = 1_000_000
"""Period of the robot's controller [ns]: 1 kHz."""

CONTACT_FILTER = 0.1
"""Weight of the newest value in the low-pass filter of external torques: about 16 Hz."""

JOINT_REFLEX, CARTESIAN_REFLEX, COMMUNICATION_VIOLATION = 6, 7, 25
"""Places of these errors in the robot state's list."""

ERRORS = 41
"""Errors that the list has room for."""

HAND_FORCE_N = 70.0
"""Largest continuous force of the hand [N]."""


@dataclass(frozen=True)
class _Controller:
    """What makes a world's own controller, in MuJoCo's arrays."""

    timestep_s: float
    biasprm: FloatArray
    forcerange: FloatArray
    stiffness: FloatArray
    damping: FloatArray
    gravcomp: FloatArray


class TwinRobot(BaseRobot):
    """The robot of a twin, moved by joint torques."""

    def __init__(self, twin: Twin) -> None:
        """Take over the arm of `twin` as it stands; from here on its world is stepped by torques only."""
        super().__init__(has_gripper=True)
        self._twin = twin
        self.errors: frozenset[int] = frozenset()
        self.torque_limits = np.full(7, np.inf)
        self.force_limits = np.full(6, np.inf)
        self.attach()

    def release(self) -> None:
        """Give the world its own controller back, with which a twin can be reset."""
        model, kept = self._model, self._kept
        model.opt.timestep = kept.timestep_s
        model.actuator_biasprm[:] = kept.biasprm
        model.actuator_forcerange[:] = kept.forcerange
        model.jnt_stiffness[:] = kept.stiffness
        model.dof_damping[:] = kept.damping
        model.body_gravcomp[:] = kept.gravcomp

    def attach(self) -> None:
        """Take over the twin's world, which may be a new one after a reset."""
        world = self._twin.world
        self._model, self._data = world.model, world.data
        joints = [self._model.joint(name) for name in self._twin.contract.arm.joints]
        self._qpos = np.array([j.qposadr[0] for j in joints])
        self._dofs = np.array([j.dofadr[0] for j in joints])
        self._fingers = np.array([self._model.joint(name).qposadr[0] for name in FINGER_JOINTS])
        self._gripper = self._model.actuator(GRIPPER).id
        self._site = int(self._model.site(TCP_SITE).id)
        self._jacobian = np.zeros((6, self._model.nv))
        self._external = np.zeros(7)
        self._applied = np.zeros(7)
        self._wrench = np.zeros(6)
        self._switch_to_torques([int(j.id) for j in joints])
        self.set_hand_goal(self._get_hand_width(), 0.05, HAND_FORCE_N)

    def move_to(self, twin: Twin) -> None:
        """Take the arm, as it stands and moves, into the scene of `twin`; the world it leaves is of no use any more."""
        left, joints, dofs, fingers = self._data, self._qpos, self._dofs, self._fingers
        goal_m, speed_m_s = self._hand_goal_m, self._hand_speed_m_s
        self._twin = twin
        self.attach()
        self._data.qpos[self._qpos] = left.qpos[joints]
        self._data.qvel[self._dofs] = left.qvel[dofs]
        self._data.qpos[self._fingers] = left.qpos[fingers]
        twin.world.measure()
        self.set_hand_goal(goal_m, speed_m_s, HAND_FORCE_N)

    def _switch_to_torques(self, joints: list[int]) -> None:
        """Silence the world's own controller: springs, dampers, posture spring and free gravity compensation."""
        model = self._model
        self._kept = _Controller(
            float(model.opt.timestep),
            model.actuator_biasprm.copy(),
            model.actuator_forcerange.copy(),
            model.jnt_stiffness.copy(),
            model.dof_damping.copy(),
            model.body_gravcomp.copy(),
        )
        model.opt.timestep = TICK_NS * 1e-9
        for axis in AXES:
            for kind in ("spring", "damper"):
                model.actuator_biasprm[model.actuator(f"{kind}_{axis}").id] = 0.0
        model.jnt_stiffness[joints] = 0.0
        model.dof_damping[self._dofs] = 0.0
        robot = model.body_rootid[model.body("hand").id]
        model.body_gravcomp[model.body_rootid == robot] = 0.0

    @property
    def external_torques(self) -> FloatArray:
        """Filtered torques that the arm exerts on what it touches, shape (7,) [Nm]."""
        return self._external

    @property
    def external_wrench(self) -> FloatArray:
        """The same as force and torque at the TCP, in the base frame, shape (6,) [N, Nm]."""
        return self._wrench

    def sense(self) -> None:
        """Measure contact after a step."""
        now = -self._data.qfrc_constraint[self._dofs]
        self._external = (1.0 - CONTACT_FILTER) * self._external + CONTACT_FILTER * now
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._site)
        jacobian = self._jacobian[:, self._dofs]
        self._wrench = np.linalg.solve(jacobian @ jacobian.T + 1e-9 * np.eye(6), jacobian @ self._external)

    def reflexes(self) -> frozenset[int]:
        """Return the errors that the collision thresholds call for now."""
        found: set[int] = set()
        if (np.abs(self._external) > self.torque_limits).any():
            found.add(JOINT_REFLEX)
        if (np.abs(self._wrench) > self.force_limits).any():
            found.add(CARTESIAN_REFLEX)
        return frozenset(found)

    def _get_state(self) -> InnerRobotState:
        data = self._data
        return InnerRobotState(
            q=tuple(data.qpos[self._qpos].tolist()),
            dq=tuple(data.qvel[self._dofs].tolist()),
            tau_j=tuple(self._applied.tolist()),
        )

    def _torque_control(self, torques: FloatArray) -> None:
        limits = np.array(FRANKA_TORQUE_LIMITS_HIGH, dtype=np.float64)
        self._applied = np.clip(torques, -limits, limits)
        self._data.qfrc_applied[self._dofs] = self._applied

    def set_hand_goal(self, width: float, max_velocity: float, max_force: float) -> None:
        """Move the fingers to `width` [m] with at most `max_velocity` [m/s] and `max_force` [N]."""
        self._hand_goal_m = min(max(float(width), 0.0), self._twin.world.settings.gripper.width_m)
        self._hand_speed_m_s = float(max_velocity)
        force = min(float(max_force), HAND_FORCE_N)
        self._model.actuator_forcerange[self._gripper] = (-force, force)
        self._data.ctrl[self._gripper] = self._get_hand_width()

    def _get_hand_width(self) -> float:
        return float(self._data.qpos[self._fingers].sum())

    def _pre_step(self) -> None:
        ctrl = self._data.ctrl
        reach = self._hand_speed_m_s * TICK_NS * 1e-9
        ctrl[self._gripper] += min(max(self._hand_goal_m - ctrl[self._gripper], -reach), reach)

    @property
    def state(self) -> FrankaRobotState:
        """What the robot reports, with the contact that the world knows of."""
        torques, wrench = tuple(self._external.tolist()), tuple(self._wrench.tolist())
        return super().state.replace(
            tau_ext_hat_filtered=torques,
            O_F_ext_hat_K=wrench,
            errors=tuple(i in self.errors for i in range(ERRORS)),
            reflex_reason=tuple(i in self.errors for i in range(ERRORS)),
        )


class TwinSimulator(BaseSimulator):
    """One twin, stepped at the robot's 1 kHz."""

    def __init__(self, twin: Twin) -> None:
        """Serve the world of `twin`."""
        super().__init__()
        self.twin = twin
        self.robot = TwinRobot(twin)
        self.ticks = 0

    def _get_robots(self) -> list[BaseRobot]:
        return [self.robot]

    def _step(self) -> None:
        twin = self.twin
        world = twin.world
        mujoco.mj_step(world.model, world.data)
        world.measure()
        self.ticks += 1
        if self.ticks * TICK_NS % TIMESTEP_NS == 0:
            world.steps += 1
        if self.ticks * TICK_NS % twin.contract.period_ns == 0:
            twin.task.watch(world)
        if not np.isfinite(world.data.qpos).all():
            raise ArmError(f"the served world's state is not finite any more, {self.ticks} ms after its reset")
        self.robot.sense()
