"""A gate, states and commands for the tests of the SafetyGate."""

from __future__ import annotations

import numpy as np

from hardware.safety.gate import GateDecision, SafetyGate
from hardware.safety.robot_model import RobotModel
from tutelage_core.contract import NS_PER_S, CellBox, load_contract, robots_folder
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import rotation_vector_to_xyzw, xyzw_to_rotation_vector
from tutelage_core.types import ArmState, Pose, Source, StepCommand

LIMITS = SafetyLimits(
    workspace_min_m=(0.25, -0.35, 0.01), workspace_max_m=(0.75, 0.35, 0.5), speed_profile="simulation"
)
"""Without the slow first motion; `test_pace.py` has the other profiles."""

ROBOT = load_contract("twin")
HOME = np.array(ROBOT.arm.home_joint_positions)
SHELF = CellBox("shelf", (0.45, 0.25, 0.2), (0.1, 0.1, 0.4))
MODEL = RobotModel(robots_folder() / "fr3.xml", ROBOT.arm.joints, (SHELF,))
PERIOD_NS = NS_PER_S // 10
CENTRE = (0.5, 0.0, 0.25)


def arm_state(
    stamp_ns: int,
    position: tuple[float, ...] | np.ndarray = CENTRE,
    rotation: tuple[float, ...] | np.ndarray = (0.0, 0.0, 0.0),
    gripper: float = 0.4,
    joints: np.ndarray | None = None,
) -> ArmState:
    """Return a still arm whose TCP stands at `position` [m], turned by a `rotation` vector [rad]."""
    pose = Pose(np.array(position, dtype=np.float64), rotation_vector_to_xyzw(np.array(rotation, dtype=np.float64)))
    measured = np.zeros(7) if joints is None else joints
    return ArmState(stamp_ns, measured, np.zeros(7), pose, np.zeros(6), np.zeros(6), gripper)


def joints_at(model: RobotModel, joints: np.ndarray, *shift: float) -> np.ndarray:
    """Return the joints with which the TCP is `shift` [m] away from where it is with `joints`."""
    goal = model.tcp_pose(joints)
    goal = Pose(goal.position + np.array(shift), goal.quaternion_xyzw)
    for _ in range(10):
        joints = model.joints_at(goal, joints)
    return joints


def tcp_step(*translation_and_rotation: float, gripper: float = 0.4) -> np.ndarray:
    """Return a TCP step; what is not given is zero, but for the gripper."""
    step = np.zeros(7)
    step[: len(translation_and_rotation)] = translation_and_rotation
    step[6] = gripper
    return step


class Bench:
    """A gate with a clock: each call asks for one step, one control period after the last one."""

    def __init__(self, limits: SafetyLimits = LIMITS, gate: SafetyGate | None = None) -> None:
        """Start an episode with the arm in the middle of the workspace; with a `gate` of one's own, if it is given."""
        self.gate = gate or SafetyGate(limits)
        self.joints: np.ndarray | None = None
        self.now_ns = 10 * NS_PER_S
        self.sequence = 0
        self.position: tuple[float, ...] | np.ndarray = CENTRE
        self.rotation: tuple[float, ...] | np.ndarray = (0.0, 0.0, 0.0)
        self.gate.restart(self.state())

    def stand(self, model: RobotModel, joints: np.ndarray) -> None:
        """Let the arm measure these joints [rad], and the pose that they make."""
        pose = model.tcp_pose(joints)
        self.joints, self.position = joints, pose.position
        self.rotation = xyzw_to_rotation_vector(pose.quaternion_xyzw)

    def state(self) -> ArmState:
        """Return what the arm measures now."""
        return arm_state(self.now_ns, self.position, self.rotation, joints=self.joints)

    def ask(
        self,
        step: np.ndarray | None = None,
        *,
        source: Source = Source.POLICY,
        age_s: float = 0.0,
        sequence: int | None = None,
        state: ArmState | None = None,
        sender: str = "",
    ) -> GateDecision:
        """Let a period pass and ask for `step` (no motion if None) with a command that is `age_s` old [s]."""
        self.now_ns += PERIOD_NS
        self.sequence = self.sequence + 1 if sequence is None else sequence
        command = StepCommand(
            self.now_ns - round(age_s * NS_PER_S), self.sequence, source, tcp_step() if step is None else step, sender
        )
        return self.gate.admit(command, self.state() if state is None else state, self.now_ns, self.now_ns)
