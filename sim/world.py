"""The world: robot, table, floor, wall, lights, cameras and the task's objects in one MuJoCo model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from sim.controller import TARGET_BODY, TCP_SITE, ImpedanceSettings, add_controller
from sim.robots import (
    CONTACT_GROUP,
    FINGER_JOINTS,
    GRIPPER,
    WORLD_BITS,
    WORLD_GROUP,
    GripperSettings,
    load_robot,
)
from sim.rooms import TEXTURE_SIZE, Room
from tutelage_core.contract import RobotContract
from tutelage_core.rotations import multiply_xyzw, normalize_xyzw, rotation_vector_to_xyzw, xyzw_to_rotation_vector
from tutelage_core.types import ArmState, FloatArray, Pose

if TYPE_CHECKING:
    from sim.tasks.task import Task

TIMESTEP_NS = 2_000_000
"""Length of a physics step [ns]: 500 Hz."""

BLOCK_STEPS = 10
"""Physics steps between two moves of the controller's target."""

FLOOR_Z_M = -0.75
TABLE_TEXTURE = "table"


@dataclass(frozen=True)
class CameraMount:
    """Nominal mounting of a camera.

    Attributes:
        body: what it is fixed to.
        position: where it stands, in the body's frame [m].
        look_at: the point in the middle of the picture, in the body's frame [m].
        up: direction that is up in the picture, in the body's frame.
        fovy_deg: vertical field of view [degrees].
    """

    body: str
    position: tuple[float, float, float]
    look_at: tuple[float, float, float]
    up: tuple[float, float, float]
    fovy_deg: float


CAMERA_MOUNTS = {
    "front": CameraMount("world", (0.98, 0.28, 0.40), (0.47, -0.01, 0.10), (0.0, 0.0, 1.0), 40.0),
    "wrist": CameraMount("hand", (0.072, 0.0, 0.005), (0.022, 0.0, 0.125), (1.0, 0.0, 0.0), 80.0),
}


@dataclass(frozen=True)
class WorldSettings:
    """Settings of the whole world."""

    impedance: ImpedanceSettings = field(default_factory=ImpedanceSettings)
    gripper: GripperSettings = field(default_factory=GripperSettings)


class World:
    """A compiled model and its state. What a room or task changes is set again at each reset."""

    def __init__(self, contract: RobotContract, task: Task, settings: WorldSettings | None = None) -> None:
        """Build the world of `contract`'s robot with `task`'s objects."""
        self.settings = settings or WorldSettings()
        self.model: mujoco.MjModel = _build(contract, task, self.settings)
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
        self._cameras = {
            n: (
                model.cam_pos[model.camera(n).id].copy(),
                model.cam_quat[model.camera(n).id].copy(),
                float(model.cam_fovy[model.camera(n).id]),
            )
            for n in CAMERA_MOUNTS
        }
        self._jacobian = np.zeros((6, model.nv))
        self.steps = 0

    def reset(self, room: Room, tcp_shift: FloatArray) -> None:
        """Clear everything, dress the room and put the arm at home, its TCP shifted by `tcp_shift`, shape (6,).

        The shift is a translation [m] and rotation vector [rad]; three Newton steps of inverse kinematics reach it.
        """
        self._dress(room)
        mujoco.mj_resetData(self.model, self.data)
        self.steps = 0
        self.data.qpos[self._qpos] = self._home
        self.data.qpos[self._fingers] = self.settings.gripper.width_m / 2.0
        self.measure()
        home = self.tcp_pose()
        turned = multiply_xyzw(rotation_vector_to_xyzw(tcp_shift[3:]), home.quaternion_xyzw)
        goal = Pose(home.position + tcp_shift[:3], normalize_xyzw(turned))
        for _ in range(3):
            pose = self.tcp_pose()
            turn = multiply_xyzw(goal.quaternion_xyzw, pose.quaternion_xyzw * np.array([-1.0, -1.0, -1.0, 1.0]))
            error = np.concatenate([goal.position - pose.position, xyzw_to_rotation_vector(turn)])
            self.data.qpos[self._qpos] += np.linalg.lstsq(self._tcp_jacobian(), error, rcond=None)[0]
            self.measure()
        self.set_target(self.tcp_pose(), 1.0)

    def set_target(self, pose: Pose, opening: float) -> None:
        """Give the controller its target: `pose`, and the gripper's `opening` (0 closed .. 1 open)."""
        self.data.mocap_pos[self._mocap] = pose.position
        self.data.mocap_quat[self._mocap] = pose.quaternion_xyzw[[3, 0, 1, 2]]
        self.data.ctrl[self._gripper] = opening * self.settings.gripper.width_m

    def step(self, count: int) -> None:
        """Take `count` physics steps."""
        mujoco.mj_step(self.model, self.data, nstep=count)
        self.steps += count

    def measure(self) -> None:
        """Bring poses up to date with the joints; physics leaves them one step behind."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

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

    def _dress(self, room: Room) -> None:
        model = self.model
        model.light_dir[0] = room.light_direction
        model.light_diffuse[0] = room.light_colour
        model.vis.headlight.ambient[:] = room.ambient
        model.geom_rgba[model.geom("floor").id, :3] = room.floor_colour
        model.geom_rgba[model.geom("wall").id, :3] = room.wall_colour
        texture = model.texture(TABLE_TEXTURE)
        start = int(model.tex_adr[texture.id])
        pixels = room.table_texture().reshape(-1)
        model.tex_data[start : start + pixels.size] = pixels
        for name, (position, quaternion, fovy) in self._cameras.items():
            jitter, camera = room.cameras[name], model.camera(name).id
            turn = rotation_vector_to_xyzw(jitter.turn)[[3, 0, 1, 2]]
            model.cam_pos[camera] = position + jitter.shift
            mujoco.mju_mulQuat(model.cam_quat[camera], quaternion, turn)
            model.cam_fovy[camera] = fovy * jitter.fovy_factor


def _build(contract: RobotContract, task: Task, settings: WorldSettings) -> mujoco.MjModel:
    spec = load_robot(contract.arm, settings.impedance, settings.gripper)
    option = spec.option
    option.timestep = TIMESTEP_NS * 1e-9
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0
    # iterations stay at MuJoCo's 100: most steps need one or two, but a grip cut short at 12 shoots the cube away
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE  # its tree is not updated when a cube changes size
    _add_surroundings(spec)
    add_controller(spec, settings.impedance)
    for name, mount in CAMERA_MOUNTS.items():
        parent = spec.worldbody if mount.body == "world" else spec.body(mount.body)
        parent.add_camera(name=name, pos=list(mount.position), quat=list(_looking(mount)), fovy=mount.fovy_deg)
    task.build(spec)
    visual = spec.visual
    visual.global_.offwidth = max(c.width for c in contract.cameras.values())
    visual.global_.offheight = max(c.height for c in contract.cameras.values())
    visual.quality.offsamples = 0
    visual.quality.shadowsize = 0
    visual.headlight.diffuse = [0.12, 0.12, 0.12]
    visual.headlight.specular = [0.0, 0.0, 0.0]
    visual.map.znear = 0.01
    visual.map.zfar = 10.0
    model = spec.compile()
    model.stat.extent = 1.0  # near and far planes are multiples of it
    return model


def _add_surroundings(spec: mujoco.MjSpec) -> None:
    spec.worldbody.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.0, 0.0, 2.0],
        castshadow=False,
        ambient=[0.0] * 3,
        specular=[0.1] * 3,
    )
    spec.add_texture(
        name=TABLE_TEXTURE,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=TEXTURE_SIZE,
        height=TEXTURE_SIZE,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        nchannel=3,
    )
    material = spec.add_material(name="table", specular=0.1, shininess=0.1, reflectance=0.0, texrepeat=[2.0, 2.0])
    material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = TABLE_TEXTURE
    looks = {"contype": 0, "conaffinity": 0, "group": WORLD_GROUP}
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    # the third size is the drawn grid's spacing: a small one costs milliseconds a frame
    spec.worldbody.add_geom(name="floor", type=plane, pos=[0.0, 0.0, FLOOR_Z_M], size=[3.0, 3.0, 5.0], **looks)
    spec.worldbody.add_geom(
        name="wall",
        type=plane,
        pos=[-1.2, 0.0, 1.0],
        size=[3.0, 3.0, 5.0],
        quat=[np.cos(np.pi / 4), 0.0, np.sin(np.pi / 4), 0.0],
        **looks,
    )
    spec.worldbody.add_geom(
        name="table", type=plane, pos=[0.4, 0.0, 0.0], size=[0.6, 0.6, 5.0], material="table", **looks
    )
    spec.worldbody.add_geom(
        name="table_contact",
        type=plane,
        size=[1.0, 1.0, 5.0],
        group=CONTACT_GROUP,
        friction=[0.4, 0.005, 0.0001],
        **WORLD_BITS,
    )


def _looking(mount: CameraMount) -> FloatArray:
    """Return the camera's rotation as a quaternion wxyz: it looks along its -z, with y up in the picture."""
    back = np.array(mount.position) - np.array(mount.look_at)
    back /= np.linalg.norm(back)
    right = np.cross(np.array(mount.up), back)
    right /= np.linalg.norm(right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.column_stack([right, np.cross(back, right), back]).reshape(-1))
    return quaternion
