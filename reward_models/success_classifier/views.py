"""What a frozen trunk makes of frames: plain, and shifted by some pixels, so that a few episodes teach more."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reward_models.success_classifier.config import ModelConfig, TrainingConfig
from reward_models.success_classifier.labels import FrameLabels, LabelledEpisode
from reward_models.success_classifier.model import pooled_maps
from tutelage_core.encoders.image import ImageEncoder
from tutelage_core.types import ImageArray

Maps = NDArray[np.float16]

_VIEWS = 3
"""Key of the named random generator."""

_BATCH = 64
"""Frames that are encoded at once."""


@dataclass(frozen=True)
class EpisodeMaps:
    """What training keeps of an episode of T frames, once its pixels are encoded.

    Attributes:
        name, scene, labels, truth: as in `LabelledEpisode`.
        maps: shape (views, T, cameras, channels, rows, columns); view 0 is the plain one.
    """

    name: str
    scene: str
    labels: FrameLabels
    truth: FrameLabels
    maps: Maps


def encoded(
    episode: LabelledEpisode, trunk: ImageEncoder, cameras: Sequence[str], model: ModelConfig, training: TrainingConfig
) -> EpisodeMaps:
    """Return the maps of an episode; its shifts depend on the seed and on its name alone."""
    rng = np.random.default_rng([training.seed, _VIEWS, zlib.crc32(episode.name.encode())])
    views = [np.stack([maps_of(trunk, episode.images[camera], model.grid) for camera in cameras], axis=1)]
    for _ in range(training.views if training.shift_px else 0):
        moved = (shifted(episode.images[camera], training.shift_px, rng) for camera in cameras)
        views.append(np.stack([maps_of(trunk, pixels, model.grid) for pixels in moved], axis=1))
    return EpisodeMaps(episode.name, episode.scene, episode.labels, episode.truth, np.stack(views))


def maps_of(trunk: ImageEncoder, pixels: ImageArray, grid: tuple[int, int] | None) -> Maps:
    """Return the pooled maps of frames.

    Args:
        trunk: frozen.
        pixels: RGB, shape (n, height, width, 3).
        grid: rows and columns to average to; None keeps the trunk's.

    Returns:
        Shape (n, channels, rows, columns).
    """
    parts = [
        pooled_maps(trunk, torch.from_numpy(np.array(pixels[i : i + _BATCH])).permute(0, 3, 1, 2), grid).numpy()
        for i in range(0, len(pixels), _BATCH)
    ]
    return np.concatenate(parts)


def shifted(pixels: ImageArray, shift_px: int, rng: np.random.Generator) -> ImageArray:
    """Return each image shifted by up to `shift_px` each way; what comes in repeats the edge (Yarats et al. 2021).

    Args:
        pixels: shape (n, height, width, 3).
        shift_px: largest shift [px].
        rng: draws the shifts, other ones for each image.
    """
    count, height, width, _ = pixels.shape
    shifts = rng.integers(-shift_px, shift_px + 1, (2, count, 1))
    rows = (np.arange(height) + shifts[0]).clip(0, height - 1)
    columns = (np.arange(width) + shifts[1]).clip(0, width - 1)
    return pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
