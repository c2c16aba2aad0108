"""The world: robot, table, floor, wall, lights, cameras and the task's objects in one MuJoCo model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.clutter import add_clutter
from sim.controller import TARGET_BODY, TCP_SITE, ImpedanceSettings, add_controller
from sim.robots import (
    FINGER_JOINTS,
    GRIPPER,
    GripperSettings,
    load_robot,
)
from sim.rooms import Clutter, Room, Table
from sim.state_ring import StateRing
from sim.surroundings import add_cameras, add_surroundings
from tutelage_core.contract import RobotContract
from tutelage_core.rotations import multiply_xyzw, normalize_xyzw, rotation_vector_to_xyzw, xyzw_to_rotation_vector
from tutelage_core.types import ArmState, FloatArray, Pose

if TYPE_CHECKING:
    from sim.tasks.task import Task

TIMESTEP_NS = 2_000_000
"""Length of a physics step [ns]: 500 Hz."""

BRACE = 20.0
"""So many times as strong are the joints' dampers while the arm holds."""

ELBOW_RAD_S = 0.1
"""So fast the elbow's spring goes back to home after a hold: it must not jerk [rad/s]."""

BLOCK_STEPS = 10
"""Physics steps between two moves of the controller's target."""


@dataclass(frozen=True)
class WorldSettings:
    """Settings of the whole world."""

    impedance: ImpedanceSettings = field(default_factory=ImpedanceSettings)
    gripper: GripperSettings = field(default_factory=GripperSettings)


class World:
    """A compiled model of one room with one task's objects, and its state."""

    def __init__(self, contract: RobotContract, room: Room, task: Task, settings: WorldSettings | None = None) -> None:
        """Build the world of `contract`'s robot in `room` with `task`'s objects.

        Raises:
            ConfigurationError: the room's given parameters are not legal, or the task finds no layout in it.
        """
        self.settings = settings or WorldSettings()
        self.room = room
        self.table_z_m = room.part(Table).height_m
        self.model: mujoco.MjModel = _build(contract, room, task, self.settings)
        self.data = mujoco.MjData(self.model)
        model = self.model
        self._home = np.array(contract.arm.home_joint_positions)
        joints = [model.joint(n) for n in contract.arm.joints]
        self._qpos = np.array([j.qposadr[0] for j in joints])
        self._dofs = np.array([j.dofadr[0] for j in joints])
        self._fingers = np.array([model.joint(n).qposadr[0] for n in FINGER_JOINTS])
        self._tcp = model.site(TCP_SITE).id
        self._tcp_body = int(model.site_bodyid[self._tcp])
        self._mocap = int(model.body_mocapid[model.body(TARGET_BODY).id])
        self._gripper = model.actuator(GRIPPER).id
        self.guard = StateRing(model)
        self._robot_geoms = _robot_geoms(model)
        self._jacobian = np.zeros((6, model.nv))
        self._damping = model.dof_damping.copy()
        self._springs = model.qpos_spring.copy()
        self._braced = False
        self.steps = 0

    def reset(self, tcp_shift: FloatArray) -> None:
        """Clear everything and put the arm at home, its TCP shifted by `tcp_shift`, shape (6,).

        The shift is a translation [m] and rotation vector [rad]; three Newton steps of inverse kinematics reach it.
        """
        mujoco.mj_resetData(self.model, self.data)
        self.brace(braced=False)
        self.model.qpos_spring[:] = self._springs
        self.steps = 0
        self.data.qpos[self._qpos] = self._home
        self.data.qpos[self._fingers] = self.settings.gripper.width_m / 2.0
        self.measure()
        home = self.tcp_pose()
        turned = multiply_xyzw(rotation_vector_to_xyzw(tcp_shift[3:]), home.quaternion_xyzw)
        goal = Pose(home.position + tcp_shift[:3], normalize_xyzw(turned))
        self.place_tcp(goal)
        self.set_target(self.tcp_pose(), 1.0)

    def place_tcp(self, goal: Pose, iterations: int = 3) -> None:
        """Put the arm where its TCP is at `goal`, by Newton steps from where it is; time does not pass."""
        for _ in range(iterations):
            pose = self.tcp_pose()
            turn = multiply_xyzw(goal.quaternion_xyzw, pose.quaternion_xyzw * np.array([-1.0, -1.0, -1.0, 1.0]))
            error = np.concatenate([goal.position - pose.position, xyzw_to_rotation_vector(turn)])
            self.data.qpos[self._qpos] += np.linalg.lstsq(self._tcp_jacobian(), error, rcond=None)[0]
            self.measure()

    def place_joints(self, joint_positions: FloatArray) -> None:
        """Put the arm at these joints, shape (joints,) [rad]; time does not pass."""
        self.data.qpos[self._qpos] = joint_positions
        self.measure()

    def set_target(self, pose: Pose, opening: float) -> None:
        """Give the controller its target: `pose`, and the gripper's `opening` (0 closed .. 1 open)."""
        self.data.mocap_pos[self._mocap] = pose.position
        self.data.mocap_quat[self._mocap] = pose.quaternion_xyzw[[3, 0, 1, 2]]
        self.data.ctrl[self._gripper] = opening * self.settings.gripper.width_m

    def brace(self, *, braced: bool) -> None:
        """Bring every joint to rest where it is, the elbow too, which the TCP leaves free; or let the arm go again.

        Braced, the posture spring pulls to where the elbow is, and the joints' dampers are `BRACE` times as strong.
        Afterwards the spring goes slowly back to home.
        """
        if braced == self._braced:
            return
        self._braced = braced
        model = self.model
        model.dof_damping[self._dofs] = self._damping[self._dofs] * (BRACE if braced else 1.0)
        if braced:
            model.qpos_spring[self._qpos] = self.data.qpos[self._qpos]

    def step(self, count: int) -> None:
        """Take `count` physics steps.

        Raises:
            IncidentError: the state is not finite any more; the last 100 blocks were saved.
        """
        if not self._braced:
            self._draw_elbow_home(count * TIMESTEP_NS * 1e-9)
        self.guard.push(self.data)
        mujoco.mj_step(self.model, self.data, nstep=count)
        self.steps += count
        self.guard.check(self.data)

    def _draw_elbow_home(self, seconds: float) -> None:
        springs, most = self.model.qpos_spring, ELBOW_RAD_S * seconds
        away = self._springs[self._qpos] - springs[self._qpos]
        if away.any():
            springs[self._qpos] += np.clip(away, -most, most)

    def measure(self) -> None:
        """Bring poses up to date with the joints; physics leaves them one step behind."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    def joint_speed_rad_s(self) -> float:
        """Return the speed of the fastest joint of the arm [rad/s]."""
        return float(np.abs(self.data.qvel[self._dofs]).max())

    def tcp_pose(self) -> Pose:
        """Return the measured pose of the TCP."""
        quaternion = np.empty(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._tcp])
        return Pose(self.data.site_xpos[self._tcp].copy(), quaternion[[1, 2, 3, 0]])

    @property
    def gripper_opening(self) -> float:
        """Measured opening, 0 closed .. 1 open."""
        width = float(self.data.qpos[self._fingers].sum())
        return min(max(width / self.settings.gripper.width_m, 0.0), 1.0)

    def arm_state(self) -> ArmState:
        """Return what the arm measures; the wrench is estimated from joint torques, as on the real robot."""
        data, jacobian = self.data, self._tcp_jacobian()
        external = data.qfrc_constraint[self._dofs]
        wrench = np.linalg.lstsq(jacobian.T, external, rcond=None)[0]
        velocity = data.qvel[self._dofs]
        return ArmState(
            stamp_ns=self.steps * TIMESTEP_NS,
            joint_positions=data.qpos[self._qpos],
            joint_velocities=velocity,
            T_base_tcp=self.tcp_pose(),
            tcp_velocity=jacobian @ velocity,
            wrench=wrench,
            gripper_opening=self.gripper_opening,
        )

    def _tcp_jacobian(self) -> FloatArray:
        mujoco.mj_jacSite(self.model, self.data, self._jacobian[:3], self._jacobian[3:], self._tcp)
        return self._jacobian[:, self._dofs]

    def touching(self, first: Collection[str], second: Collection[str]) -> int:
        """Return how many of the geoms named `first` touch any of those named `second`, as of the last step."""
        pairs = self.data.contact.geom
        others = [self.model.geom(name).id for name in second]
        count = 0
        for name in first:
            geom = self.model.geom(name).id
            partners = np.concatenate([pairs[pairs[:, 0] == geom, 1], pairs[pairs[:, 1] == geom, 0]])
            count += bool(np.isin(partners, others).any())
        return count

    def place_body(self, joint: str, position: FloatArray, quaternion_xyzw: FloatArray) -> None:
        """Put the free body whose joint has this name at a pose, at rest; `measure` brings the rest up to date."""
        address, dof = int(self.model.joint(joint).qposadr[0]), int(self.model.joint(joint).dofadr[0])
        self.data.qpos[address : address + 3] = position
        self.data.qpos[address + 3 : address + 7] = np.asarray(quaternion_xyzw)[[3, 0, 1, 2]]
        self.data.qvel[dof : dof + 6] = 0.0

    def robot_force_n(self) -> float:
        """Return the sum of the normal forces between the robot and what it touches, as of the last step [N]."""
        contacts = self.data.contact
        if not len(contacts):
            return 0.0
        touching = self._robot_geoms[contacts.geom].any(axis=1) & (contacts.efc_address >= 0)
        return float(self.data.efc_force[contacts.efc_address[touching]].sum())


def _build(contract: RobotContract, room: Room, task: Task, settings: WorldSettings) -> mujoco.MjModel:
    room.check(task.styles)
    spec = load_robot(contract.arm, settings.impedance, settings.gripper)
    option = spec.option
    option.timestep = TIMESTEP_NS * 1e-9
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    # iterations stay at MuJoCo's 100: most steps need one or two, but a grip cut short at 12 shoots the cube away
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # it would hide a state that is not finite
    add_surroundings(spec, room)
    add_clutter(spec, room.part(Clutter), room.part(Table), task.keep_clear)
    add_controller(spec, settings.impedance)
    add_cameras(spec, room)
    task.build(spec, room)
    visual = spec.visual
    visual.global_.offwidth = max(c.width for c in contract.cameras.values())
    visual.global_.offheight = max(c.height for c in contract.cameras.values())
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 0
    visual.headlight.diffuse = [0.12, 0.12, 0.12]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.map.znear = 0.01
    visual.map.zfar = 10.0
    visual.map.shadowclip = 2.0  # half the side of what the shadow map covers
    model = spec.compile()
    model.stat.extent = 1.0  # near and far planes are multiples of it
    return model


def _robot_geoms(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Return which geoms belong to the robot, shape (ngeom,)."""
    return model.body_rootid[model.geom_bodyid] == model.body_rootid[model.body("hand").id]
