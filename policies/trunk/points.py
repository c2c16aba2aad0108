"""Method `state`: where is every named point, in the picture and in space? Only a twin knows.

For each camera and point, with m its attention map over the grid's cells and q the map that puts the true place between
its four nearest cells,

    L = sum over visible points of  h CE(q, m) + x |E_m[cell] - cell*| + s |f(E_m[cell, feature], mean) - p*| / std

and a cross-entropy for whether the point is visible. The bilinear q has the true place as its exact mean, so that the
first two terms agree (they would not, with the nearest cell as target).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from policies.trunk.config import TrunkConfig
from policies.trunk.objective import Rows, augmented
from tutelage_core.labelled_frames import LabelledFrames

_SMALLEST_STD_M = 0.01
"""Floor of the scales of places [m]: a point that never moves has none of its own."""


class Sight(NamedTuple):
    """What a reader says about P points in n images.

    Attributes:
        log_attention: log of each point's attention map, shape (n, P, cells).
        cells: expected column and row, shape (n, P, 2) [cells].
        place: normalised position in space, shape (n, P, 3).
        visible_logit: log-odds that the point can be seen, shape (n, P).
    """

    log_attention: Tensor
    cells: Tensor
    place: Tensor
    visible_logit: Tensor


class PointReader(nn.Module):
    """Reads the places of one camera's points off the feature map."""

    def __init__(self, channels: int, grid: tuple[int, int], points: int, config: TrunkConfig) -> None:
        """Build it with random weights."""
        super().__init__()
        rows, columns = grid
        row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        self.register_buffer("places", torch.stack([column.flatten(), row.flatten()], dim=1).float(), persistent=False)
        self.split = (points, config.keypoint_features)
        self.attention_and_values = nn.Linear(channels, sum(self.split))
        width = points * (2 + config.keypoint_features) + channels
        self.points = points
        self.span = max(grid) / 2.0
        self.out = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.LayerNorm(config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, points * 4),
        )

    def forward(self, features: Tensor) -> Sight:
        """Read features of shape (n, channels, *grid)."""
        cells = features.permute(0, 2, 3, 1).flatten(1, 2)
        attention, values = self.attention_and_values(cells).split(self.split, dim=-1)
        log_attention = attention.transpose(1, 2).log_softmax(dim=-1)
        weights = log_attention.exp()
        where = weights @ cast("Tensor", self.places)
        read = [(where / self.span - 1.0).flatten(1), (weights @ values).flatten(1), cells.mean(dim=1)]
        said = self.out(torch.cat(read, dim=1)).unflatten(1, (self.points, 4))
        return Sight(log_attention, where, said[..., :3], said[..., 3])


class _Truth(NamedTuple):
    """Targets of one camera."""

    cells: Tensor
    place: Tensor
    place_m: Tensor
    visible: Tensor
    known: Tensor


class PointObjective:
    """Implements `Objective` on labelled frames."""

    def __init__(self, frames: LabelledFrames, grid: tuple[int, int], config: TrunkConfig) -> None:
        """Build the heads, drawn from torch's global generator, for feature maps of `grid` rows and columns."""
        self._frames = frames
        self._config = config
        self._grid = grid
        self._mean = np.zeros((len(frames.cameras), len(frames.names), 3), np.float32)
        self._scale = np.ones_like(self._mean)
        for camera in range(len(frames.cameras)):
            for point in range(len(frames.names)):
                seen = frames.points[frames.visible[:, camera, point], camera, point]
                if len(seen):
                    self._mean[camera, point] = seen.mean(axis=0)
                    self._scale[camera, point] = np.maximum(seen.std(axis=0), _SMALLEST_STD_M)
        self.heads = nn.ModuleDict(
            {c: PointReader(config.shape.channels, grid, len(frames.names), config) for c in frames.cameras}
        )
        self._truth: dict[str, _Truth] = {}

    @property
    def groups(self) -> Rows:
        """The room of each moment."""
        return self._frames.rooms

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras of the frames."""
        return self._frames.cameras

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width [px]."""
        height, width = self._frames.images.shape[2:4]
        return int(height), int(width)

    def images(self, rows: Rows, rng: np.random.Generator | None) -> Tensor:
        """Return the images camera by camera: first all of the first one."""
        frames = self._frames
        self._truth = {name: self._targets(rows, camera) for camera, name in enumerate(frames.cameras)}
        images = augmented(frames.images[rows], self._config, rng)
        return images.unflatten(0, (len(rows), -1)).transpose(0, 1).flatten(0, 1)

    def losses(self, features: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss, over all cameras."""
        terms: dict[str, Tensor] = {}
        config = self._config
        for sight, truth in self._sights(features):
            seen = truth.visible
            weight = seen / seen.sum().clamp(min=1.0)
            heat = -(bilinear_map(truth.cells, self._grid) * sight.log_attention).sum(dim=-1)
            pixel = (sight.cells - truth.cells).abs().sum(dim=-1)
            place = (sight.place - truth.place).abs().mean(dim=-1)
            entropy = F.binary_cross_entropy_with_logits(sight.visible_logit, seen, reduction="none")
            for name, term in (
                ("heat", config.heat_weight * (weight * heat).sum()),
                ("pixel", config.pixel_weight * (weight * pixel).sum()),
                ("place", config.place_weight * (weight * place).sum()),
                ("visible", config.visible_weight * (truth.known * entropy).sum() / truth.known.sum().clamp(min=1.0)),
            ):
                terms[name] = terms[name] + term if name in terms else term
        return terms

    def errors(self, features: Tensor) -> dict[str, float]:
        """Return each point's median distance in space, where it is visible."""
        errors: dict[str, float] = {}
        for camera, (sight, truth) in enumerate(self._sights(features)):
            said = sight.place.numpy() * self._scale[camera] + self._mean[camera]
            distance = np.linalg.norm(said - truth.place_m.numpy(), axis=-1)
            for point, name in enumerate(self._frames.names):
                seen = truth.visible[:, point].numpy() > 0
                value = float(np.median(distance[seen, point])) * 1e3 if seen.any() else float("nan")
                errors[f"{self.cameras[camera]}_{name}_mm"] = value
        return errors

    def _sights(self, features: Tensor) -> list[tuple[Sight, _Truth]]:
        parts = features.chunk(len(self.cameras))
        return [
            (cast("Sight", self.heads[name](part)), self._truth[name])
            for name, part in zip(self.cameras, parts, strict=True)
        ]

    def _targets(self, rows: Rows, camera: int) -> _Truth:
        frames = self._frames
        size = np.array([self._grid[1], self._grid[0]], np.float32)
        cells = np.nan_to_num((frames.pixels[rows, camera] + 1.0) / 2.0 * size - 0.5)
        place_m = frames.points[rows, camera]
        place = np.nan_to_num((place_m - self._mean[camera]) / self._scale[camera])
        known = np.isfinite(place_m).all(axis=-1)
        arrays = (cells, place, np.nan_to_num(place_m), frames.visible[rows, camera], known)
        return _Truth(*(torch.from_numpy(np.asarray(a, dtype=np.float32)) for a in arrays))


def bilinear_map(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return maps over a grid, each with the mean `cells` and at most four places that are not 0.

    Args:
        cells: column and row, shape (..., 2) [cells]; moved into the grid where outside.
        grid: rows and columns.

    Returns:
        Maps that sum to 1, shape (..., rows * columns).
    """
    axes: list[Tensor] = []
    for axis, length in ((1, grid[0]), (0, grid[1])):
        at = cells[..., axis].clamp(0, length - 1)[..., None]
        axes.append((1.0 - (at - torch.arange(length, dtype=at.dtype)).abs()).clamp(min=0.0))
    return (axes[0][..., :, None] * axes[1][..., None, :]).flatten(-2)
