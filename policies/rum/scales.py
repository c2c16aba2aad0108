"""Between SI and the numbers of a head: steps become about -1..1, the gripper with them. Stored in the checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage_core.errors import ConfigurationError
from tutelage_core.types import STEP_SIZE, FloatArray

STATE_LIMIT = 5.0
"""A state further out than so many scales is held there."""


@dataclass(frozen=True)
class RumScales:
    """What a head's numbers mean.

    Attributes:
        step_m: translation of 1 along an axis [m].
        step_rad: rotation of 1 about an axis [rad].
        state_mean, state_scale: of the state that the network is given, in its units; empty if it is given none.
    """

    step_m: float
    step_rad: float
    state_mean: tuple[float, ...] = ()
    state_scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what scales nothing."""
        for name, value in (("step_m", self.step_m), ("step_rad", self.step_rad)):
            if not 0.0 < value < math.inf:
                raise ConfigurationError(f"RumScales: {name} must be positive and finite, got {value}")
        if len(self.state_mean) != len(self.state_scale):
            raise ConfigurationError("RumScales: state_mean and state_scale differ in length")
        if not all(map(math.isfinite, self.state_mean)) or not all(0.0 < s < math.inf for s in self.state_scale):
            raise ConfigurationError("RumScales: state_mean must be finite, state_scale positive and finite")

    def to_numbers(self, steps: FloatArray) -> NDArray[np.float32]:
        """Return steps, shape (..., 7) [m, rad, 0..1], as a head's numbers."""
        return ((steps - self._middle()) / self._scale()).astype(np.float32)

    def to_steps(self, numbers: NDArray[np.floating]) -> FloatArray:
        """Return a head's numbers, shape (..., 7), as steps; beyond 1 nothing was shown, so nothing goes there."""
        return np.clip(numbers.astype(np.float64), -1.0, 1.0) * self._scale() + self._middle()

    def state(self, state: FloatArray) -> NDArray[np.float32]:
        """Return states, shape (..., size), in the network's units, held within a few scales."""
        scaled = (state - np.asarray(self.state_mean)) / np.asarray(self.state_scale)
        return np.clip(scaled, -STATE_LIMIT, STATE_LIMIT).astype(np.float32)

    def _scale(self) -> FloatArray:
        return np.array([self.step_m] * 3 + [self.step_rad] * 3 + [0.5])

    @staticmethod
    def _middle() -> FloatArray:
        middle = np.zeros(STEP_SIZE)
        middle[-1] = 0.5
        return middle
