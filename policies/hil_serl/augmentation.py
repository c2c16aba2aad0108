"""Random shift of pixels (Yarats et al. 2021, arXiv:2004.13649): pad by repeating the edge, crop at random."""

from __future__ import annotations

import torch
from torch import Tensor

from policies.hil_serl.batch import Batch, Observed


def random_shift(pixels: Tensor, shift_px: int, generator: torch.Generator) -> Tensor:
    """Return images shifted by up to `shift_px` each way, each by its own draw; what comes in repeats the edge.

    Args:
        pixels: shape (batch, height, width, 3), uint8.
        shift_px: largest shift [px].
        generator: draws the shifts.
    """
    batch, height, width, _ = pixels.shape
    shifts = torch.randint(-shift_px, shift_px + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + shifts[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + shifts[1]).clamp(0, width - 1)
    return pixels[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]


def augmented(batch: Batch, shift_px: int, generator: torch.Generator) -> Batch:
    """Return the batch with its pixels, of both observations, shifted; stored maps and a shift of 0 change nothing."""

    def shifted(observed: Observed) -> Observed:
        images = {
            name: random_shift(stored, shift_px, generator) if stored.dtype == torch.uint8 else stored
            for name, stored in observed.images.items()
        }
        return Observed(images, observed.state)

    if shift_px == 0:
        return batch
    return batch._replace(observed=shifted(batch.observed), next_observed=shifted(batch.next_observed))
