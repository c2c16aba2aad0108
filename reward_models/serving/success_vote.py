"""Success that is said only when it lasts and the robot's own state allows it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from reward_models.reward_model import Score
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ArmState


@dataclass(frozen=True)
class VoteSettings:
    """When several moments are a success.

    Attributes:
        votes: so many of the last `of` moments must look like success.
        of: how many moments are counted.
        threshold: a reward of at least this looks like success; None leaves it to the model's own threshold, or to its
            probability of success, of which one half is enough.
        fastest_m_s: while the TCP moves faster nothing counts as success [m/s]; 0 does not look at it.
        largest_force_n: nor while the arm feels a larger force [N]; 0 does not look at it.
        gripper_low, gripper_high: nor while the gripper is open less or wider (0..1).
    """

    votes: int = 3
    of: int = 5
    threshold: float | None = None
    fastest_m_s: float = 0.0
    largest_force_n: float = 0.0
    gripper_low: float = 0.0
    gripper_high: float = 1.0

    def __post_init__(self) -> None:
        """Refuse votes that never or always succeed."""
        if not 1 <= self.votes <= self.of:
            raise ConfigurationError(f"success vote: needs 1 <= votes <= of, got {self.votes} of {self.of}")
        if min(self.fastest_m_s, self.largest_force_n) < 0.0 or not 0.0 <= self.gripper_low <= self.gripper_high <= 1.0:
            raise ConfigurationError(f"success vote: limits must not be negative and the gripper in 0..1, got {self}")

    @property
    def looks_at_arm(self) -> bool:
        """Whether the arm's state has a say."""
        return max(self.fastest_m_s, self.largest_force_n) > 0.0 or (self.gripper_low, self.gripper_high) != (0.0, 1.0)


class SuccessVote:
    """Counts the moments of an episode. One that was not scored is none that looks like success."""

    def __init__(self, settings: VoteSettings, threshold: float | None) -> None:
        """Judge by `settings`; `threshold` is the model's own."""
        self._settings = settings
        self._threshold = threshold if settings.threshold is None else settings.threshold
        self._seen: deque[bool] = deque(maxlen=settings.of)

    def restart(self) -> None:
        """Begin an episode: nothing before counts."""
        self._seen.clear()

    def see(self, score: Score, state: ArmState | None) -> bool:
        """Return whether the task is done, after the next moment with what the arm measured then."""
        self._seen.append(self.looks_done(score) and not self.objection(state))
        return sum(self._seen) >= self._settings.votes

    def looks_done(self, score: Score) -> bool:
        """Tell whether one score alone looks like success."""
        if not score.valid:
            return False
        if self._threshold is not None:
            return score.value >= self._threshold
        return score.success is not None and score.success >= 0.5

    def objection(self, state: ArmState | None) -> str:
        """Return what in the arm's state speaks against success, empty if nothing does."""
        limits = self._settings
        if not limits.looks_at_arm:
            return ""
        if state is None:
            return "nothing is known of the arm"
        # so written that what is not finite is an objection
        speed, force = (float(np.linalg.norm(v[:3])) for v in (state.tcp_velocity, state.wrench))
        if limits.fastest_m_s > 0.0 and not speed <= limits.fastest_m_s:
            return f"the TCP moves at {speed:.3f} m/s"
        if limits.largest_force_n > 0.0 and not force <= limits.largest_force_n:
            return f"the arm feels {force:.1f} N"
        if not limits.gripper_low <= state.gripper_opening <= limits.gripper_high:
            return f"the gripper is open to {state.gripper_opening:.2f}"
        return ""
