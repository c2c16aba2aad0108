"""One correction by hand: the expert's steps as a person would carry them out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim.attention import periods
from sim.bounds import check_bounds
from sim.twin import Twin
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import STEP_SIZE, FloatArray


@dataclass(frozen=True)
class CorrectionSettings:
    """How well, how long and how straight somebody corrects. The defaults are a sure hand.

    Attributes:
        shortest_s: the hand stays for so long at least [s].
        longest_s: and for so long at most; each correction draws its own limit between the two [s].
        regained: rise of progress, of 0..1, after which the hand lets go before its limit.
        gain: factor on every step; below 1 the hand is slow and hesitant.
        noise_m: standard deviation of a step's translation, each axis [m].
        noise_rad: the same for its rotation [rad].
        bias_m: how far each step is off to one side, which a correction draws [m].
        detours: share of corrections that begin in a wrong direction.
        detour_s: for how long [s].
        gripper_mistakes: share of corrections in which the gripper is once told the opposite.
        gripper_mistake_s: for how long [s].
    """

    shortest_s: float = 0.5
    longest_s: float = 4.0
    regained: float = 0.25
    gain: float = 1.0
    noise_m: float = 0.0
    noise_rad: float = 0.0
    bias_m: float = 0.0
    detours: float = 0.0
    detour_s: float = 0.6
    gripper_mistakes: float = 0.0
    gripper_mistake_s: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what is no correction.

        Raises:
            ConfigurationError: a number is out of bounds, or the longest correction is shorter than the shortest.
        """
        check_bounds(self, 1e-3, 3600.0, "shortest_s", "longest_s")
        check_bounds(self, 0.0, 60.0, "detour_s", "gripper_mistake_s")
        check_bounds(self, 0.0, 1.0, "regained", "detours", "gripper_mistakes", "noise_m", "noise_rad", "bias_m")
        check_bounds(self, 0.0, 2.0, "gain")
        if self.longest_s < self.shortest_s:
            raise ConfigurationError(
                f"longest_s must be at least shortest_s = {self.shortest_s} s, got {self.longest_s} s"
            )


class Correction:
    """Gives the hand's steps from when it takes over to when it lets go."""

    def __init__(self, twin: Twin, settings: CorrectionSettings, delay_periods: int, rng: np.random.Generator) -> None:
        """Take over now.

        Args:
            twin: the world that is corrected.
            settings: how.
            delay_periods: control periods between progress being regained and the hand letting go.
            rng: draws all that is random in this correction.
        """
        self._twin, self._settings, self._delay = twin, settings, delay_periods
        period_s = twin.contract.period_ns / 1e9
        self._shortest = periods(settings.shortest_s, period_s)
        self._left = periods(float(rng.uniform(settings.shortest_s, settings.longest_s)), period_s)
        self._aim = twin.task_status().progress + settings.regained
        self._given = 0
        self._bias = settings.bias_m * _direction(rng, 2)
        detours, mistakes = rng.random(2)
        self._detour = periods(settings.detour_s, period_s) if detours < settings.detours else 0
        self._wrong_way = _direction(rng, 3) * [1.0, 1.0, 0.0] + [0.0, 0.0, 0.3]
        first = int(rng.integers(max(self._left, 1)))
        length = periods(settings.gripper_mistake_s, period_s) if mistakes < settings.gripper_mistakes else 0
        self._slip = range(first, first + length)
        self._noise = rng

    def step(self, policy_agrees: bool) -> FloatArray | None:
        """Return the hand's TCP step for this period, shape (7,) [m, rad, 0..1]; None when it has let go.

        Args:
            policy_agrees: whether the policy would go on rightly; while not, regained progress is no reason to let go.
        """
        regained = self._given >= self._shortest and self._twin.task_status().progress >= self._aim
        if regained and policy_agrees:
            self._left = min(self._left, self._delay)
        if self._left <= 0:
            return None
        self._left -= 1
        step = self._carried_out(self._twin.expert_step())
        self._given += 1
        return step

    def _carried_out(self, expert: FloatArray) -> FloatArray:
        settings, safety = self._settings, self._twin.contract.safety
        noise = self._noise.normal(size=6)
        step = np.empty(STEP_SIZE)
        step[:3] = settings.gain * expert[:3] + settings.noise_m * noise[:3]
        step[:2] += self._bias
        step[3:6] = settings.gain * expert[3:6] + settings.noise_rad * noise[3:]
        if self._given < self._detour:
            step[:3] = settings.gain * safety.max_step_m * self._wrong_way
        step[:3] *= min(1.0, safety.max_step_m / max(float(np.linalg.norm(step[:3])), 1e-9))
        step[3:6] *= min(1.0, safety.max_step_rad / max(float(np.linalg.norm(step[3:6])), 1e-9))
        opening = min(max(float(expert[6]), 0.0), 1.0)
        step[6] = 1.0 - opening if self._given in self._slip else opening
        return step


def _direction(rng: np.random.Generator, size: int) -> FloatArray:
    vector = rng.normal(size=size)
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
