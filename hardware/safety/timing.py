"""Whether a command comes at its time: neither old nor of the future, in order, not too soon after the last one."""

from __future__ import annotations

from hardware.safety.motion import EXACT
from hardware.safety.reasons import Reason
from tutelage_core.contract import NS_PER_S
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import StepCommand

FUTURE_TOLERANCE_S = 0.05
"""A command or state may be stamped this far ahead of the gate's clock [s]; more means that clocks disagree."""


class CommandTiming:
    """Judges ages, and remembers stamp and sequence of the last command that passed."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Hold the bounds of `limits`."""
        self._limits = limits
        self._soonest_ns = limits.min_command_interval_s * (1.0 - EXACT) * NS_PER_S
        self.last_stamp_ns: int | None = None
        """Stamp of the last command that passed [ns]; None before the first one."""
        self.last_sequence = 0
        """Its sequence; 0 before the first one."""

    def restart(self) -> None:
        """Forget the last command."""
        self.last_stamp_ns, self.last_sequence = None, 0

    def bar(self, stamp_ns: int) -> None:
        """Let no command pass that is stamped up to `stamp_ns` [ns]."""
        self.last_stamp_ns = max(stamp_ns, self.last_stamp_ns or stamp_ns)

    def passed(self, command: StepCommand) -> None:
        """Note that a command was not refused."""
        self.last_stamp_ns, self.last_sequence = command.stamp_ns, command.sequence

    def object_to_age(self, command: StepCommand, state_ns: int, now_ns: int) -> Reason | None:
        """Return what is wrong with the ages of a command and of the arm's state, stamped `state_ns`, at `now_ns`."""
        state_age_s = (now_ns - state_ns) / NS_PER_S
        if state_age_s > self._limits.max_state_age_s:
            return Reason.STALE_STATE
        if state_age_s < -FUTURE_TOLERANCE_S:
            return Reason.FUTURE_STATE
        age_s = (now_ns - command.stamp_ns) / NS_PER_S
        if age_s > self._limits.max_command_age_s:
            return Reason.STALE_COMMAND
        if age_s < -FUTURE_TOLERANCE_S:
            return Reason.FUTURE_COMMAND
        return None

    def object_to_order(self, command: StepCommand) -> Reason | None:
        """Return what is wrong with a command beside the last one."""
        last_ns = self.last_stamp_ns
        newer_stamp = last_ns is None or command.stamp_ns > last_ns
        # a restarted sender counts from 1 again; its newer stamp shows that this is no replay
        newer_sequence = command.sequence > self.last_sequence or command.sequence == 1
        if not (newer_stamp and newer_sequence):
            return Reason.OUT_OF_ORDER
        if last_ns is not None and command.stamp_ns - last_ns < self._soonest_ns:
            return Reason.TOO_SOON
        return None
