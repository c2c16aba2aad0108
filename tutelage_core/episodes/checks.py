"""Whether a decoded message can stand in a recording: what is refused here would make the whole episode unreadable."""

from __future__ import annotations

from typing import Any

import numpy as np

from tutelage_core.contract import RobotContract
from tutelage_core.episodes import messages
from tutelage_core.errors import EpisodeError
from tutelage_core.types import Source


def check_message(kind: str, message: Any, contract: RobotContract) -> None:
    """Refuse a message that no reader could use.

    Args:
        kind: its type, such as `tutelage_interfaces/msg/ArmState`.
        message: decoded.
        contract: of the robot that is recorded.

    Raises:
        EpisodeError: what is wrong with it, with the value seen.
    """
    if not 0 <= messages.stamp_of(message) <= messages.MAX_STAMP_NS:
        raise EpisodeError(f"stamp {messages.stamp_of(message)} ns is no ROS time")
    if kind == messages.ARM_STATE:
        _check_state(message, len(contract.arm.joints))
    elif kind == messages.EXECUTED:
        _check_executed(message)
    elif kind == messages.CHUNK:
        _check_chunk(message)


def _check_state(message: Any, joints: int) -> None:
    found = (len(message.joint_positions), len(message.joint_velocities))
    if found != (joints, joints):
        raise EpisodeError(
            f"an arm state has {found[0]} positions and {found[1]} velocities, the robot {joints} joints"
        )


def _check_executed(message: Any) -> None:
    if not np.isfinite(message.executed).all():
        raise EpisodeError(f"executed step must be finite, got {np.asarray(message.executed).tolist()}")
    if message.source not in Source.__members__.values():
        raise EpisodeError(f"source {message.source} is nobody's; legal: {', '.join(f'{s} {s.name}' for s in Source)}")


def _check_chunk(message: Any) -> None:
    if not len(messages.to_chunk(message).steps):
        raise EpisodeError("a chunk has no steps")
    messages.to_inputs(message)
