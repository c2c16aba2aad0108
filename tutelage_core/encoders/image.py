"""Image encoders: from pixels to a map of features that keeps where things are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from tutelage_core.errors import ConfigurationError, UnknownNameError

IMAGE_ENCODERS: Mapping[str, str] = {
    "compact": "tutelage_core.encoders.compact:CompactEncoder",
    "lite0": "tutelage_core.encoders.lite0:Lite0Encoder",
}
"""Name to class, imported when asked for: Lite0 needs timm, the compact trunk nothing but torch."""


@runtime_checkable
class ImageEncoder(Protocol):
    """A `torch.nn.Module` that maps images to a spatial feature map, each image by itself."""

    @property
    def name(self) -> str:
        """Its name in the registry."""
        ...

    @property
    def channels(self) -> int:
        """Features at each place."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        ...

    @property
    def trainable(self) -> bool:
        """Whether its weights learn; frozen weights come from a package and are not stored in checkpoints."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features of a batch of images.

        Args:
            images: RGB, shape (batch, 3, height, width); uint8, or floating point as `normalise` gives it.

        Returns:
            Feature map, shape (batch, channels, *grid), floating point.
        """
        ...


def normalise(images: Tensor) -> Tensor:
    """Return uint8 images scaled to [-1, 1] (mean = std = 0.5); floating-point images are passed through.

    Both encoders share this range, so that augmentation can work on floats whatever the encoder is.
    """
    if images.dtype == torch.uint8:
        return images.float().div_(127.5).sub_(1.0)
    return images


def check_divisible(name: str, height: int, width: int, stride: int) -> tuple[int, int]:
    """Return the grid of an encoder with this stride.

    Raises:
        ConfigurationError: the image is not a multiple of the stride.
    """
    if height < stride or width < stride or height % stride or width % stride:
        raise ConfigurationError(
            f"image encoder '{name}': image of {width}x{height} px; both sides must be multiples of {stride} px"
        )
    return height // stride, width // stride


def build_image_encoder(name: str, height: int, width: int) -> ImageEncoder:
    """Build the encoder `name` for images of `height` x `width` [px].

    A trainable encoder comes with random weights (drawn from torch's global generator), a frozen one with its own.

    Raises:
        UnknownNameError: there is no such encoder; the legal names are listed.
        ConfigurationError: it cannot take images of this size, or its package is not installed.
    """
    if name not in IMAGE_ENCODERS:
        raise UnknownNameError("image encoder", name, IMAGE_ENCODERS)
    module, _, attribute = IMAGE_ENCODERS[name].partition(":")
    return cast("ImageEncoder", getattr(importlib.import_module(module), attribute)(height, width))
