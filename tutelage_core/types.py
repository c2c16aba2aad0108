"""The data that flows round the control loop. All SI, all immutable, stamps in integer nanoseconds.

A TCP step is a float64 vector of shape (7,): dx dy dz [m], rotation vector rx ry rz [rad], both in the robot's base
frame, and the absolute gripper opening (0 closed .. 1 open).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ImageArray = NDArray[np.uint8]
DepthArray = NDArray[np.float32]

STEP_SIZE = 7
"""Numbers in a TCP step."""


class Source(IntEnum):
    """Who drove a step. The numbers are those of `tutelage_interfaces/msg/ArmCommand`."""

    HOLD = 0
    POLICY = 1
    HUMAN = 2
    EXPERT = 3
    PHRASE = 4  # the policy, following a phrase that a person put in
    HOMING = 5


@dataclass(frozen=True)
class Pose:
    """A rigid transform `T_a_b` that maps points given in b into a.

    Attributes:
        position: translation, shape (3,) [m].
        quaternion_xyzw: unit rotation quaternion in ROS order, shape (4,).
    """

    position: FloatArray
    quaternion_xyzw: FloatArray


@dataclass(frozen=True)
class Frame:
    """One camera image.

    Attributes:
        image: RGB pixels, shape (height, width, 3), uint8.
        stamp_ns: time of exposure [ns].
        sequence: counts the camera's frames from 0; a gap is a frame that was lost before it was read.
        depth_m: distance along the optical axis of each pixel of `image`, shape (height, width), float32, NaN where the
            camera saw none [m]; None if it measures none.
    """

    image: ImageArray
    stamp_ns: int
    sequence: int
    depth_m: DepthArray | None = None


@dataclass(frozen=True)
class ArmState:
    """What an arm measures at one instant.

    Attributes:
        stamp_ns: time of measurement [ns].
        joint_positions: shape (joints,) [rad].
        joint_velocities: shape (joints,) [rad/s].
        T_base_tcp: measured pose of the tool centre point in the base frame.
        tcp_velocity: linear and angular velocity in the base frame, shape (6,) [m/s, rad/s].
        wrench: external force and torque at the TCP in the base frame, shape (6,) [N, Nm].
        gripper_opening: 0 closed .. 1 open.
    """

    stamp_ns: int
    joint_positions: FloatArray
    joint_velocities: FloatArray
    T_base_tcp: Pose
    tcp_velocity: FloatArray
    wrench: FloatArray
    gripper_opening: float


@dataclass(frozen=True)
class StepCommand:
    """One TCP step on its way to the SafetyGate.

    Attributes:
        stamp_ns: time of the control period that the step is for [ns].
        sequence: grows with each command of one sender.
        source: who asks.
        step: TCP step, shape (7,) [m, rad, 0..1].
        sender: who sends it; empty where there is only one.
    """

    stamp_ns: int
    sequence: int
    source: Source
    step: FloatArray
    sender: str = ""


@dataclass(frozen=True)
class ArmCommand:
    """What an arm driver is told, after the SafetyGate: an absolute target.

    Attributes:
        stamp_ns: stamp of the step that led to it [ns].
        T_base_tcp_target: where the compliant controller shall pull the TCP.
        gripper_opening: 0 closed .. 1 open.
        hold: nobody drives: every joint shall come to rest, not the TCP alone.
    """

    stamp_ns: int
    T_base_tcp_target: Pose
    gripper_opening: float
    hold: bool = False


@dataclass(frozen=True)
class ExecutedStep:
    """What the SafetyGate let through; this is what gets recorded.

    Attributes:
        stamp_ns: stamp of the command [ns].
        sequence: sequence of the command.
        source: who drove; HOLD when the command was refused.
        requested: step that was asked, shape (7,); may hold anything, NaN included.
        executed: step that was carried out, shape (7,), always finite [m, rad, 0..1].
        reasons: names of the gate's reason codes; empty when nothing was changed.
    """

    stamp_ns: int
    sequence: int
    source: Source
    requested: FloatArray
    executed: FloatArray
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observation:
    """What a policy sees at one control period.

    Attributes:
        stamp_ns: time of the period [ns].
        images: camera name to RGB pixels, shape (height, width, 3), uint8.
        state: state key (see `tutelage_core.contract.STATE_KEYS`) to float64 vector.
        frame_stamps_ns: camera name to stamp of its frame [ns]; empty where all have the stamp of the period.
        state_stamp_ns: stamp of the arm state [ns]; None where it is that of the period.
    """

    stamp_ns: int
    images: Mapping[str, ImageArray]
    state: Mapping[str, FloatArray]
    frame_stamps_ns: Mapping[str, int] = field(default_factory=dict[str, int])
    state_stamp_ns: int | None = None


@dataclass(frozen=True)
class ObservationInputs:
    """What an observation was made of: enough to find it again in a recording, and to see that it is the same.

    Attributes:
        frame_stamps_ns: camera name to stamp of its frame [ns].
        state_stamp_ns: stamp of the arm state [ns].
        state_keys: what was read of the arm state, in this order.
        images_crc32: checksum of the pixels; see `tutelage_core.episodes.parity`.
        state_crc32: checksum of the state.
    """

    frame_stamps_ns: Mapping[str, int]
    state_stamp_ns: int
    state_keys: tuple[str, ...]
    images_crc32: int
    state_crc32: int


@dataclass(frozen=True)
class ActionChunk:
    """Steps that a policy wants to take from one observation on.

    Attributes:
        stamp_ns: time of the *observation* it came from; step i is for stamp_ns + i * period_ns.
        period_ns: control period [ns].
        steps: TCP steps, shape (length, 7) [m, rad, 0..1].
        phrase: language motion that it follows, empty if none.
    """

    stamp_ns: int
    period_ns: int
    steps: FloatArray
    phrase: str = ""


@dataclass(frozen=True)
class TaskStatus:
    """Ground truth of a task, known in simulation only.

    Attributes:
        success: the task is done now.
        progress: true progress, 0..1.
        failure: name of the failure kind, empty while none.
    """

    success: bool
    progress: float
    failure: str = ""


@dataclass(frozen=True)
class EpisodeStep:
    """One recorded control period: the observation, and what was executed on it.

    Attributes:
        observation: what the policy saw.
        executed: what the SafetyGate let through.
        status: ground truth before the step, in simulation.
        expert_step: what the expert would have done here, shape (7,), if one was asked.
        phrase: language motion, empty if none.
    """

    observation: Observation
    executed: ExecutedStep
    status: TaskStatus | None = None
    expert_step: FloatArray | None = None
    phrase: str = ""


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode ended.

    Attributes:
        success: the task was done (ground truth or label).
        steps: control periods taken.
        termination: why it ended: success, time_limit, stopped, failure or error.
        interventions: steps that the SafetyGate changed or refused.
        stage_ms: mean latency of each stage [ms].
        failure: name of the failure kind, empty if none.
        human_periods: control periods that a person drove.
        driving: how it was driven, by name: see `tutelage_core.drive_report`.
    """

    success: bool
    steps: int
    termination: str
    interventions: int = 0
    stage_ms: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""
    human_periods: int = 0
    driving: Mapping[str, float] = field(default_factory=dict)
