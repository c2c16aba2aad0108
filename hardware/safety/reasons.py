"""Why the SafetyGate changed or refused a command. The names go into every recorded step."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reason codes, in the order in which the gate checks."""

    LATCHED = "LATCHED"  # a stop or fault is latched: reset it first
    WRONG_SHAPE = "WRONG_SHAPE"  # not a vector of 7 numbers
    NOT_FINITE = "NOT_FINITE"  # NaN or infinity in the step
    STATE_NOT_FINITE = "STATE_NOT_FINITE"  # the arm measures nonsense (no number, no rotation, out of any reach)
    STALE_STATE = "STALE_STATE"  # the arm's state is too old
    FUTURE_STATE = "FUTURE_STATE"  # its stamp lies in the future: clocks disagree, its age is unknown
    STALE_COMMAND = "STALE_COMMAND"  # the command is too old
    FUTURE_COMMAND = "FUTURE_COMMAND"  # its stamp lies in the future: clocks disagree
    NOT_ARMED = "NOT_ARMED"  # nobody has armed the arm since it started or stopped
    OTHER_SENDER = "OTHER_SENDER"  # it comes from another sender than the one in charge
    OUT_OF_ORDER = "OUT_OF_ORDER"  # stamp or sequence not newer than the last one
    TOO_SOON = "TOO_SOON"  # less than min_command_interval_s after the last command
    DEADMAN_RELEASED = "DEADMAN_RELEASED"  # this source may only move while somebody holds the enabling key
    STEP_TOO_LARGE = "STEP_TOO_LARGE"  # beyond refuse_ratio times a limit
    COMMAND_TIMEOUT = "COMMAND_TIMEOUT"  # no command came in time: the arm holds
    TRANSLATION_CLAMPED = "TRANSLATION_CLAMPED"
    ROTATION_CLAMPED = "ROTATION_CLAMPED"
    SPEED_CLAMPED = "SPEED_CLAMPED"  # faster than the speed profile allows
    ACCELERATION_CLAMPED = "ACCELERATION_CLAMPED"  # speed would rise faster than the profile allows
    FIRST_MOTION_SLOWED = "FIRST_MOTION_SLOWED"  # the first motion after arming is slow
    GRIPPER_CLAMPED = "GRIPPER_CLAMPED"
    LEAD_CLAMPED = "LEAD_CLAMPED"  # the target may not run so far ahead of the arm
    WORKSPACE_CLAMPED = "WORKSPACE_CLAMPED"
    JOINT_LIMIT = "JOINT_LIMIT"  # a joint would come too near to its limit: the target stays
    COLLISION_NEAR = "COLLISION_NEAR"  # arm, hand or cell would come too near to each other: the target stays


REFUSALS = frozenset(
    {
        Reason.LATCHED,
        Reason.NOT_ARMED,
        Reason.WRONG_SHAPE,
        Reason.NOT_FINITE,
        Reason.STATE_NOT_FINITE,
        Reason.STALE_STATE,
        Reason.FUTURE_STATE,
        Reason.STALE_COMMAND,
        Reason.FUTURE_COMMAND,
        Reason.OUT_OF_ORDER,
        Reason.TOO_SOON,
        Reason.OTHER_SENDER,
        Reason.DEADMAN_RELEASED,
        Reason.STEP_TOO_LARGE,
        Reason.COMMAND_TIMEOUT,
    }
)
"""Reasons for which the command is refused and the arm holds; the others cut what was asked."""

NOT_FAULTS = frozenset({Reason.LATCHED, Reason.NOT_ARMED, Reason.DEADMAN_RELEASED, Reason.COMMAND_TIMEOUT})
"""Refusals that say nothing bad about the sender: they do not add up to a latched fault."""
