"""Behaviour cloning by a plain network: one answer to each window, and between two ways of doing it the middle."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.rum import losses
from policies.rum.action_head import check_batch, check_window
from policies.rum.config import HeadShape, MlpConfig
from policies.rum.transformer import perceptron


class Mlp(nn.Module):
    """The embeddings of the window in, a chunk out."""

    def __init__(self, shape: HeadShape, config: MlpConfig) -> None:
        """Make one."""
        super().__init__()
        self.shape, self.config = shape, config
        hidden = [config.hidden] * config.layers
        self.network = perceptron(shape.history * shape.features, *hidden, shape.size, dropout=config.dropout)

    def loss(
        self, window: Tensor, chunks: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `ActionHead.loss`; from the newest observation on only."""
        check_batch(self.shape, window, chunks)
        total = losses.cloning(self._write(window), chunks[:, -1])
        return total, {"l1": total.item()}

    @torch.no_grad()
    def draw(self, window: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `ActionHead.draw`; nothing is drawn at random."""
        check_window(self.shape, window)
        return self._write(window)

    def _write(self, window: Tensor) -> Tensor:
        return self.network(window.flatten(1)).unflatten(1, (self.shape.chunk, self.shape.action))
