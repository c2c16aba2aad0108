"""The FR3 with its hand as a MuJoCo model: kinematics and looks from the wheel, contact shapes of our own."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim.assets import MODEL_FILE, build_assets
from sim.controller import TCP_SITE, ImpedanceSettings
from tutelage_core.contract import ArmContract
from tutelage_core.errors import ConfigurationError

HAND_TO_TCP_M = 0.1034
"""From the hand's flange to the point between the finger tips, along the hand's z axis [m] (Franka's own value)."""

FINGERS = ("left_finger", "right_finger")
FINGER_JOINTS = ("finger_joint1", "finger_joint2")
PADS = ("left_pad", "right_pad")
GRIPPER = "gripper"

WORLD_GROUP, OBJECT_GROUP, ARM_GROUP, CONTACT_GROUP, FINGER_GROUP, SITE_GROUP = range(6)
"""Geom groups: what stands still, what is handled, arm and hand, contact shapes (never drawn), fingers, sites."""

ROBOT_BITS = {"contype": 2, "conaffinity": 1}
"""Contact bits of the robot: it meets the world and objects, never itself."""

WORLD_BITS = {"contype": 1, "conaffinity": 3}
"""Contact bits of the world and of objects: they meet each other and the robot."""

WHITEST = 0.86
"""Brightest albedo of the robot's covers; pure white saturates."""


@dataclass(frozen=True)
class GripperSettings:
    """The parallel gripper.

    Attributes:
        width_m: opening between the pads when fully open [m].
        force_n: largest force of each pad [N].
        stiffness_n_m: position gain on the opening [N/m].
        finger_damping_ns_m: damping of each finger; sets the closing speed together with the force [N s/m].
        friction: sliding, torsional [m] and rolling [m] friction of the pads.
    """

    width_m: float = 0.08
    force_n: float = 50.0
    stiffness_n_m: float = 5000.0
    finger_damping_ns_m: float = 400.0
    friction: tuple[float, float, float] = (1.2, 0.02, 0.0001)


_CONTACT_CAPSULES = (
    # body, one end [m], other end [m], radius [m]
    ("fr3_link5", (0.0, 0.0, -0.20), (0.0, 0.02, 0.0), 0.06),
    ("fr3_link5", (0.0, 0.08, -0.19), (0.0, 0.08, 0.02), 0.045),
    ("fr3_link6", (0.02, 0.0, 0.0), (0.088, 0.02, 0.0), 0.06),
    ("fr3_link7", (0.0, 0.0, 0.06), (0.04, 0.04, 0.08), 0.045),
    ("hand", (0.0, -0.07, 0.03), (0.0, 0.07, 0.03), 0.034),
)


def load_robot(arm: ArmContract, impedance: ImpedanceSettings, gripper: GripperSettings) -> mujoco.MjSpec:
    """Return the robot alone, its base frame at the world's origin, with site `tcp` and actuator `gripper`.

    Raises:
        ConfigurationError: the contract's joints are not those of the model.
    """
    spec = mujoco.MjSpec.from_file(str(build_assets() / MODEL_FILE))
    names = tuple(j.name for j in spec.joints if j.name not in FINGER_JOINTS)
    if names != arm.joints:
        raise ConfigurationError(
            f"the contract's joints {', '.join(arm.joints)} are not the model's, {', '.join(names)}"
        )
    for geom in spec.geoms:
        geom.group = FINGER_GROUP if geom.parent.name in FINGERS else ARM_GROUP
        geom.rgba = np.append(np.minimum(geom.rgba[:3], WHITEST), 1.0)
    for body in spec.bodies:
        if body.name != "world":
            body.gravcomp = 1.0
    for joint, home in zip((j for j in spec.joints if j.name in names), arm.home_joint_positions, strict=True):
        joint.damping = _with_first(joint.damping, impedance.joint_damping_nms_rad)
        if joint.name == names[2]:
            joint.springref = home
            joint.stiffness = _with_first(joint.stiffness, impedance.posture_nm_rad)
    _add_contact_shapes(spec, gripper)
    _add_gripper(spec, gripper)
    spec.body("hand").add_site(name=TCP_SITE, pos=[0.0, 0.0, HAND_TO_TCP_M], group=SITE_GROUP)
    return spec


def _with_first(value: object, first: float) -> object:
    """Return `first` in the shape that this MuJoCo wants: a number, or a polynomial's coefficients."""
    array = np.array(value, dtype=np.float64)
    if array.ndim == 0:
        return first
    array[:] = 0.0
    array[0] = first
    return array


def _add_contact_shapes(spec: mujoco.MjSpec, gripper: GripperSettings) -> None:
    for index, (body, start, end, radius) in enumerate(_CONTACT_CAPSULES):
        spec.body(body).add_geom(
            name=f"{body}_contact{index}",
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=[*start, *end],
            size=[radius, 0.0, 0.0],
            mass=0.0,
            group=CONTACT_GROUP,
            **ROBOT_BITS,
        )
    for finger, pad in zip(FINGERS, PADS, strict=True):
        spec.body(finger).add_geom(
            name=pad,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[0.0, 0.005, 0.0445],
            size=[0.009, 0.005, 0.0095],
            mass=0.0,
            group=CONTACT_GROUP,
            condim=4,
            priority=1,
            friction=list(gripper.friction),
            solref=[0.008, 1.0],
            **ROBOT_BITS,
        )
        spec.body(finger).add_geom(
            name=f"{finger}_contact",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=[0.0, 0.014, 0.018],
            size=[0.01, 0.01, 0.017],
            mass=0.0,
            group=CONTACT_GROUP,
            **ROBOT_BITS,
        )


def _add_gripper(spec: mujoco.MjSpec, gripper: GripperSettings) -> None:
    for name in FINGER_JOINTS:
        joint = spec.joint(name)
        joint.damping = _with_first(joint.damping, gripper.finger_damping_ns_m)
        joint.armature = 0.1
    tendon = spec.add_tendon(name="opening")
    for name in FINGER_JOINTS:
        tendon.wrap_joint(name, 1.0)
    coupling = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_JOINT, name1=FINGER_JOINTS[0], name2=FINGER_JOINTS[1], objtype=mujoco.mjtObj.mjOBJ_JOINT
    )
    coupling.data[:5] = [0.0, 1.0, 0.0, 0.0, 0.0]
    coupling.solref = [0.006, 1.0]
    actuator = spec.add_actuator(name=GRIPPER, trntype=mujoco.mjtTrn.mjTRN_TENDON, target="opening")
    actuator.gaintype = mujoco.mjtGain.mjGAIN_FIXED
    actuator.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    actuator.gainprm = np.concatenate([[gripper.stiffness_n_m], np.zeros(len(actuator.gainprm) - 1)])
    actuator.biasprm = np.concatenate([[0.0, -gripper.stiffness_n_m], np.zeros(len(actuator.biasprm) - 2)])
    actuator.forcelimited = True
    actuator.forcerange = np.array([-gripper.force_n, gripper.force_n])
    actuator.ctrllimited = True
    actuator.ctrlrange = np.array([0.0, gripper.width_m])
