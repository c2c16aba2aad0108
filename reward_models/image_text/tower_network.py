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

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built."""
        sizes = (self.grid, self.channels, self.queries, self.features, self.hidden)
        if not self.encoders or min(sizes) < 1 or self.blocks < 0:
            raise ConfigurationError(f"TowerShape: needs an encoder and positive sizes, got {self}")


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

    def see(self, maps: Sequence[Tensor]) -> Tensor:
        """Embed pictures, shape (n, features), from the encoders' maps, each of shape (n, channels, rows, columns)."""
        together = self.place.expand(len(maps[0]), -1, -1, -1)
        for adapter, norm, part in zip(self.adapters, self.norms, maps, strict=True):
            together = together + adapter(norm(part))
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
