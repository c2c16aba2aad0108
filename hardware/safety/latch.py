"""The latched stop: what sets it, and when it may be cleared."""

from __future__ import annotations

from collections import deque

import numpy as np

from hardware.safety.reasons import NOT_FAULTS, Reason
from tutelage_core.contract import NS_PER_S
from tutelage_core.limits import SafetyLimits
from tutelage_core.types import ArmState, Pose

STILL_M_S = 0.02
"""TCP speed below which an arm counts as still [m/s]."""


class StopLatch:
    """Holds the cause of a stop until it is cleared; counts refusals, which add up to one."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Start without a cause."""
        self._limits = limits
        self._in_a_row = 0
        self._recent_ns: deque[int] = deque(maxlen=limits.max_refusals_in_window)
        self._asked_ns: int | None = None
        self._held: Pose | None = None
        self.cause = ""

    def stop(self, cause: str, held: Pose | None = None) -> None:
        """Latch; `held` is the pose that the arm holds from now on. The first cause stays: others follow from it."""
        self.cause = self.cause or cause or "stopped"
        self._held = held

    def forget(self) -> None:
        """Forget the cause, and what was counted."""
        self.cause, self._held, self._asked_ns = "", None, None
        self.restart()

    def restart(self) -> None:
        """Begin to count anew; a cause stays."""
        self._in_a_row = 0
        self._recent_ns.clear()

    def passed(self) -> None:
        """Note that a command was not refused."""
        self._in_a_row = 0

    def refused(self, reason: Reason, now_ns: int, held: Pose | None) -> None:
        """Note a refusal at `now_ns`; too many in a row, or within `refusal_window_s`, latch."""
        if reason in NOT_FAULTS:
            return
        self._in_a_row += 1
        self._recent_ns.append(now_ns)
        limits = self._limits
        if self._in_a_row >= limits.max_refusals_in_a_row:
            self.stop(f"{self._in_a_row} commands refused in a row, the last one for {reason}", held)
        elif (
            len(self._recent_ns) == limits.max_refusals_in_window
            and 0 <= now_ns - self._recent_ns[0] <= limits.refusal_window_s * NS_PER_S
        ):
            self.stop(
                f"{len(self._recent_ns)} commands refused within {limits.refusal_window_s:g} s, "
                f"the last one for {reason}",
                held,
            )

    def motion_asked(self, now_ns: int) -> None:
        """Note that somebody asked for motion while the stop was latched."""
        self._asked_ns = now_ns

    def why_not_clear(self, state: ArmState, now_ns: int) -> str:
        """Return why the stop may not be cleared yet, empty if it may: nothing must jump when it goes."""
        limits = self._limits
        if self._asked_ns is not None and 0 <= now_ns - self._asked_ns < limits.clear_quiet_s * NS_PER_S:
            return f"motion was asked for within the last {limits.clear_quiet_s:g} s: let go of everything first"
        speed = float(np.linalg.norm(state.tcp_velocity[:3]))
        if not speed <= STILL_M_S:  # so written that NaN fails
            return f"the arm still moves at {speed:.3f} m/s: wait until it stands"
        if self._held is not None:
            away_m = float(np.linalg.norm(state.T_base_tcp.position - self._held.position))
            if not away_m <= limits.clear_distance_m:
                return (
                    f"the arm is {away_m * 1e3:.0f} mm from where it was stopped, at most "
                    f"{limits.clear_distance_m * 1e3:.0f} mm are allowed: look why it moved, then send STOP again "
                    "to take its present place as the held one"
                )
        return ""
