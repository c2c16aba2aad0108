"""Statistics that LeRobot normalises with: per feature minimum, maximum, mean, deviation, count and five quantiles.

All are exact, over every frame and pixel. LeRobot itself looks at a sample of the pixels and estimates quantiles, and
takes those of a whole data set for the mean of the episodes'.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage_core.episodes.topics import IntArray
from tutelage_core.types import FloatArray, ImageArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
LEVELS = 256
CHANNELS = 3

Statistics = dict[str, Any]
"""Statistic to nested lists: [size] for numbers, [3][1][1] for images (0..1), [1] for the count of frames."""


def number_statistics(values: NDArray[Any]) -> Statistics:
    """Return the statistics of numbers, shape (T, size)."""
    numbers = values.astype(np.float64)
    found: dict[str, FloatArray] = {
        "min": numbers.min(axis=0),
        "max": numbers.max(axis=0),
        "mean": numbers.mean(axis=0),
        "std": numbers.std(axis=0),
    }
    quantiles = np.quantile(numbers, list(QUANTILES.values()), axis=0)
    return {
        **{name: value.tolist() for name, value in found.items()},
        "count": [len(numbers)],
        **{name: quantiles[row].tolist() for row, name in enumerate(QUANTILES)},
    }


def histograms(images: ImageArray) -> IntArray:
    """Return how often each level occurs in each channel of images of shape (T, height, width, 3), shape (3, 256)."""
    return np.stack(
        [np.bincount(images[..., channel].reshape(-1), minlength=LEVELS) for channel in range(CHANNELS)]
    ).astype(np.int64)


def image_statistics(counts: IntArray, frames: int) -> Statistics:
    """Return the statistics of images, levels scaled to 0..1.

    Args:
        counts: how often each level occurs, shape (3, 256).
        frames: images that were counted.
    """
    levels = np.arange(LEVELS) / (LEVELS - 1)
    pixels = counts.sum(axis=1)
    mean = counts @ levels / pixels
    variance = (counts * (levels - mean[:, None]) ** 2).sum(axis=1) / pixels
    seen = [np.flatnonzero(row) for row in counts]
    found: dict[str, FloatArray] = {
        "min": np.array([levels[row[0]] for row in seen]),
        "max": np.array([levels[row[-1]] for row in seen]),
        "mean": mean,
        "std": np.sqrt(variance),
    }
    for name, share in QUANTILES.items():
        found[name] = np.array([_quantile(row, levels, share) for row in counts])
    shaped: Statistics = {name: value.reshape(CHANNELS, 1, 1).tolist() for name, value in found.items()}
    shaped["count"] = [frames]
    return shaped


def _quantile(counts: IntArray, levels: FloatArray, share: float) -> float:
    """Return what `np.quantile` gives for the counted pixels: linear between the two that the share falls between."""
    last = np.cumsum(counts) - 1
    place = share * float(last[-1])
    below, above = np.floor(place), np.ceil(place)
    low = float(levels[int(np.searchsorted(last, below))])
    high = float(levels[int(np.searchsorted(last, above))])
    return low + (high - low) * float(place - below)
