"""What a trunk can be trained for: the plug point of a training method."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.trunk.config import TrunkConfig

Rows = NDArray[np.integer]


class Objective(Protocol):
    """Data, heads and loss of one method. The heads learn with the trunk and are thrown away after training."""

    @property
    def heads(self) -> nn.Module:
        """What reads the trunk's features, and learns with it."""
        ...

    @property
    def groups(self) -> Rows:
        """Room or episode of each moment, shape (moments,); moments of one group are held out together."""
        ...

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras whose images are learnt from."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images [px]."""
        ...

    def images(self, rows: Rows, rng: np.random.Generator | None) -> Tensor:
        """Return all images of these moments, as the heads expect them, shape (n, 3, height, width) in [-1, 1].

        Args:
            rows: the moments.
            rng: draws augmentation, and whatever else is random; None for validation, which is the same each time.
        """
        ...

    def losses(self, features: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of the loss for the features of the images that were asked for last."""
        ...

    def errors(self, features: Tensor) -> dict[str, float]:
        """Return errors that a person can read, with units in their names, for the same images; NaN for none."""
        ...


def augmented(pixels: NDArray[np.uint8], config: TrunkConfig, rng: np.random.Generator | None) -> Tensor:
    """Return pixels in [-1, 1], their brightness and colours scaled at random; places stay where they are.

    Args:
        pixels: RGB, shape (moments, images, height, width, 3), uint8; a moment's images are scaled alike.
        config: how far.
        rng: None leaves them as they are.

    Returns:
        Shape (moments * images, 3, height, width), in channels-last memory.
    """
    count, each = pixels.shape[:2]
    images = torch.from_numpy(pixels.reshape(-1, *pixels.shape[2:])).permute(0, 3, 1, 2).float()
    if rng is None:
        return images.div_(127.5).sub_(1.0)
    gain = rng.uniform(1 - config.brightness, 1 + config.brightness, (count, 1))
    gain = gain * rng.uniform(1 - config.colour, 1 + config.colour, (count, 3))
    gains = torch.from_numpy(gain.repeat(each, axis=0).astype(np.float32))[:, :, None, None]
    return images.mul_(gains / 127.5).sub_(1.0).clamp_(max=1.0)
