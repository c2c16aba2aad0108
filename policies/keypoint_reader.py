"""From a feature map to an embedding: where things are, and what they are."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class KeypointReader(nn.Module):
    """Reads *where* and *what* off a feature map.

    Spatial softmax (Levine et al. 2016) gives the expected place of each attention map, precise below one cell; the
    features read through the same map tell what is there, such as how an object is turned.
    """

    def __init__(self, channels: int, grid: tuple[int, int], keypoints: int, features: int, out: int) -> None:
        """Read `keypoints` places with `features` numbers each, and embed them in `out` numbers."""
        super().__init__()
        rows, columns = grid
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        self.register_buffer("places", torch.stack([x.flatten(), y.flatten()], dim=1), persistent=False)
        self.attention_and_values = nn.Linear(channels, keypoints + features)
        self.split = (keypoints, features)
        self.embed = nn.Sequential(nn.Linear(keypoints * (2 + features), out), nn.LayerNorm(out), nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        """Map features of shape (batch, channels, *grid) to an embedding of shape (batch, out)."""
        cells = features.permute(0, 2, 3, 1).flatten(1, 2)
        attention, values = self.attention_and_values(cells).split(self.split, dim=-1)
        attention = attention.transpose(1, 2).contiguous().softmax(dim=-1)
        where = attention @ cast("Tensor", self.places)
        what = attention @ values
        return self.embed(torch.cat([where, what], dim=-1).flatten(1))
