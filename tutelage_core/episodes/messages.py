"""Core types as ROS 2 messages, and the topics that they go to. Shapes are checked here, once, before coding."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes.schemas import encode, typestore
from tutelage_core.errors import EpisodeError
from tutelage_core.types import (
    STEP_SIZE,
    ActionChunk,
    ArmState,
    ExecutedStep,
    FloatArray,
    ObservationInputs,
    Pose,
    Source,
    StepCommand,
    TaskStatus,
)

ARM_STATE_TOPIC = "/arm/state"
EXECUTED_TOPIC = "/arm/executed"
STATUS_TOPIC = "/twin/task_status"
EXPERT_TOPIC = "/expert/step"
CHUNK_TOPIC = "/policy/chunk"

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
ARM_STATE = "tutelage_interfaces/msg/ArmState"
EXECUTED = "tutelage_interfaces/msg/ExecutedAction"
STATUS = "tutelage_interfaces/msg/TaskStatus"
COMMAND = "tutelage_interfaces/msg/ArmCommand"
CHUNK = "tutelage_interfaces/msg/ActionChunk"

ImageFormat = Literal["raw", "jpeg", "png"]
IMAGE_FORMATS: tuple[str, ...] = get_args(ImageFormat)
"""How pixels are kept: as they are, as JPEG (a tenth of the size, not the same pixels) or as PNG (the same, slowly)."""

BASE_FRAME = "base"
MAX_STAMP_NS = 2**31 * NS_PER_S - 1
"""Latest stamp that fits a ROS time [ns]."""


def image_topic(camera: str, image_format: ImageFormat = "raw") -> str:
    """Return the topic of a camera's images; compressed ones are named as image_transport names them."""
    return f"/camera/{camera}/image_raw" + ("" if image_format == "raw" else "/compressed")


def camera_of(topic: str) -> str | None:
    """Return the camera whose images go to `topic`, raw or compressed, or None if it carries no images."""
    name = topic.removeprefix("/camera/").removesuffix("/compressed").removesuffix("/image_raw")
    return name if topic in (image_topic(name), image_topic(name, "jpeg")) else None


def encode_state(state: ArmState) -> bytes:
    """Return an arm state as `ArmState`.

    Raises:
        EpisodeError: a vector has the wrong shape, or there are no joints (an empty array is read in two ways by CDR
            readers, so none is ever written).
    """
    joints = np.asarray(state.joint_positions).shape
    if len(joints) != 1 or joints[0] == 0:
        raise EpisodeError(f"joint_positions must have shape (joints,) with at least one, got {joints}")
    return encode(
        make_message(
            ARM_STATE,
            header=make_header(state.stamp_ns, BASE_FRAME),
            joint_positions=_vector("joint_positions", state.joint_positions, joints[0]),
            joint_velocities=_vector("joint_velocities", state.joint_velocities, joints[0]),
            pose=_pose(state.T_base_tcp),
            tcp_velocity=_vector("tcp_velocity", state.tcp_velocity, 6),
            wrench=_vector("wrench", state.wrench, 6),
            gripper_opening=float(state.gripper_opening),
        ),
        ARM_STATE,
    )


def encode_executed(step: ExecutedStep, executed_at_ns: int) -> bytes:
    """Return an executed step as `ExecutedAction`; `executed_at_ns` is when its target left for the controller [ns].

    Raises:
        EpisodeError: a step has not the shape (7,), or what was executed is not finite.
    """
    executed = _vector("executed", step.executed, STEP_SIZE)
    if not np.isfinite(executed).all():
        raise EpisodeError(f"executed step must be finite, got {executed}")
    return encode(
        make_message(
            EXECUTED,
            header=make_header(step.stamp_ns, BASE_FRAME),
            sequence=step.sequence,
            source=int(step.source),
            requested=_vector("requested", step.requested, STEP_SIZE),
            executed=executed,
            reasons=list(step.reasons),
            executed_at=_time(executed_at_ns),
        ),
        EXECUTED,
    )


def encode_status(stamp_ns: int, status: TaskStatus) -> bytes:
    """Return the ground truth of a task at `stamp_ns` [ns] as `TaskStatus`."""
    return encode(
        make_message(
            STATUS,
            header=make_header(stamp_ns, ""),
            success=bool(status.success),
            progress=float(status.progress),
            failure=status.failure,
        ),
        STATUS,
    )


def encode_command(command: StepCommand) -> bytes:
    """Return a step on its way as `ArmCommand`."""
    return encode(
        make_message(
            COMMAND,
            header=make_header(command.stamp_ns, BASE_FRAME),
            sequence=command.sequence,
            source=int(command.source),
            step=_vector("step", command.step, STEP_SIZE),
            sender=command.sender,
        ),
        COMMAND,
    )


def encode_chunk(chunk: ActionChunk, policy: str, inference_s: float, inputs: ObservationInputs | None = None) -> bytes:
    """Return a policy's chunk as `ActionChunk`; `inference_s` is how long it thought [s], `inputs` what about.

    Raises:
        EpisodeError: its steps have not the shape (length, 7), or there are none.
    """
    steps = np.asarray(chunk.steps, dtype=np.float64)
    if steps.ndim != 2 or steps.shape[1] != STEP_SIZE or steps.shape[0] == 0:
        raise EpisodeError(f"chunk steps must have shape (length, {STEP_SIZE}) with at least one, got {steps.shape}")
    seconds, nanoseconds = divmod(chunk.period_ns, NS_PER_S)
    period = make_message("builtin_interfaces/msg/Duration", sec=seconds, nanosec=nanoseconds)
    return encode(
        make_message(
            CHUNK,
            header=make_header(chunk.stamp_ns, BASE_FRAME),
            period=period,
            length=steps.shape[0],
            steps=np.ascontiguousarray(steps).reshape(-1),
            phrase=chunk.phrase,
            policy=policy,
            inference_s=float(inference_s),
            cameras=list(inputs.frame_stamps_ns) if inputs else [],
            frame_stamps=[_time(stamp) for stamp in inputs.frame_stamps_ns.values()] if inputs else [],
            state_stamp=_time(inputs.state_stamp_ns if inputs else 0),
            state_keys=list(inputs.state_keys) if inputs else [],
            images_crc=inputs.images_crc32 if inputs else 0,
            state_crc=inputs.state_crc32 if inputs else 0,
        ),
        CHUNK,
    )


def stamp_of(message: Any) -> int:
    """Return a decoded message's header stamp [ns]."""
    return int(message.header.stamp.sec) * NS_PER_S + int(message.header.stamp.nanosec)


def to_state(message: Any) -> ArmState:
    """Return a decoded `ArmState` message as the core type."""
    position, orientation = message.pose.position, message.pose.orientation
    return ArmState(
        stamp_ns=stamp_of(message),
        joint_positions=np.array(message.joint_positions),
        joint_velocities=np.array(message.joint_velocities),
        T_base_tcp=Pose(
            np.array([position.x, position.y, position.z]),
            np.array([orientation.x, orientation.y, orientation.z, orientation.w]),
        ),
        tcp_velocity=np.array(message.tcp_velocity),
        wrench=np.array(message.wrench),
        gripper_opening=float(message.gripper_opening),
    )


def to_executed(message: Any) -> ExecutedStep:
    """Return a decoded `ExecutedAction` message as the core type."""
    return ExecutedStep(
        stamp_ns=stamp_of(message),
        sequence=int(message.sequence),
        source=Source(message.source),
        requested=np.array(message.requested),
        executed=np.array(message.executed),
        reasons=tuple(message.reasons),
    )


def to_chunk(message: Any) -> ActionChunk:
    """Return a decoded `ActionChunk` message as the core type.

    Raises:
        EpisodeError: its numbers do not make length x 7.
    """
    steps = np.array(message.steps, dtype=np.float64)
    if steps.size != message.length * STEP_SIZE:
        raise EpisodeError(f"a chunk of {message.length} steps holds {steps.size} numbers")
    period_ns = int(message.period.sec) * NS_PER_S + int(message.period.nanosec)
    return ActionChunk(stamp_of(message), period_ns, steps.reshape(-1, STEP_SIZE), str(message.phrase))


def to_inputs(message: Any) -> ObservationInputs | None:
    """Return what a decoded `ActionChunk` message was thought from; None if it does not say, as old ones do not.

    Raises:
        EpisodeError: it names another number of cameras than of frames.
    """
    cameras: tuple[str, ...] = tuple(getattr(message, "cameras", ()))
    keys: tuple[str, ...] = tuple(getattr(message, "state_keys", ()))
    if not cameras and not keys:
        return None
    stamps = [int(stamp.sec) * NS_PER_S + int(stamp.nanosec) for stamp in message.frame_stamps]
    if len(stamps) != len(cameras):
        raise EpisodeError(f"a chunk names {len(cameras)} cameras and {len(stamps)} frames")
    state_ns = int(message.state_stamp.sec) * NS_PER_S + int(message.state_stamp.nanosec)
    frames = dict(zip(cameras, stamps, strict=True))
    return ObservationInputs(frames, state_ns, keys, int(message.images_crc), int(message.state_crc))


def make_message(name: str, **fields: Any) -> object:
    """Return a message of the type `name` with these fields, ready to be coded."""
    kind: Any = typestore().types[name]
    return kind(**fields)


def _time(stamp_ns: int) -> object:
    if not 0 <= stamp_ns <= MAX_STAMP_NS:
        raise EpisodeError(f"stamp must be in [0, {MAX_STAMP_NS}] ns to fit a ROS time, got {stamp_ns}")
    seconds, nanoseconds = divmod(int(stamp_ns), NS_PER_S)
    return make_message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)


def make_header(stamp_ns: int, frame_id: str) -> object:
    """Return a header.

    Raises:
        EpisodeError: the stamp [ns] is not a ROS time.
    """
    return make_message("std_msgs/msg/Header", stamp=_time(stamp_ns), frame_id=frame_id)


def _pose(pose: Pose) -> object:
    x, y, z = (float(v) for v in _vector("position", pose.position, 3))
    qx, qy, qz, qw = (float(v) for v in _vector("quaternion_xyzw", pose.quaternion_xyzw, 4))
    return make_message(
        "geometry_msgs/msg/Pose",
        position=make_message("geometry_msgs/msg/Point", x=x, y=y, z=z),
        orientation=make_message("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
    )


def _vector(name: str, values: FloatArray, size: int) -> FloatArray:
    vector = np.ascontiguousarray(values, dtype=np.float64)
    if vector.shape != (size,):
        raise EpisodeError(f"{name} must have shape ({size},), got {vector.shape}")
    return vector
