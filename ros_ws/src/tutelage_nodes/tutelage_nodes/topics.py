"""Names of topics and services, and how reliably they travel. One place, so that no two nodes disagree."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

CLOCK = "/clock"
JOINT_STATES = "/joint_states"
ARM_STATE = "/arm/state"
ARM_TCP_POSE = "/arm/tcp_pose"
ARM_WRENCH = "/arm/wrench"
ARM_COMMAND = "/arm/command"
ARM_EXECUTED = "/arm/executed"
ARM_EVENT = "/arm/event"
TELEOP = "/teleop/input"
POLICY_CHUNK = "/policy/chunk"
POLICY_RESET = "/policy/reset"
POLICY_CORRECT = "/policy/correct"
SESSION_STATE = "/session/state"
SESSION_EVENT = "/session/event"
SESSION_STOP = "/session/stop"
SESSION_RESET = "/session/reset"
SESSION_ARM = "/session/arm"
SESSION_TASK = "/session/task"
SESSION_CORRECT = "/session/correct"
SESSION_LABEL = "/session/label"
RUN_EPISODE = "/session/run_episode"
RUN_TASK = "/session/run_task"
VERIFY_EPISODE = "/verifier/verify"
RECORD_EPISODE = "/recorder/record_episode"
LABEL_EPISODE = "/recorder/label_episode"
TWIN_LINK_STATE = "/twin/arm_link/state"
TWIN_LINK_TARGET = "/twin/arm_link/target"
TWIN_TASK_STATUS = "/twin/task_status"
TWIN_EXPERT_STEP = "/expert/step"
TWIN_RESET_SCENE = "/twin/reset_scene"
LEARNER_STEP = "/learner/step"
LEARNER_ACK = "/learner/ack"
LEARNER_WEIGHTS = "/learner/weights"
LEARNER_STATUS = "/learner/status"
REWARD = "/reward/score"
SCORE_EPISODE = "/reward/score_episode"
DIAGNOSTICS = "/diagnostics"
STEPS = 256
"""Depth of the topic of steps: more than an actor has on its way at once."""

FAULTS = "/faults"
"""Faults of a component are injected on a topic of its own under this name, if the environment allows it."""


def heartbeat(node: str) -> str:
    """Return the topic of a node's signs of life (builtin_interfaces/Time)."""
    return f"/{node}/heartbeat"


def ready(node: str) -> str:
    """Return the service that says what a node lacks before anything may move (std_srvs/Trigger)."""
    return f"/{node}/ready"


def camera_image(camera: str) -> str:
    """Return the topic of a camera's raw images (sensor_msgs/Image, rgb8)."""
    return f"/camera/{camera}/image_raw"


def camera_compressed(camera: str) -> str:
    """Return the topic of a camera's JPEG images (sensor_msgs/CompressedImage), named as image_transport does."""
    return f"/camera/{camera}/image_raw/compressed"


def camera_depth(camera: str) -> str:
    """Return the topic of a camera's depth, laid over its image (sensor_msgs/Image, 32FC1, NaN for unknown) [m]."""
    return f"/camera/{camera}/depth"


def camera_info(camera: str) -> str:
    """Return the topic of a camera's intrinsics (sensor_msgs/CameraInfo)."""
    return f"/camera/{camera}/camera_info"


def reliable(depth: int = 10) -> QoSProfile:
    """Every message arrives as long as the reader keeps up with `depth`."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def newest(depth: int = 1) -> QoSProfile:
    """Best effort, as sensor data usually travels: a late frame is worth less than the next one."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)


def latched() -> QoSProfile:
    """A late reader gets the last message."""
    return QoSProfile(
        depth=1,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def fault(component: str) -> str:
    """Return the topic on which faults of `component` are injected."""
    return f"{FAULTS}/{component}"
