"""Scales between SI and the network's units; stored in the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tutelage_core.errors import ConfigurationError

_STATE_LIMIT = 5.0
"""A state further out than so many scales is held there: the network never saw it, and must not be flung off."""


@dataclass(frozen=True)
class Normalisation:
    """Mean and scale of states and steps over the training frames.

    Attributes:
        state_mean, state_scale: shape (state_size,), in the state's units.
        step_mean, step_scale: of dx dy dz [m], rx ry rz [rad], shape (6,).
        step_limit: largest magnitude in the data, shape (6,) [m, rad]; predictions are clipped to it.
    """

    state_mean: tuple[float, ...]
    state_scale: tuple[float, ...]
    step_mean: tuple[float, ...]
    step_scale: tuple[float, ...]
    step_limit: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse numbers that cannot scale anything."""
        for name in ("state_mean", "state_scale", "step_mean", "step_scale", "step_limit"):
            values = np.asarray(getattr(self, name))
            if not np.all(np.isfinite(values)):
                raise ConfigurationError(f"normalisation: {name} is not finite: {getattr(self, name)}")
            if name.endswith("_scale") and np.any(values <= 0):
                raise ConfigurationError(f"normalisation: {name} must be positive: {getattr(self, name)}")
            if name.startswith("step") and values.shape != (6,):
                raise ConfigurationError(f"normalisation: {name} must hold 6 numbers, got {values.size}")
        if len(self.state_mean) != len(self.state_scale):
            raise ConfigurationError("normalisation: state_mean and state_scale differ in length")

    def state(self, state: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return states in the network's units, clipped to a few scales; shape (..., state_size)."""
        scaled = (state - np.asarray(self.state_mean)) / np.asarray(self.state_scale)
        return np.clip(scaled, -_STATE_LIMIT, _STATE_LIMIT).astype(np.float32)

    def motion(self, motion: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the first six numbers of steps in the network's units; shape (..., 6)."""
        return ((motion - np.asarray(self.step_mean)) / np.asarray(self.step_scale)).astype(np.float32)

    def motion_si(self, motion: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the network's motions in [m] and [rad], held within the range of the data; shape (..., 6)."""
        limit = np.asarray(self.step_limit)
        si = motion.astype(np.float64) * np.asarray(self.step_scale) + np.asarray(self.step_mean)
        return np.clip(si, -limit, limit)


def fit_normalisation(
    state: NDArray[np.floating],
    steps: NDArray[np.floating],
    *,
    minimum_std_m: float,
    minimum_std_rad: float,
    minimum_state_std: float,
) -> Normalisation:
    """Measure the scales over training frames.

    Args:
        state: shape (frames, state_size).
        steps: TCP steps, shape (frames, 7) [m, rad, 0..1].
        minimum_std_m: floor of the scales of translations [m].
        minimum_std_rad: floor of the scales of rotations [rad].
        minimum_state_std: floor of the state's scales.
    """
    motion = np.asarray(steps[:, :6], dtype=np.float64)
    floor = np.repeat([minimum_std_m, minimum_std_rad], 3)
    state = np.asarray(state, dtype=np.float64)
    return Normalisation(
        state_mean=tuple(state.mean(0).tolist()),
        state_scale=tuple(np.maximum(state.std(0), minimum_state_std).tolist()),
        step_mean=tuple(motion.mean(0).tolist()),
        step_scale=tuple(np.maximum(motion.std(0), floor).tolist()),
        step_limit=tuple(np.maximum(np.abs(motion).max(0), floor).tolist()),
    )
