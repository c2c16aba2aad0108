"""What training does to pictures so that a policy does not learn their borders and their light."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ImageBatch = NDArray[np.uint8]


def augmented(
    pixels: ImageBatch, history: int, rng: np.random.Generator, *, shift_px: int, brightness: float, colour: float
) -> Tensor:
    """Return pictures in [-1, 1], shifted and lit otherwise; the pictures of a window all alike.

    Args:
        pixels: RGB, shape (windows * history, height, width, 3), the oldest of each window first.
        history: pictures in a window.
        rng: draws.
        shift_px: farthest shift each way [px].
        brightness: farthest change of the brightness, a share.
        colour: farthest change of each channel, a share.

    Returns:
        Shape (windows * history, 3, height, width).
    """
    windows = len(pixels) // history
    if shift_px:
        shifts = rng.integers(-shift_px, shift_px + 1, (windows, 2)).repeat(history, axis=0)
        pixels = shifted(pixels, shifts)
    gain = rng.uniform(1 - brightness, 1 + brightness, (windows, 1))
    gain = gain * rng.uniform(1 - colour, 1 + colour, (windows, 3))
    gains = torch.from_numpy(gain.repeat(history, axis=0).astype(np.float32))[:, :, None, None]
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().mul_(gains / 127.5).sub_(1.0).clamp_(max=1.0)


def plain(pixels: ImageBatch) -> Tensor:
    """Return pictures as they are in [-1, 1], shapes (n, height, width, 3) -> (n, 3, height, width)."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def shifted(pixels: ImageBatch, shifts: NDArray[np.integer]) -> ImageBatch:
    """Return each image shifted by whole pixels, its border repeated (the DrQ augmentation, Kostrikov et al. 2020).

    Args:
        pixels: shape (n, height, width, channels).
        shifts: down and right, shape (n, 2) [px].
    """
    height, width = pixels.shape[1:3]
    moved = np.empty_like(pixels)
    for source, target, (down, right) in zip(pixels, moved, shifts.tolist(), strict=True):
        top, bottom, left, end = max(down, 0), height + min(down, 0), max(right, 0), width + min(right, 0)
        target[top:bottom, left:end] = source[top - down : bottom - down, left - right : end - right]
        target[top:bottom, :left] = target[top:bottom, left : left + 1]
        target[top:bottom, end:] = target[top:bottom, end - 1 : end]
        target[:top] = target[top]
        target[bottom:] = target[bottom - 1]
    return moved
