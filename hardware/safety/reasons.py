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
    OUT_OF_ORDER = "OUT_OF_ORDER"  # stamp or sequence not newer than the last one
    TOO_SOON = "TOO_SOON"  # less than min_command_interval_s after the last command
    STEP_TOO_LARGE = "STEP_TOO_LARGE"  # beyond refuse_ratio times a limit
    COMMAND_TIMEOUT = "COMMAND_TIMEOUT"  # no command came in time: the arm holds
    TRANSLATION_CLAMPED = "TRANSLATION_CLAMPED"
    ROTATION_CLAMPED = "ROTATION_CLAMPED"
    GRIPPER_CLAMPED = "GRIPPER_CLAMPED"
    LEAD_CLAMPED = "LEAD_CLAMPED"  # the target may not run so far ahead of the arm
    WORKSPACE_CLAMPED = "WORKSPACE_CLAMPED"


REFUSALS = frozenset(
    {
        Reason.LATCHED,
        Reason.WRONG_SHAPE,
        Reason.NOT_FINITE,
        Reason.STATE_NOT_FINITE,
        Reason.STALE_STATE,
        Reason.FUTURE_STATE,
        Reason.STALE_COMMAND,
        Reason.FUTURE_COMMAND,
        Reason.OUT_OF_ORDER,
        Reason.TOO_SOON,
        Reason.STEP_TOO_LARGE,
        Reason.COMMAND_TIMEOUT,
    }
)
"""Reasons for which the command is refused and the arm holds; the others clamp a small excess."""
