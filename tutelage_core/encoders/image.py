"""Image encoders: from pixels to a map of features that keeps where things are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from tutelage_core.errors import ConfigurationError, UnknownNameError

IMAGE_ENCODERS: Mapping[str, str] = {
    "compact": "tutelage_core.encoders.compact:CompactEncoder",
    "lite0": "tutelage_core.encoders.lite0:Lite0Encoder",
}
"""Name to class, imported when asked for: Lite0 needs timm, the compact trunk nothing but torch."""

TRUNK_PREFIX = "trunk:"
"""`trunk:<folder>` is the trained trunk in that sealed folder; see `tutelage train trunk`."""

TRUNK_SPEC = "trunk.json"
"""The file that tells a trunk's folder from others."""


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
        """Whether its weights learn; frozen ones have a package or folder of their own and are in no checkpoint."""
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

    All encoders share this range, so that augmentation can work on floats whatever the encoder is.
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


def shipped_trunks() -> dict[str, Path]:
    """Return the trained trunks that come with the project: name to sealed folder."""
    models = Path(__file__).resolve().parents[2] / "models"
    return {path.parent.name: path.parent for path in sorted(models.glob(f"*/{TRUNK_SPEC}"))}


def check_image_encoder(name: str, where: str = "") -> None:
    """Refuse a name that no encoder has; the folder of a `trunk:<folder>` is not looked into before it is built.

    Args:
        name: a built-in encoder, a shipped trunk, or `trunk:<folder>`.
        where: place of the name, for the error.

    Raises:
        UnknownNameError: there is no such encoder; the legal names are listed.
    """
    if name in IMAGE_ENCODERS or name.removeprefix(TRUNK_PREFIX) != name or name in (trunks := shipped_trunks()):
        return
    raise UnknownNameError("image encoder", name, (*IMAGE_ENCODERS, *trunks, f"{TRUNK_PREFIX}<folder>"), where)


def build_image_encoder(name: str, height: int, width: int) -> ImageEncoder:
    """Build an encoder for images of `height` x `width` [px].

    A trainable encoder comes with random weights (drawn from torch's global generator), a frozen one with its own.

    Args:
        name: a built-in encoder, a shipped trunk, or `trunk:<folder>`.
        height: of the images [px].
        width: of the images [px].

    Raises:
        UnknownNameError: there is no such encoder; the legal names are listed.
        ConfigurationError: it cannot take images of this size, or its package is not installed.
        CheckpointError: a trunk's folder is missing or damaged.
    """
    check_image_encoder(name)
    if name in IMAGE_ENCODERS:
        module, _, attribute = IMAGE_ENCODERS[name].partition(":")
        return cast("ImageEncoder", getattr(importlib.import_module(module), attribute)(height, width))
    folder = Path(name.removeprefix(TRUNK_PREFIX)) if name.startswith(TRUNK_PREFIX) else shipped_trunks()[name]
    trunk_folder = importlib.import_module("tutelage_core.encoders.trunk_folder")  # it imports this module
    return cast("ImageEncoder", trunk_folder.load_trunk(folder, height, width, name))


def frozen_digest(encoder: ImageEncoder) -> str:
    """Return the SHA-256 of the weights of a trained trunk; empty for encoders whose weights a version pins."""
    return str(getattr(encoder, "sha256", ""))
