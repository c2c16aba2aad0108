"""What RUM's training reads: feature maps that are computed once, and chunks as a head tells them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from policies.bc.batches import Frames
from policies.rum.model import RumNetwork
from policies.rum.policy import ROTATION
from policies.rum.relative_chunk import to_relative
from policies.rum.scales import RumScales
from policies.rum.train_config import RumConfig
from tutelage_core.contract import STATE_KEYS
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import matrix_from_6d
from tutelage_core.types import STEP_SIZE, FloatArray

ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class RumWindows:
    """All demonstrated frames.

    Attributes:
        maps: camera name to feature maps, shape (frames, channels, rows, columns), half precision.
        state: normalised state of the network, shape (frames, state_size).
        chunks: normalised chunks from each frame on, shape (frames, chunk, 7).
        history_index: frames of the window that ends in each frame, the oldest first, shape (frames, history).
    """

    maps: dict[str, Tensor]
    state: Tensor
    chunks: Tensor
    history_index: NDArray[np.integer]

    def window(self, rows: NDArray[np.integer]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return maps (n * history, ...), state (n, history, size) and chunks (n, history, chunk, 7) of frames (n,)."""
        frames = torch.from_numpy(self.history_index[rows].astype(np.int64))
        flat = frames.flatten()
        return {name: store[flat] for name, store in self.maps.items()}, self.state[frames], self.chunks[frames]


def chunks_of(frames: Frames, config: RumConfig, state_keys: tuple[str, ...]) -> FloatArray:
    """Return the steps from each frame on as the policy shall tell them, shape (frames, chunk, 7) [m, rad, 0..1].

    Past an episode's end nothing moves any more and the gripper stays.

    Args:
        frames: demonstrations.
        config: settings.
        state_keys: what `frames.state` is made of; relative steps need the TCP's rotation among it.

    Raises:
        ConfigurationError: the rotation is missing, or the data are no chunks of this configuration.
    """
    count, chunk = len(frames.state), config.model.chunk
    if frames.chunk_index.shape != (count, chunk) or frames.history_index.shape != (count, config.model.history):
        raise ConfigurationError(
            f"RUM: windows of history {frames.history_index.shape[1]} and chunk {frames.chunk_index.shape[1]}, the "
            f"configuration needs {config.model.history} and {chunk}"
        )
    if not (np.isfinite(frames.steps).all() and np.isfinite(frames.state).all()):
        raise ConfigurationError("RUM: the data hold states or steps that are not finite")
    steps = np.asarray(frames.steps, np.float64)[frames.chunk_index]
    steps[..., :6][frames.chunk_is_padding] = 0.0
    if config.model.actions == "base":
        return steps
    if ROTATION not in state_keys:
        raise ConfigurationError(f"RUM: relative steps need {ROTATION} among the windows' state, got {state_keys}")
    start = sum(STATE_KEYS[key] for key in state_keys[: state_keys.index(ROTATION)])
    columns = np.asarray(frames.state[:, start : start + 6], np.float64)
    return np.stack([to_relative(rows, matrix_from_6d(c)) for rows, c in zip(steps, columns, strict=True)])


def fit_scales(chunks: FloatArray, state: FloatArray, config: RumConfig) -> RumScales:
    """Return scales under which `quantile` of the steps' numbers lie within -1..1.

    Args:
        chunks: of the training frames, shape (frames, chunk, 7) [m, rad, 0..1].
        state: that the network is given, shape (frames, size).
        config: quantile and floors.
    """

    def bound(part: FloatArray, floor: float) -> float:
        return max(float(np.quantile(np.abs(part), config.quantile)), floor)

    state = np.asarray(state, np.float64)
    return RumScales(
        bound(chunks[..., :3], config.minimum_step_m),
        bound(chunks[..., 3:6], config.minimum_step_rad),
        tuple(state.mean(axis=0).tolist()),
        tuple(np.maximum(state.std(axis=0), config.minimum_state_std).tolist()),
    )


def make_windows(
    frames: Frames, chunks: FloatArray, state: FloatArray, network: RumNetwork, scales: RumScales
) -> RumWindows:
    """Compute what a frozen trunk sees of every frame, once.

    Args:
        frames: demonstrations.
        chunks: from `chunks_of`, shape (frames, chunk, 7).
        state: that the network is given, shape (frames, size).
        network: whose trunk looks.
        scales: of steps and state.

    Raises:
        ConfigurationError: the trunk learns, so what it sees changes.
    """
    if network.trunks_learn:
        raise ConfigurationError(
            f"RUM: the trunk '{network.config.encoder}' learns, and features are computed once: take a frozen one, "
            "such as twin_trunk or lite0"
        )
    count = len(frames.state)
    maps: dict[str, Tensor] = {}
    for name in network.cameras:
        parts: list[Tensor] = []
        starts = range(0, count, ENCODED_AT_ONCE)
        with torch.no_grad():
            for start in tqdm(starts, desc=f"frozen features of {name}", disable=count < 10_000):
                pixels = torch.from_numpy(np.ascontiguousarray(frames.images[name][start : start + ENCODED_AT_ONCE]))
                parts.append(network.encode(name, pixels.permute(0, 3, 1, 2)).half())
        maps[name] = torch.cat(parts)
    numbers = np.clip(scales.to_numbers(chunks), -1.0, 1.0).reshape(count, -1, STEP_SIZE)
    return RumWindows(maps, torch.from_numpy(scales.state(state)), torch.from_numpy(numbers), frames.history_index)


def network_state(frames: Frames, state_keys: tuple[str, ...], wanted: tuple[str, ...]) -> FloatArray:
    """Return those parts of the windows' state that the network is given, shape (frames, size)."""
    columns: list[int] = []
    for key in wanted:
        start = sum(STATE_KEYS[name] for name in state_keys[: state_keys.index(key)])
        columns += range(start, start + STATE_KEYS[key])
    return np.asarray(frames.state[:, columns], np.float64)


def cosine_rate(config: RumConfig, step: int, total: int) -> float:
    """Return the learning rate of batch `step` of a stage of `total`: linear rise, then a half cosine to 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / total)))
