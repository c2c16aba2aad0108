"""Core types as ROS 2 messages, and the topics that they go to. Shapes are checked here, once, before coding."""

from __future__ import annotations

import io
from typing import Any, Literal, get_args

import cv2
import numpy as np
from PIL import Image as PilImage

from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes.schemas import encode, typestore
from tutelage_core.errors import EpisodeError
from tutelage_core.types import (
    STEP_SIZE,
    ActionChunk,
    ArmState,
    ExecutedStep,
    FloatArray,
    Frame,
    ImageArray,
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

MAX_PIXELS = 50_000_000
"""More than any camera here has: a small file must not ask for gigabytes."""

JPEG_QUALITY = 95
_ENCODINGS: dict[str, tuple[str, list[int]]] = {
    # full chroma: half of it would blur the edges of small coloured things
    "jpeg": (
        ".jpg",
        [
            cv2.IMWRITE_JPEG_QUALITY,
            JPEG_QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ],
    ),
    "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
}

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


def encode_image(camera: str, frame: Frame) -> bytes:
    """Return a frame as `sensor_msgs/Image`, rgb8.

    Raises:
        EpisodeError: it is not an uint8 array of shape (height, width, 3), or its stamp is not a ROS time.
    """
    image = _checked_image(camera, frame)
    height, width, _ = image.shape
    return encode(
        _message(
            IMAGE,
            header=_header(frame.stamp_ns, camera),
            height=height,
            width=width,
            encoding="rgb8",
            is_bigendian=0,
            step=3 * width,
            data=np.ascontiguousarray(image).reshape(-1),
        ),
        IMAGE,
    )


def encode_compressed_image(camera: str, frame: Frame, image_format: ImageFormat) -> bytes:
    """Return a frame as `sensor_msgs/CompressedImage`, JPEG or PNG.

    Raises:
        EpisodeError: it is not an uint8 array of shape (height, width, 3), its stamp is not a ROS time, or the format
            is not legal.
    """
    image = _checked_image(camera, frame)
    if image_format not in _ENCODINGS:
        raise EpisodeError(f"images are not compressed as {image_format!r}; legal: {', '.join(_ENCODINGS)}")
    suffix, options = _ENCODINGS[image_format]
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise EpisodeError(f"camera '{camera}': an image of {image.shape} cannot be made a {image_format}")
    return encode(
        _message(
            COMPRESSED_IMAGE,
            header=_header(frame.stamp_ns, camera),
            # as image_transport writes it: the pixels were RGB, a decoder that knows only the format gives BGR
            format=f"rgb8; {image_format} compressed bgr8",
            data=np.asarray(data).reshape(-1),
        ),
        COMPRESSED_IMAGE,
    )


def to_image(message: Any) -> ImageArray:
    """Return the RGB pixels of a decoded `Image` or `CompressedImage` message, shape (height, width, 3), uint8.

    Raises:
        EpisodeError: the encoding is not dense rgb8, JPEG or PNG, or the bytes do not fit it.
    """
    data = np.frombuffer(message.data, dtype=np.uint8)
    if not hasattr(message, "encoding"):
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if _is_reasonable(data) else None
        if pixels is None:
            raise EpisodeError(
                f"a compressed image of format {message.format!r} and {data.size} bytes is not readable, or has more "
                f"than {MAX_PIXELS} pixels"
            )
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    height, width = message.height, message.width
    if message.encoding != "rgb8" or message.step != 3 * width or data.size != 3 * height * width or not data.size:
        raise EpisodeError(
            f"encoding {message.encoding}, {data.size} bytes in rows of {message.step} for {width}x{height} px; only "
            "dense rgb8 is read"
        )
    return data.reshape(height, width, 3)


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
        _message(
            ARM_STATE,
            header=_header(state.stamp_ns, BASE_FRAME),
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
        _message(
            EXECUTED,
            header=_header(step.stamp_ns, BASE_FRAME),
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
        _message(
            STATUS,
            header=_header(stamp_ns, ""),
            success=bool(status.success),
            progress=float(status.progress),
            failure=status.failure,
        ),
        STATUS,
    )


def encode_command(command: StepCommand) -> bytes:
    """Return a step on its way as `ArmCommand`."""
    return encode(
        _message(
            COMMAND,
            header=_header(command.stamp_ns, BASE_FRAME),
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
    period = _message("builtin_interfaces/msg/Duration", sec=seconds, nanosec=nanoseconds)
    return encode(
        _message(
            CHUNK,
            header=_header(chunk.stamp_ns, BASE_FRAME),
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


def _is_reasonable(data: ImageArray) -> bool:
    """Return whether the size that a compressed image tells is one that a camera has; nothing is decoded."""
    try:
        with PilImage.open(io.BytesIO(data.tobytes())) as image:
            return image.width * image.height <= MAX_PIXELS
    except (OSError, ValueError, SyntaxError, PilImage.DecompressionBombError):
        return False


def _checked_image(camera: str, frame: Frame) -> ImageArray:
    image = frame.image
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise EpisodeError(
            f"camera '{camera}': image must be uint8 of shape (height, width, 3), got {image.dtype} {image.shape}"
        )
    return image


def _message(name: str, **fields: Any) -> object:
    kind: Any = typestore().types[name]
    return kind(**fields)


def _time(stamp_ns: int) -> object:
    if not 0 <= stamp_ns <= MAX_STAMP_NS:
        raise EpisodeError(f"stamp must be in [0, {MAX_STAMP_NS}] ns to fit a ROS time, got {stamp_ns}")
    seconds, nanoseconds = divmod(int(stamp_ns), NS_PER_S)
    return _message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)


def _header(stamp_ns: int, frame_id: str) -> object:
    return _message("std_msgs/msg/Header", stamp=_time(stamp_ns), frame_id=frame_id)


def _pose(pose: Pose) -> object:
    x, y, z = (float(v) for v in _vector("position", pose.position, 3))
    qx, qy, qz, qw = (float(v) for v in _vector("quaternion_xyzw", pose.quaternion_xyzw, 4))
    return _message(
        "geometry_msgs/msg/Pose",
        position=_message("geometry_msgs/msg/Point", x=x, y=y, z=z),
        orientation=_message("geometry_msgs/msg/Quaternion", x=qx, y=qy, z=qz, w=qw),
    )


def _vector(name: str, values: FloatArray, size: int) -> FloatArray:
    vector = np.ascontiguousarray(values, dtype=np.float64)
    if vector.shape != (size,):
        raise EpisodeError(f"{name} must have shape ({size},), got {vector.shape}")
    return vector
