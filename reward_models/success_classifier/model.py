"""The network: keypoints on all cameras' maps and what is seen there, Dense, LayerNorm, ReLU, one logit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from reward_models.success_classifier.config import ModelConfig
from tutelage_core.contract import CameraNeed
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder
from tutelage_core.errors import ConfigurationError


class SuccessNetwork(nn.Module):
    """Pooled maps of all cameras to a logit.

    A keypoint is an attention map (spatial softmax, Finn et al. 2016, arXiv:1509.06113); it gives its place and
    features averaged under it, so that what is learnt at one place of the picture holds at all others.
    """

    def __init__(self, config: ModelConfig, map_shape: tuple[int, int, int, int]) -> None:
        """Build it with random weights, drawn from torch's global generator, for maps of `map_shape`.

        Args:
            config: its shape.
            map_shape: cameras, channels, rows, columns.
        """
        super().__init__()
        cameras, channels, rows, columns = map_shape
        self.keypoints = config.keypoints
        read = config.keypoints + config.keypoint_features
        self.reader = nn.Parameter(torch.empty(cameras, read, channels).uniform_(-1.0, 1.0) / math.sqrt(channels))
        self.reader_bias = nn.Parameter(torch.zeros(cameras, read, 1))
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        self.register_buffer("places", torch.stack([x, y], dim=-1).flatten(0, 1), persistent=False)
        self.dense = nn.Linear(cameras * config.keypoints * (config.keypoint_features + 2), config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden)
        self.last = nn.Linear(config.hidden, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map shape (batch, cameras, channels, rows, columns), floating point, to logits of shape (batch,)."""
        read = torch.matmul(self.reader, maps.flatten(3).float()) + self.reader_bias
        attention = read[:, :, : self.keypoints].softmax(dim=3)
        seen = attention @ read[:, :, self.keypoints :].transpose(2, 3)
        where = attention @ self.get_buffer("places")
        hidden = self.norm(self.dropout(self.dense(torch.cat([seen, where], dim=3).flatten(1))))
        return self.last(F.relu(hidden)).squeeze(1)


class SuccessEnsemble(nn.Module):
    """Networks of one shape, of which the mean logit counts: what one of them mistakes, the others seldom do."""

    def __init__(self, members: Iterable[SuccessNetwork]) -> None:
        """Join networks."""
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, maps: Tensor) -> Tensor:
        """Map shape (batch, cameras, channels, rows, columns) to logits of shape (batch,)."""
        return torch.stack([member(maps) for member in self.members]).mean(dim=0)


def frozen_trunk(config: ModelConfig, cameras: Mapping[str, CameraNeed]) -> ImageEncoder:
    """Return the trunk that the network looks through.

    Raises:
        ConfigurationError: there is no camera, they differ in size, the encoder cannot take images of this size or
            learns along with a policy, or the configured grid is finer than its maps.
    """
    if len(set(cameras.values())) != 1:
        raise ConfigurationError(
            f"success classifier: needs at least one camera, and all of one size, got {dict(cameras)}"
        )
    size = next(iter(cameras.values()))
    trunk = build_image_encoder(config.encoder, size.height, size.width)
    if trunk.trainable:
        raise ConfigurationError(
            f"success classifier: encoder '{trunk.name}' learns along with a policy; use a frozen one: lite0, a "
            "shipped trunk, or trunk:<folder>"
        )
    if config.grid is not None and (config.grid[0] > trunk.grid[0] or config.grid[1] > trunk.grid[1]):
        raise ConfigurationError(
            f"ModelConfig: grid {config.grid} is finer than the maps of '{trunk.name}', {trunk.grid}; take a coarser"
        )
    return trunk


def map_shape(config: ModelConfig, cameras: Mapping[str, CameraNeed], trunk: ImageEncoder) -> tuple[int, int, int, int]:
    """Return cameras, channels, rows and columns of the maps that a network of this configuration takes."""
    return (len(cameras), trunk.channels, *(trunk.grid if config.grid is None else config.grid))


def pooled_maps(trunk: ImageEncoder, pixels: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """Return a trunk's maps, averaged to `grid`, in half precision.

    Args:
        trunk: frozen.
        pixels: RGB, shape (n, 3, height, width), uint8.
        grid: rows and columns; None keeps the trunk's.

    Returns:
        Shape (n, channels, rows, columns), float16.
    """
    with torch.no_grad():
        maps = trunk(pixels).float()
        return (maps if grid is None else F.adaptive_avg_pool2d(maps, grid)).half()
