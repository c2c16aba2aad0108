"""A small pre-norm transformer (GPT-2's blocks), over the observations of a window or the steps of a chunk."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.rum.config import TransformerConfig


class Attention(nn.Module):
    """Attention of some tokens to the same ones, or to others."""

    def __init__(self, config: TransformerConfig, *, causal: bool) -> None:
        """Make it; a `causal` one sees no token after its own."""
        super().__init__()
        self._heads, self._causal, self._dropout = config.heads, causal, config.dropout
        self.query = nn.Linear(config.width, config.width)
        self.key_value = nn.Linear(config.width, 2 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, tokens: Tensor, others: Tensor | None = None) -> Tensor:
        """Return what `tokens` (n, t, width) find in `others` (n, s, width), or in themselves."""
        memory = tokens if others is None else others
        key, value = self._split(self.key_value(memory)).chunk(2, dim=-1)
        dropout = self._dropout if self.training else 0.0
        found = functional.scaled_dot_product_attention(
            self._split(self.query(tokens)), key, value, is_causal=self._causal, dropout_p=dropout
        )
        return self.out(found.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self._heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Attention, attention to a memory if there is one, and a network for each token."""

    def __init__(self, config: TransformerConfig, *, causal: bool, memory: bool) -> None:
        """Make it."""
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(config, causal=causal)
        self.memory_norm = nn.LayerNorm(width) if memory else None
        self.memory_attention = Attention(config, causal=False) if memory else None
        self.token_norm = nn.LayerNorm(width)
        self.token = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(config.dropout)
        )

    def forward(self, tokens: Tensor, memory: Tensor | None = None) -> Tensor:
        """Return the tokens, shape (n, t, width), after one block."""
        tokens = tokens + self.attention(self.norm(tokens))
        if self.memory_attention is not None and self.memory_norm is not None:
            tokens = tokens + self.memory_attention(self.memory_norm(tokens), memory)
        return tokens + self.token(self.token_norm(tokens))


class Transformer(nn.Module):
    """Blocks between a linear map of the input, with learned places, and a last norm."""

    def __init__(
        self, config: TransformerConfig, size: int, length: int, *, causal: bool = False, memory: bool = False
    ) -> None:
        """Make one for sequences of at most `length` tokens of `size` numbers; with `memory` it looks at others.

        With a size of 0 the tokens are nothing but their learned places.
        """
        super().__init__()
        self.enter = nn.Linear(size, config.width) if size else None
        self.place = nn.Parameter(0.02 * torch.randn(1, length, config.width))
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, causal=causal, memory=memory) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor, memory: Tensor | None = None) -> Tensor:
        """Return one vector (n, t, width) for each token (n, t, size); `memory` is (n, s, width)."""
        hidden = self.place[:, : tokens.shape[1]].expand(len(tokens), -1, -1)
        if self.enter is not None:
            hidden = hidden + self.enter(tokens)
        hidden = self.drop(hidden)
        for block in self.blocks:
            hidden = block(hidden, memory)
        return self.norm(hidden)


def perceptron(*sizes: int, dropout: float = 0.0) -> nn.Sequential:
    """Return a network of linear layers of these sizes with GELU and dropout between them."""
    layers: list[nn.Module] = []
    for number, (size, following) in enumerate(pairwise(sizes)):
        if number:
            layers += [nn.GELU(), nn.Dropout(dropout)]
        layers.append(nn.Linear(size, following))
    return nn.Sequential(*layers)
