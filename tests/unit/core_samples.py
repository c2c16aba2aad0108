"""A robot's contract and a policy's spec that fit each other, for the tests of the core."""

from __future__ import annotations

from tutelage_core.contract import (
    ArmContract,
    CameraContract,
    CameraNeed,
    PolicySpec,
    RobotContract,
    SafetyLimits,
)

ROBOT = RobotContract(
    name="sample",
    control_rate_hz=10.0,
    action="tcp_step",
    arm=ArmContract("twin", ("a", "b"), (0.0, 0.5)),
    cameras={"front": CameraContract(64, 48, 10.0, "twin"), "wrist": CameraContract(32, 32, 10.0, "twin")},
    state_keys=("tcp_position", "gripper_opening"),
    safety=SafetyLimits((0.25, -0.35, 0.01), (0.75, 0.35, 0.5)),
)

SPEC = PolicySpec(
    name="bc",
    cameras={"front": CameraNeed(64, 48)},
    state_keys=("gripper_opening", "tcp_position"),
    action="tcp_step",
    control_rate_hz=10.0,
    history=1,
    chunk=16,
    replan_every=8,
    tasks=("reach",),
)
