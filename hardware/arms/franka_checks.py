"""What must be true of a Franka robot before the driver touches it: versions, joint limits, tool frame and mass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from hardware.safety.robot_model import RobotModel
from tutelage_core.errors import ArmError
from tutelage_core.rotations import step_between
from tutelage_core.types import FloatArray, Pose


@dataclass(frozen=True)
class FrankaVersions:
    """One row of the table of what works together.

    Attributes:
        package: version of `franky-control`.
        libfranka: that it was built with.
        robot_server: protocol of the arm.
        gripper_server: protocol of the hand.
        system: first robot system image that speaks both.
    """

    package: str
    libfranka: str
    robot_server: int
    gripper_server: int
    system: str


VERSIONS = (FrankaVersions("2.0.0", "0.21.2", 10, 3, "5.9.0"),)
"""Versions of the package that this driver was tested with."""

ROBOT_SYSTEMS = {
    10: "FR3, system 5.9.0 or newer",
    9: "FR3, system 5.7.2 to 5.8",
    8: "FR3, system 5.7.0 or 5.7.1",
    7: "FR3, system 5.5.0 to 5.6",
    6: "FR3, system 5.2.0 to 5.4",
    5: "Panda (FER), system 4.2.1 or newer",
    4: "Panda (FER), system 4.0.0 to 4.2.0",
    3: "Panda (FER), system 3",
}
"""What speaks which robot protocol, from Franka's compatibility table."""

LIMIT_TOLERANCE_RAD = 1e-3
POSITION_TOLERANCE_M = 0.005
ROTATION_TOLERANCE_RAD = 0.02
MASS_TOLERANCE_KG = 0.1


def find_versions(package: str) -> FrankaVersions:
    """Return the row of this version of `franky-control`.

    Raises:
        ArmError: it is not in the table.
    """
    for row in VERSIONS:
        if row.package == package:
            return row
    tested = ", ".join(row.package for row in VERSIONS)
    raise ArmError(
        f"franky-control {package} is installed, but the Franka driver was tested with {tested} only; "
        f"run: pip install franky-control=={VERSIONS[-1].package}"
    )


def explain_mismatch(message: str, row: FrankaVersions) -> str:
    """Return what libfranka's `message` about protocol versions means for the user."""
    found = re.search(r"server version: (\d+)", message)
    needed = f"libfranka {row.libfranka} speaks robot protocol {row.robot_server} ({ROBOT_SYSTEMS[row.robot_server]})"
    if found is None:
        return f"{needed}, and the robot does not: {message}"
    seen = int(found.group(1))
    return f"the robot speaks protocol {seen} ({ROBOT_SYSTEMS.get(seen, 'unknown to this driver')}), but {needed}"


def check_gripper_version(seen: int, row: FrankaVersions) -> None:
    """Refuse a hand that speaks another protocol.

    Raises:
        ArmError: names both.
    """
    if seen != row.gripper_server:
        raise ArmError(
            f"the hand speaks gripper protocol {seen}, but libfranka {row.libfranka} speaks {row.gripper_server}"
        )


def joint_limits(urdf: str) -> tuple[FloatArray, FloatArray]:
    """Return the lower and upper joint limits that a robot reports, each shape (n,) [rad].

    Raises:
        ArmError: the text is no URDF with limited revolute joints.
    """
    try:
        root = ElementTree.fromstring(urdf)
        limits = [joint.find("limit") for joint in root.iter("joint") if joint.get("type") == "revolute"]
        pairs = [(float(x.attrib["lower"]), float(x.attrib["upper"])) for x in limits if x is not None]
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise ArmError(f"the robot's model is no URDF with joint limits: {error}") from error
    if not pairs:
        raise ArmError("the robot's model has no revolute joint with limits")
    return np.array([low for low, _ in pairs]), np.array([high for _, high in pairs])


def check_joint_limits(joints: Sequence[str], model: RobotModel, low: FloatArray, high: FloatArray) -> None:
    """Refuse a contract that allows joints more than the robot does.

    Args:
        joints: their names.
        model: the contract's.
        low: lower limits of the robot, shape (n,) [rad].
        high: upper limits, shape (n,) [rad].

    Raises:
        ArmError: names every joint that differs, with both ranges.
    """
    if len(joints) != len(low):
        raise ArmError(f"the contract names {len(joints)} joints, the robot has {len(low)}")
    beyond = [
        f"{name}: contract [{model.low[i]:.4f}, {model.high[i]:.4f}] rad, robot [{low[i]:.4f}, {high[i]:.4f}] rad"
        for i, name in enumerate(joints)
        if model.low[i] < low[i] - LIMIT_TOLERANCE_RAD or model.high[i] > high[i] + LIMIT_TOLERANCE_RAD
    ]
    if beyond:
        raise ArmError("the contract's joint limits go beyond the robot's:\n  - " + "\n  - ".join(beyond))


def check_tool(model: RobotModel, joint_positions: FloatArray, T_base_tcp: Pose) -> None:
    """Refuse a robot whose TCP is not where the contract's model puts it: another arm, or another tool set in Desk.

    Args:
        model: the contract's.
        joint_positions: measured, shape (n,) [rad].
        T_base_tcp: the end effector that the robot reports.

    Raises:
        ArmError: names the distance.
    """
    way = step_between(model.tcp_pose(joint_positions), T_base_tcp)
    off_m, off_rad = float(np.linalg.norm(way[:3])), float(np.linalg.norm(way[3:]))
    if off_m > POSITION_TOLERANCE_M or off_rad > ROTATION_TOLERANCE_RAD:
        raise ArmError(
            f"the robot's end effector is {1000 * off_m:.1f} mm and {off_rad:.3f} rad from where the contract's model "
            f"has the TCP ({1000 * POSITION_TOLERANCE_M:g} mm and {ROTATION_TOLERANCE_RAD:g} rad are allowed): "
            "set the end effector in Desk to the one of the model"
        )


def check_mass(seen_kg: float, expected_kg: float) -> None:
    """Refuse a robot that compensates the weight of another end effector.

    Raises:
        ArmError: names both masses.
    """
    if not abs(seen_kg - expected_kg) <= MASS_TOLERANCE_KG:
        raise ArmError(
            f"Desk has an end effector of {seen_kg:.2f} kg, the contract's end_effector_kg is {expected_kg:.2f} kg "
            f"({MASS_TOLERANCE_KG:g} kg of difference are allowed): the arm would sink or rise"
        )
