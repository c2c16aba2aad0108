"""ROS messages to core types and back. Poses are xyzw on both sides; stamps are integer nanoseconds in the core."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Pose as PoseMsg
from sensor_msgs.msg import CameraInfo, Image
from tutelage_interfaces import msg as ti

from hardware.camera import Intrinsics
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import (
    STEP_SIZE,
    ActionChunk,
    ArmCommand,
    ArmState,
    DepthArray,
    ExecutedStep,
    Frame,
    ImageArray,
    ObservationInputs,
    Pose,
    Source,
    StepCommand,
    TaskStatus,
)

BASE_FRAME = "base"


def to_ns(stamp: Time) -> int:
    """Return a ROS time as nanoseconds."""
    return stamp.sec * NS_PER_S + stamp.nanosec


def to_time(stamp_ns: int) -> Time:
    """Return nanoseconds as a ROS time."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    return Time(sec=sec, nanosec=nanosec)


def to_pose_msg(pose: Pose) -> PoseMsg:
    """Return a pose message of `pose`."""
    message = PoseMsg()
    p, q = message.position, message.orientation
    p.x, p.y, p.z = (float(v) for v in pose.position)
    q.x, q.y, q.z, q.w = (float(v) for v in pose.quaternion_xyzw)
    return message


def from_pose_msg(message: PoseMsg) -> Pose:
    """Return the pose of a message."""
    p, q = message.position, message.orientation
    return Pose(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w]))


def to_arm_state_msg(state: ArmState) -> ti.ArmState:
    """Return the message of a measured state."""
    message = ti.ArmState()
    message.header.stamp = to_time(state.stamp_ns)
    message.header.frame_id = BASE_FRAME
    message.joint_positions = state.joint_positions.tolist()
    message.joint_velocities = state.joint_velocities.tolist()
    message.pose = to_pose_msg(state.T_base_tcp)
    message.tcp_velocity = state.tcp_velocity
    message.wrench = state.wrench
    message.gripper_opening = float(state.gripper_opening)
    return message


def from_arm_state_msg(message: ti.ArmState) -> ArmState:
    """Return the measured state of a message."""
    return ArmState(
        to_ns(message.header.stamp),
        np.array(message.joint_positions),
        np.array(message.joint_velocities),
        from_pose_msg(message.pose),
        np.array(message.tcp_velocity),
        np.array(message.wrench),
        message.gripper_opening,
    )


def to_arm_command_msg(command: StepCommand) -> ti.ArmCommand:
    """Return the message of a step command."""
    message = ti.ArmCommand()
    message.header.stamp = to_time(command.stamp_ns)
    message.header.frame_id = BASE_FRAME
    message.sequence = command.sequence
    message.source = int(command.source)
    message.step = command.step
    message.sender = command.sender
    return message


def from_arm_command_msg(message: ti.ArmCommand) -> StepCommand:
    """Return the step command of a message; an unknown source counts as HOLD."""
    source = Source(message.source) if message.source in Source.__members__.values() else Source.HOLD
    return StepCommand(to_ns(message.header.stamp), message.sequence, source, np.array(message.step), message.sender)


def to_arm_target_msg(command: ArmCommand) -> ti.ArmTarget:
    """Return the message of an absolute target."""
    message = ti.ArmTarget()
    message.header.stamp = to_time(command.stamp_ns)
    message.header.frame_id = BASE_FRAME
    message.pose = to_pose_msg(command.T_base_tcp_target)
    message.gripper_opening = float(command.gripper_opening)
    message.hold = command.hold
    return message


def from_arm_target_msg(message: ti.ArmTarget) -> ArmCommand:
    """Return the absolute target of a message."""
    return ArmCommand(to_ns(message.header.stamp), from_pose_msg(message.pose), message.gripper_opening, message.hold)


def to_executed_msg(step: ExecutedStep, executed_at_ns: int) -> ti.ExecutedAction:
    """Return the message of an executed step; `executed_at_ns` is the node's clock when the target left [ns]."""
    message = ti.ExecutedAction()
    message.header.stamp = to_time(step.stamp_ns)
    message.header.frame_id = BASE_FRAME
    message.sequence = step.sequence
    message.source = int(step.source)
    message.requested = step.requested if step.requested.shape == (STEP_SIZE,) else np.full(STEP_SIZE, np.nan)
    message.executed = step.executed
    message.reasons = list(step.reasons)
    message.executed_at = to_time(executed_at_ns)
    return message


def from_executed_msg(message: ti.ExecutedAction) -> ExecutedStep:
    """Return the executed step of a message."""
    return ExecutedStep(
        to_ns(message.header.stamp),
        message.sequence,
        Source(message.source),
        np.array(message.requested),
        np.array(message.executed),
        tuple(message.reasons),
    )


def to_chunk_msg(
    chunk: ActionChunk, policy: str, inference_s: float, inputs: ObservationInputs | None = None
) -> ti.ActionChunk:
    """Return the message of a chunk that was thought in `inference_s` [s] from `inputs`."""
    message = ti.ActionChunk()
    if inputs is not None:
        message.cameras = list(inputs.frame_stamps_ns)
        message.frame_stamps = [to_time(stamp_ns) for stamp_ns in inputs.frame_stamps_ns.values()]
        message.state_stamp = to_time(inputs.state_stamp_ns)
        message.state_keys = list(inputs.state_keys)
        message.images_crc, message.state_crc = inputs.images_crc32, inputs.state_crc32
    message.header.stamp = to_time(chunk.stamp_ns)
    message.header.frame_id = BASE_FRAME
    sec, nanosec = divmod(chunk.period_ns, NS_PER_S)
    message.period = Duration(sec=sec, nanosec=nanosec)
    message.length = len(chunk.steps)
    message.steps = chunk.steps.reshape(-1).tolist()
    message.phrase = chunk.phrase
    message.policy = policy
    message.inference_s = inference_s
    return message


def from_chunk_msg(message: ti.ActionChunk) -> ActionChunk:
    """Return the chunk of a message.

    Raises:
        ValueError: the steps do not make length x 7 numbers, or the period is not positive.
    """
    steps = np.array(message.steps)
    if steps.size != message.length * STEP_SIZE:
        raise ValueError(
            f"chunk of {message.length} steps holds {steps.size} numbers, not {message.length} x {STEP_SIZE}"
        )
    period_ns = message.period.sec * NS_PER_S + message.period.nanosec
    if period_ns <= 0:
        raise ValueError(f"chunk period must be positive, got {period_ns} ns")
    return ActionChunk(to_ns(message.header.stamp), period_ns, steps.reshape(-1, STEP_SIZE), message.phrase)


def from_task_status_msg(message: ti.TaskStatus) -> TaskStatus:
    """Return the ground truth of a message."""
    return TaskStatus(message.success, message.progress, message.failure)


def to_task_status_msg(stamp_ns: int, status: TaskStatus) -> ti.TaskStatus:
    """Return the message of a task's ground truth."""
    message = ti.TaskStatus()
    message.header.stamp = to_time(stamp_ns)
    message.success, message.progress, message.failure = bool(status.success), float(status.progress), status.failure
    return message


class ImageMessage:
    """A kept `sensor_msgs/Image` of one size that images are copied into.

    Assigning an ndarray to `Image.data` costs 82 ms at 640x480; writing into a kept array('B') costs 0.02 ms.
    """

    def __init__(self, camera: str, width: int, height: int, encoding: str = "rgb8") -> None:
        """Prepare a message for `camera`, width x height [px]; rgb8 for colour, 32FC1 for depth [m]."""
        kind, shape = {"rgb8": (np.uint8, (height, width, 3)), "32FC1": (np.float32, (height, width))}[encoding]
        size = int(np.dtype(kind).itemsize * np.prod(shape))
        self.message = Image()
        self.message.header.frame_id = optical_frame(camera)
        self.message.width, self.message.height = width, height
        self.message.encoding, self.message.step = encoding, size // height
        self.message.data = array("B", bytes(size))
        # the setter may copy: write into the array that the message really holds
        self._pixels = np.frombuffer(self.message.data, dtype=kind).reshape(shape)

    def fill(self, image: ImageArray | DepthArray, stamp_ns: int) -> Image:
        """Copy `image` into the message and stamp it; the message is good until the next call.

        Raises:
            ValueError: the image has another size.
        """
        if image.shape != self._pixels.shape:
            raise ValueError(f"image of shape {image.shape} does not fit a message of shape {self._pixels.shape}")
        self._pixels[...] = image
        self.message.header.stamp = to_time(stamp_ns)
        return self.message


def optical_frame(camera: str) -> str:
    """Return the name of the frame that a camera's images are in: z along the optical axis, x right, y down."""
    return f"{camera}_optical"


def to_camera_info_msg(camera: str, width: int, height: int, intrinsics: Intrinsics | None) -> CameraInfo:
    """Return the description of images of width x height [px]; without intrinsics K is zero, as ROS marks that."""
    info = CameraInfo(width=width, height=height)
    info.header.frame_id = optical_frame(camera)
    if intrinsics is not None:
        fx, fy, cx, cy = intrinsics.fx_px, intrinsics.fy_px, intrinsics.cx_px, intrinsics.cy_px
        info.distortion_model, info.d = intrinsics.distortion_model, list(intrinsics.distortion)
        info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def from_image_msg(message: Image, sequence: int = 0) -> Frame:
    """Return the frame of an image message; its pixels are a view, not a copy.

    Raises:
        ValueError: the encoding is not rgb8, or the data do not fill height x width x 3.
    """
    if message.encoding != "rgb8":
        raise ValueError(f"image encoding must be rgb8, got '{message.encoding}'")
    pixels = np.frombuffer(message.data, dtype=np.uint8)
    if pixels.size != message.height * message.width * 3 or pixels.size == 0:
        raise ValueError(f"image of {message.width}x{message.height} px holds {pixels.size} bytes")
    return Frame(pixels.reshape(message.height, message.width, 3), to_ns(message.header.stamp), sequence)
