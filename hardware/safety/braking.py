"""Where an arm that shall hold comes to rest."""

from __future__ import annotations

import math

import numpy as np

from hardware.safety.motion import norm
from tutelage_core.limits import SafetyLimits
from tutelage_core.rotations import normalize_xyzw
from tutelage_core.types import ArmState, Pose


class Braking:
    """Looks ahead along the measured velocity: an arm that is pulled back to where it was would swing."""

    def __init__(self, limits: SafetyLimits) -> None:
        """Hold the bounds of `limits`."""
        self._limits = limits
        self._low, self._high = np.array(limits.workspace_min_m), np.array(limits.workspace_max_m)

    def rest(self, state: ArmState) -> Pose:
        """Return where a plausibly measured arm comes to rest: at most one step ahead, never further out of the box."""
        position = state.T_base_tcp.position
        ahead = state.tcp_velocity[:3] * self._limits.braking_s
        length = norm(ahead)
        if not length <= self._limits.max_step_m:  # so written that NaN fails
            ahead = ahead * (self._limits.max_step_m / length) if math.isfinite(length) else np.zeros(3)
        place = np.clip(position + ahead, np.minimum(self._low, position), np.maximum(self._high, position))
        return Pose(place, normalize_xyzw(state.T_base_tcp.quaternion_xyzw))
