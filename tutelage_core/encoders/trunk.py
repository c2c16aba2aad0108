"""A trunk that was trained before any policy: a small pyramid whose every place knows the whole picture.

Down to a coarse grid and back up, as in feature pyramid networks (Lin et al. 2017, arXiv:1612.03144): the fine layers
keep where an edge is, the coarse ones tell what stands there and how the table lies. Without normalisation layers, so
that one image's features never depend on another's. Once sealed it is frozen, and a policy reads it as it reads Lite0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tutelage_core.encoders.image import check_divisible, normalise
from tutelage_core.errors import ConfigurationError

COARSEST_STRIDE = 32
_STRIDES = (4, 8)


@dataclass(frozen=True)
class TrunkShape:
    """Size of the network.

    Attributes:
        channels: features at each place of the map that it gives.
        stride: pixels of the image that one place stands for, each way: 4 or 8 [px].
        stem: channels at strides 2 and 4.
        middle: channels at strides 8, 16 and 32.
    """

    channels: int = 64
    stride: int = 8
    stem: tuple[int, int] = (16, 32)
    middle: tuple[int, int, int] = (64, 96, 128)

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        if self.stride not in _STRIDES:
            raise ConfigurationError(f"TrunkShape: stride must be one of {_STRIDES}, got {self.stride}")
        if len(self.stem) != 2 or len(self.middle) != 3 or min(self.channels, *self.stem, *self.middle) < 1:
            raise ConfigurationError(
                f"TrunkShape: needs two stem and three middle sizes, all positive, got {self.stem} and {self.middle}, "
                f"channels {self.channels}"
            )


class TrunkNetwork(nn.Module):
    """Images to a map of features; learns, where `TrunkEncoder` does not."""

    def __init__(self, shape: TrunkShape) -> None:
        """Build it with He-initialised weights, drawn from torch's global generator."""
        super().__init__()
        self.shape = shape
        half, quarter = shape.stem
        eighth, sixteenth, coarsest = shape.middle
        self.stem = nn.Sequential(_step(3, half, 5, 2), _step(half, quarter, 3, 2))
        self.quarter = _Residual(quarter)
        self.eighth = nn.Sequential(_step(quarter, eighth, 3, 2), _Residual(eighth))
        self.sixteenth = nn.Sequential(_step(eighth, sixteenth, 3, 2), _Residual(sixteenth))
        self.coarsest = nn.Sequential(_step(sixteenth, coarsest, 3, 2), _Residual(coarsest))
        self.whole = nn.Linear(coarsest, coarsest)
        self.up_sixteenth = nn.Conv2d(coarsest, sixteenth, 1)
        self.up_eighth = nn.Conv2d(sixteenth, eighth, 1)
        self.mix_eighth = _step(eighth, shape.channels if shape.stride == 8 else eighth, 3, 1)
        self.up_quarter = nn.Conv2d(eighth, quarter, 1) if shape.stride == 4 else None
        self.mix_quarter = _step(quarter, shape.channels, 3, 1) if shape.stride == 4 else None
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]  bias is on
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  missing from torch's stubs

    def forward(self, images: Tensor) -> Tensor:
        """Map RGB images, shape (n, 3, h, w), to features, shape (n, channels, h / stride, w / stride)."""
        quarter = self.quarter(self.stem(normalise(images).contiguous(memory_format=torch.channels_last)))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        coarsest = self.coarsest(sixteenth)
        coarsest = coarsest + self.whole(coarsest.mean(dim=(2, 3)))[:, :, None, None]
        sixteenth = F.relu(sixteenth + _doubled(self.up_sixteenth(coarsest)))
        eighth = self.mix_eighth(F.relu(eighth + _doubled(self.up_eighth(sixteenth))))
        if self.up_quarter is None or self.mix_quarter is None:
            return eighth
        return self.mix_quarter(F.relu(quarter + _doubled(self.up_quarter(eighth))))


class TrunkEncoder(nn.Module):
    """Implements `ImageEncoder`: a trained trunk, frozen."""

    def __init__(self, name: str, network: TrunkNetwork, height: int, width: int, sha256: str) -> None:
        """Freeze `network` for images of `height` x `width` [px]; `sha256` is that of its weights' file.

        Raises:
            ConfigurationError: the sides are no multiples of `COARSEST_STRIDE`.
        """
        super().__init__()
        check_divisible(name, height, width, COARSEST_STRIDE)
        self.name = name
        self.sha256 = sha256
        self.channels = network.shape.channels
        self.grid = (height // network.shape.stride, width // network.shape.stride)
        self.trainable = False
        self.network = network
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> TrunkEncoder:
        """Stay in evaluation mode whatever is asked."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature map; see `ImageEncoder`."""
        with torch.no_grad():
            return self.network(images)


class _Residual(nn.Module):
    """One convolution beside a plain path."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.convolution(features))


def _step(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2), nn.ReLU(inplace=True))


def _doubled(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")
