"""What of the twin tower learns: a head on the maps of frozen image trunks, and a projection of frozen sentences.

As in locked-image tuning (Zhai et al. 2022, arXiv:2111.07991) the trunks do not learn; as in SigLIP (Zhai et al. 2023,
arXiv:2303.15343) each pair of picture and sentence is a question of its own, answered by a logistic loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from tutelage_core.encoders.image import ImageEncoder
from tutelage_core.encoders.sentence import SENTENCE_FEATURES
from tutelage_core.errors import ConfigurationError

FIRST_SCALE, FIRST_BIAS = 10.0, -6.0


@dataclass(frozen=True)
class TowerShape:
    """Size of the network.

    Attributes:
        encoders: image encoders whose maps are read; several are joined.
        height, width: of the pictures [px].
        grid: rows and columns on which the maps are joined.
        channels: at each place.
        blocks: residual blocks of two 3x3 convolutions.
        queries: places that the attention gathers from; each has a weight for every place.
        features: size of an embedding.
        hidden: of the sentences' projection.
        pixels: side to which the picture itself is shrunk for a small branch that learns with the head [px]; 0 for
            none. What the trunks were trained for needs no colours, and their maps tell a red thing badly from a pink.
    """

    encoders: tuple[str, ...] = ("twin_trunk", "lite0")
    height: int = 128
    width: int = 128
    grid: int = 8
    channels: int = 128
    blocks: int = 2
    queries: int = 8
    features: int = 256
    hidden: int = 512
    pixels: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        sizes = (self.grid, self.channels, self.queries, self.features, self.hidden)
        if not self.encoders or min(sizes) < 1 or self.blocks < 0:
            raise ConfigurationError(f"TowerShape: needs an encoder and positive sizes, got {self}")
        if self.pixels < 0 or self.pixels % (2 * self.grid) or self.pixels > min(self.height, self.width):
            raise ConfigurationError(
                f"TowerShape: pixels must be 0 or a multiple of twice the grid {self.grid}, and no more than the "
                f"picture's sides, got {self.pixels}"
            )


class TowerNetwork(nn.Module):
    """Maps of pictures, and vectors of sentences, to embeddings of length 1."""

    def __init__(self, shape: TowerShape, maps: Sequence[tuple[int, int, int]]) -> None:
        """Build it with random weights for maps of these channels, rows and columns, one for each encoder.

        Raises:
            ConfigurationError: a map cannot be cut into the grid's places.
        """
        super().__init__()
        self.shape = shape
        for name, (_, rows, columns) in zip(shape.encoders, maps, strict=True):
            if rows % shape.grid or rows != columns:
                raise ConfigurationError(
                    f"TowerShape: maps of '{name}' are {rows}x{columns}, which is no grid of {shape.grid}"
                )
        # patches of a finer map become one place
        self.adapters = nn.ModuleList(
            nn.Conv2d(channels, shape.channels, rows // shape.grid, rows // shape.grid) for channels, rows, _ in maps
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for channels, _, _ in maps)
        self.colours = _Colours(shape) if shape.pixels else None
        self.place = nn.Parameter(torch.zeros(shape.channels, shape.grid, shape.grid))
        self.blocks = nn.ModuleList(_Block(shape.channels) for _ in range(shape.blocks))
        self.look = nn.Conv2d(shape.channels, shape.queries, 1)
        gathered = shape.queries * shape.channels
        self.out = nn.Sequential(
            nn.LayerNorm(gathered),
            nn.Linear(gathered, shape.features),
            nn.GELU(),
            nn.Linear(shape.features, shape.features),
        )
        self.words = nn.Sequential(
            nn.Linear(SENTENCE_FEATURES, shape.hidden), nn.GELU(), nn.Linear(shape.hidden, shape.features)
        )
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.bias = nn.Parameter(torch.tensor(FIRST_BIAS))

    def see(self, maps: Sequence[Tensor], pictures: Tensor) -> Tensor:
        """Embed pictures.

        Args:
            maps: of the encoders, each of shape (n, channels, rows, columns).
            pictures: that they are of, RGB, shape (n, 3, height, width), uint8.

        Returns:
            Vectors of length 1, shape (n, features).
        """
        together = self.place.expand(len(maps[0]), -1, -1, -1)
        for adapter, norm, part in zip(self.adapters, self.norms, maps, strict=True):
            together = together + adapter(norm(part))
        if self.colours is not None:
            together = together + self.colours(pictures)
        for block in self.blocks:
            together = block(together)
        weights = self.look(together).flatten(2).softmax(dim=2)
        gathered = torch.einsum("nqp,ncp->nqc", weights, together.flatten(2))
        return F.normalize(self.out(gathered.flatten(1)), dim=1)

    def read(self, sentences: Tensor) -> Tensor:
        """Embed sentences, shape (n, features), from their vectors, shape (n, 384)."""
        return F.normalize(self.words(sentences), dim=1)

    def logits(self, cosines: Tensor) -> Tensor:
        """Return how likely pairs fit, as logits of the same shape."""
        return self.log_scale.exp() * cosines + self.bias


class _Colours(nn.Module):
    """The shrunken picture: each pixel by itself, then places of the grid."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self._side = shape.pixels
        patch = shape.pixels // (2 * shape.grid)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(32, shape.channels, patch, patch),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(F.adaptive_avg_pool2d(pictures.float() / 127.5 - 1.0, self._side))


class _Block(nn.Module):
    """Two 3x3 convolutions, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(1, channels),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.layers(maps)


def map_shapes(encoders: Mapping[str, ImageEncoder]) -> list[tuple[int, int, int]]:
    """Return channels, rows and columns of each encoder's maps."""
    return [(encoder.channels, *encoder.grid) for encoder in encoders.values()]
