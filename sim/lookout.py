"""What somebody who watches a policy takes over for: an error, a stall, a wrong move near a thing or the border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.attention import periods
from sim.bounds import check_bounds
from sim.twin import Twin
from tutelage_core.types import FloatArray

MOVED_M = 0.01
"""A thing that moved by this much since the episode began can be pushed off the table [m]."""

OUTWARD_M = 0.003
"""A step goes outward when it leads this much further out than the expert's [m]."""


@dataclass(frozen=True)
class LookoutSettings:
    """When something is wrong.

    Attributes:
        stall_s: for how long progress may fail to rise [s].
        stall_progress: the rise that counts, of 0..1.
        near_m: a hand this near to a thing is about to touch it [m].
        disagreement_m: a step is wrong when it ends this far from where the expert's ends [m].
        disagreement_opening: likewise for the gripper, of 0..1.
        disagreement_s: for how long steps near a thing may be wrong [s].
        border_m: a thing this near to the edge of the workspace must not be pushed further out [m].
    """

    stall_s: float = 1.5
    stall_progress: float = 0.02
    near_m: float = 0.07
    disagreement_m: float = 0.012
    disagreement_opening: float = 0.5
    disagreement_s: float = 0.4
    border_m: float = 0.08

    def __post_init__(self) -> None:
        """Refuse numbers that no watch can be kept with.

        Raises:
            ConfigurationError: a number is out of bounds.
        """
        check_bounds(self, 1e-3, 3600.0, "stall_s", "disagreement_s")
        check_bounds(self, 0.0, 1.0, "stall_progress", "disagreement_opening")
        check_bounds(self, 0.0, 1.0, "near_m", "disagreement_m", "border_m")


class Lookout:
    """Sees, from the true state and what the policy proposes, whether there is a reason to take over."""

    def __init__(self, twin: Twin, settings: LookoutSettings) -> None:
        """Watch `twin`."""
        self._twin, self._settings = twin, settings
        period_s = twin.contract.period_ns / 1e9
        self._stall = periods(settings.stall_s, period_s)
        self._patience = periods(settings.disagreement_s, period_s)
        safety = twin.contract.safety
        self._low, self._high = np.array(safety.workspace_min_m[:2]), np.array(safety.workspace_max_m[:2])
        self.restart()

    def restart(self) -> None:
        """Begin an episode: remember where things lie."""
        self._laid = self._twin.points()
        self.rest()

    def rest(self) -> None:
        """Give the policy a new chance: what was counted against it is forgotten."""
        self._best = self._twin.task_status().progress
        self._since_best = self._wrong = 0

    def reason(self, proposed: FloatArray) -> str:
        """Return why to take over, empty if nothing is wrong; call it once a control period while the policy drives.

        Args:
            proposed: the policy's TCP step, shape (7,) [m, rad, 0..1]; may hold NaN, which is wrong at once.

        Returns:
            The task's failure kind, `border`, `disagreement` or `stall`.
        """
        status = self._twin.task_status()
        if status.success:
            return ""
        self._since_best += 1
        if status.progress >= self._best + self._settings.stall_progress:
            self._best, self._since_best = status.progress, 0
        self._wrong = self._wrong + 1 if self.disagrees(proposed) else 0
        if status.failure and status.failure != "timeout":
            return status.failure
        if self._pushes_out(proposed):
            return "border"
        if self._wrong >= self._patience:
            return "disagreement"
        return "stall" if self._since_best >= self._stall else ""

    def disagrees(self, proposed: FloatArray) -> bool:
        """Tell whether the hand is near a thing and `proposed` is not what the expert would do."""
        if not np.isfinite(proposed).all():
            return True
        if not self._near():
            return False
        difference = proposed - self._twin.expert_step()
        return bool(
            np.linalg.norm(difference[:3]) >= self._settings.disagreement_m
            or abs(difference[6]) >= self._settings.disagreement_opening
        )

    def _near(self) -> bool:
        points = self._twin.points()
        tcp = points.pop("tcp")
        return any(np.linalg.norm(tcp - point) <= self._settings.near_m for point in points.values())

    def _pushes_out(self, proposed: FloatArray) -> bool:
        points = self._twin.points()
        tcp = points.pop("tcp")
        for name, point in points.items():
            moved = name in self._laid and np.linalg.norm(point - self._laid[name]) >= MOVED_M
            if not moved or np.linalg.norm(tcp - point) > self._settings.near_m:
                continue
            outward = (proposed - self._twin.expert_step())[:2]
            below = (point[:2] <= self._low + self._settings.border_m) & (outward <= -OUTWARD_M)
            above = (point[:2] >= self._high - self._settings.border_m) & (outward >= OUTWARD_M)
            if bool(below.any() or above.any()):
                return True
        return False
