"""From stored maps, or pixels, and proprioception to the features that all networks share."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from policies.hil_serl.batch import ObservationShape, Observed
from policies.hil_serl.config import EncoderConfig
from policies.hil_serl.layers import Norm, dense, glorot
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder
from tutelage_core.errors import ConfigurationError


def pooled(maps: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """Return maps, shape (..., channels, rows, columns), averaged to `grid` rows and columns; as they are for None."""
    if grid is None or maps.shape[-2:] == grid:
        return maps
    return F.adaptive_avg_pool2d(maps.float(), grid).to(maps.dtype)


def pooled_grid(grid: tuple[int, int], config: EncoderConfig) -> tuple[int, int]:
    """Return the grid that is learnt from where the trunk gives `grid`.

    Raises:
        ConfigurationError: the configuration asks for a finer one.
    """
    if config.grid is None:
        return grid
    if config.grid[0] > grid[0] or config.grid[1] > grid[1]:
        raise ConfigurationError(
            f"EncoderConfig: grid {config.grid} is finer than the maps of '{config.encoder}', {grid}; take a coarser"
        )
    return config.grid


def frozen_maps(trunk: ImageEncoder, pixels: Tensor, config: EncoderConfig) -> Tensor:
    """Return what the replay stores of images, and what a policy sees of them: pooled maps in half precision.

    Args:
        trunk: frozen.
        pixels: RGB, shape (n, 3, height, width), uint8.
        config: gives the grid.
    """
    with torch.no_grad():
        return pooled(trunk(pixels).float(), config.grid).half()


class Prepared(NamedTuple):
    """Observations in the form that the products take; prepared once, however many networks encode them.

    Attributes:
        images: maps, shape (cameras * channels, batch, cells), float32; pixels of all cameras, shape (cameras * batch,
            3, height, width), uint8; None without cameras.
        state: shape (batch, state), float32.
    """

    images: Tensor | None
    state: Tensor


class ObservationEncoder(nn.Module):
    """Spatial learned embeddings, Dense, LayerNorm, tanh per camera; Dense, LayerNorm, tanh for the proprioception.

    An embedding is a learned weighted sum over a channel's places (HIL-SERL's code; no dropout, which is off there in
    the critics' path too). Both cameras go through one product per layer.
    """

    def __init__(self, config: EncoderConfig, shape: ObservationShape, precision: torch.dtype) -> None:
        """Build it with random weights, drawn from torch's global generator.

        Raises:
            ConfigurationError: the images cannot be read as configured; see `pooled_grid`.
        """
        super().__init__()
        self.cameras = tuple(shape.images)
        self.precision = precision
        self.trunk: nn.Module | None = None
        self.grid: tuple[int, int] | None = None
        cameras, seen = len(self.cameras), config.state_features
        if self.cameras:
            channels, rows, columns = self._map_shape(config, shape.images[self.cameras[0]])
            self.grid = pooled_grid((rows, columns), config)
            cells = self.grid[0] * self.grid[1]
            spread = 1.0 / math.sqrt(cells)
            self.embeddings = nn.Parameter(torch.randn(cameras * channels, config.embeddings, cells) * spread)
            read = channels * config.embeddings
            self.camera_weight = nn.Parameter(glorot(cameras, read, config.camera_features))
            self.camera_bias = nn.Parameter(torch.zeros(cameras, 1, config.camera_features))
            self.camera_norm = Norm(cameras, config.camera_features)
            seen += cameras * config.camera_features
        self.state_weight = nn.Parameter(glorot(1, shape.state, config.state_features)[0])
        self.state_bias = nn.Parameter(torch.zeros(config.state_features))
        self.state_norm = nn.LayerNorm(config.state_features)
        self.features = seen

    def prepare(self, observed: Observed, room: Tensor | None = None) -> Prepared:
        """Return the observations as `forward` takes them.

        Args:
            observed: stored maps, averaged to the grid already or not, or pixels.
            room: `Prepared.images` of an earlier batch whose memory may be written over; taken if it fits. Fresh
                memory for maps of this size costs more than the conversion.

        Raises:
            ValueError: maps where the trunk learns from pixels, or the other way round.
        """
        if not self.cameras:
            return Prepared(None, observed.state)
        stored = [observed.images[name] for name in self.cameras]
        if (stored[0].dtype == torch.uint8) != (self.trunk is not None):
            told = (
                "stored maps, but its trunk learns from pixels" if self.trunk is not None else "pixels, not stored maps"
            )
            raise ValueError(f"the encoder was given {told}; see EncoderConfig.pixels")
        if self.trunk is not None:
            return Prepared(torch.cat(stored).permute(0, 3, 1, 2), observed.state)
        maps = [pooled(part, self.grid).flatten(2).transpose(0, 1) for part in stored]
        channels, batch, cells = maps[0].shape
        if room is None or room.shape != (len(maps) * channels, batch, cells):
            room = torch.empty(len(maps) * channels, batch, cells)
        for part, place in zip(maps, room.split(channels), strict=True):
            place.copy_(part)
        return Prepared(room, observed.state)

    def forward(self, prepared: Prepared) -> Tensor:
        """Return the features, shape (batch, features)."""
        proprioception = torch.addmm(self.state_bias, prepared.state, self.state_weight)
        proprioception = self.state_norm(proprioception).tanh()
        if prepared.images is None:
            return proprioception
        cameras, batch = len(self.cameras), len(prepared.state)
        maps = prepared.images if self.trunk is None else self._maps_of(prepared.images)
        # Taken sideways, the products of the channels already lie as the next product reads them: nothing is copied.
        sideways = torch.bmm(self.embeddings, maps.transpose(1, 2)).view(cameras, -1, batch)
        seen = self.camera_norm(dense(sideways.transpose(1, 2), self.camera_weight, self.camera_bias, self.precision))
        return torch.cat([*seen.unbind(0), proprioception], dim=1)

    def _maps_of(self, pixels: Tensor) -> Tensor:
        assert self.trunk is not None
        maps = pooled(self.trunk(pixels), self.grid).flatten(2)
        return maps.unflatten(0, (len(self.cameras), -1)).transpose(1, 2).flatten(0, 1).float()

    def _map_shape(self, config: EncoderConfig, image: tuple[int, int, int]) -> tuple[int, int, int]:
        if not config.pixels:
            return image
        trunk = build_image_encoder(config.encoder, image[0], image[1])
        if not trunk.trainable:
            raise ConfigurationError(
                f"EncoderConfig: '{config.encoder}' is frozen and cannot learn from pixels; store its maps (pixels: "
                "false), or take a trainable encoder such as 'compact'"
            )
        self.trunk = cast("nn.Module", trunk)
        return (trunk.channels, *trunk.grid)
