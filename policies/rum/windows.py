"""What RUM's training reads: what the trunk sees of each frame, and chunks as a head tells them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from policies.bc.batches import Frames, check_finite
from policies.bc.training import cpu_likes_bf16
from policies.image_augmentation import ImageBatch, augmented, plain
from policies.rum.model import RumNetwork
from policies.rum.policy import ROTATION
from policies.rum.relative_chunk import to_relative
from policies.rum.scales import RumScales
from policies.rum.train_config import RumConfig
from tutelage_core.contract import state_columns
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import matrix_from_6d
from tutelage_core.types import STEP_SIZE, FloatArray

ENCODED_AT_ONCE = 256


@dataclass(frozen=True)
class RumWindows:
    """All demonstrated frames.

    Attributes:
        state: normalised state of the network, shape (frames, state_size).
        chunks: normalised chunks from each frame on, shape (frames, chunk, 7).
        history_index: frames of the window that ends in each frame, the oldest first, shape (frames, history).
    """

    state: Tensor
    chunks: Tensor
    history_index: NDArray[np.integer]

    def window(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], Tensor, Tensor]:
        """Return frames (n * history,), state (n, history, size) and chunks (n, history, chunk, 7) of rows (n,)."""
        frames = self.history_index[rows].astype(np.int64)
        index = torch.from_numpy(frames)
        return frames.reshape(-1), self.state[index], self.chunks[index]


class Seen(Protocol):
    """What the trunk sees of frames."""

    def maps(
        self, network: RumNetwork, frames: NDArray[np.int64], rng: np.random.Generator | None
    ) -> dict[str, Tensor]:
        """Return camera name to feature maps, shape (frames, channels, rows, columns).

        Args:
            network: whose trunk looks; what a frozen one sees is known.
            frames: which ones, whole windows, the oldest of each first.
            rng: changes the pictures as training does; None leaves them as they are.
        """
        ...


class StoredMaps:
    """Of a frozen trunk: computed once, in half precision, and never changed."""

    def __init__(self, images: Mapping[str, ImageBatch], network: RumNetwork, device: torch.device) -> None:
        """Look at every picture once, shape (frames, height, width, 3)."""
        self._device = device
        self._stores: dict[str, Tensor] = {}
        for name in network.cameras:
            parts: list[Tensor] = []
            pixels = images[name]
            starts = range(0, len(pixels), ENCODED_AT_ONCE)
            with torch.no_grad():
                for start in tqdm(starts, desc=f"frozen features of {name}", disable=len(pixels) < 10_000):
                    some = torch.from_numpy(np.ascontiguousarray(pixels[start : start + ENCODED_AT_ONCE]))
                    parts.append(network.encode(name, some.permute(0, 3, 1, 2).to(device)).half().cpu())
            self._stores[name] = torch.cat(parts)

    def maps(
        self, network: RumNetwork, frames: NDArray[np.int64], rng: np.random.Generator | None
    ) -> dict[str, Tensor]:
        """See `Seen.maps`; nothing is drawn."""
        index = torch.from_numpy(frames)
        return {name: store[index].to(self._device) for name, store in self._stores.items()}


class LookedAt:
    """Of a trunk that learns: looked at anew each time, in training changed in light and place (jitter as RUM's)."""

    def __init__(self, images: Mapping[str, ImageBatch], config: RumConfig, device: torch.device) -> None:
        """Look at these, shape (frames, height, width, 3)."""
        self._images, self._config, self._device = images, config, device
        self._bf16 = (device.type == "cuda" or cpu_likes_bf16()) if config.bf16 is None else config.bf16

    def maps(
        self, network: RumNetwork, frames: NDArray[np.int64], rng: np.random.Generator | None
    ) -> dict[str, Tensor]:
        """See `Seen.maps`."""
        config, found = self._config, {}
        for name in network.cameras:
            pixels = self._images[name][frames]
            given = (
                plain(pixels)
                if rng is None
                else augmented(
                    pixels,
                    config.model.history,
                    rng,
                    shift_px=config.shift_px,
                    brightness=config.brightness,
                    colour=config.colour,
                )
            )
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16 and rng is not None):
                found[name] = network.encode(name, given.to(self._device))
        return found


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
    check_finite(frames)
    steps = np.asarray(frames.steps, np.float64)[frames.chunk_index]
    steps[..., :6][frames.chunk_is_padding] = 0.0
    if config.model.actions == "base":
        return steps
    if ROTATION not in state_keys:
        raise ConfigurationError(f"RUM: relative steps need {ROTATION} among the windows' state, got {state_keys}")
    columns = np.asarray(frames.state[:, state_columns(state_keys)[ROTATION]], np.float64)
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


def make_windows(frames: Frames, chunks: FloatArray, state: FloatArray, scales: RumScales) -> RumWindows:
    """Return all frames as the network is told them.

    Args:
        frames: demonstrations.
        chunks: from `chunks_of`, shape (frames, chunk, 7).
        state: that the network is given, shape (frames, size).
        scales: of steps and state.
    """
    numbers = np.clip(scales.to_numbers(chunks), -1.0, 1.0).reshape(len(frames.state), -1, STEP_SIZE)
    return RumWindows(torch.from_numpy(scales.state(state)), torch.from_numpy(numbers), frames.history_index)


def network_state(frames: Frames, state_keys: tuple[str, ...], wanted: tuple[str, ...]) -> FloatArray:
    """Return those parts of the windows' state that the network is given, shape (frames, size)."""
    columns = state_columns(state_keys)
    parts = [frames.state[:, columns[key]] for key in wanted]
    return np.concatenate([np.zeros((len(frames.state), 0)), *parts], axis=1, dtype=np.float64)


def cosine_rate(config: RumConfig, step: int, total: int) -> float:
    """Return the learning rate of batch `step` of a stage of `total`: linear rise, then a half cosine to 0."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / total)))
