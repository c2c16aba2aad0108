"""Contact with what no model knows: the measured force stops the arm."""

from __future__ import annotations

import math

from tutelage_core.limits import SafetyLimits
from tutelage_core.types import ArmState

STATES = 3
"""So many states in a row above the limit are a contact; one may be a spike of the estimate."""

IMPACT_RATIO = 2.0
"""A force of so many times the limit is an impact: one state is enough."""


class ContactWatch:
    """Judges the external force of each state. A force that is no number counts as not measured."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Watch for `limits.max_contact_force_n`; 0 watches for nothing."""
        self._limit_n = limits.max_contact_force_n
        self._above = 0

    def feel(self, state: ArmState) -> str:
        """Return why the arm must stop now, empty if it need not; call it once for each state."""
        force_n = self.force_n(state)
        if not self._limit_n or not force_n > self._limit_n:
            self._above = 0
            return ""
        self._above += 1
        if self._above < STATES and force_n <= IMPACT_RATIO * self._limit_n:
            return ""
        return f"the arm met something with {force_n:.0f} N, {self._limit_n:g} N are allowed: clear its way"

    def why_not_clear(self, state: ArmState) -> str:
        """Return that the arm still presses, empty if it does not."""
        force_n = self.force_n(state)
        if not self._limit_n or not force_n > self._limit_n:
            return ""
        return f"the arm still presses with {force_n:.0f} N: clear its way"

    @staticmethod
    def force_n(state: ArmState) -> float:
        """Return the length of the measured force [N]; NaN if it is not measured."""
        return math.hypot(*(float(v) for v in state.wrench[:3]))
