"""What the four policy classes have in common: from the embeddings of a window to a chunk of steps."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from policies.rum.config import HeadShape


@runtime_checkable
class ActionHead(Protocol):
    """A policy class. Actions are normalised: every number is about -1..1."""

    shape: HeadShape

    def loss(
        self, window: Tensor, chunks: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """Return what is to be made small, and figures to look at.

        Args:
            window: embeddings, shape (n, history, features), the newest last.
            chunks: true chunks from each observation on, shape (n, history, chunk, action). Only VQ-BeT learns from
                those of earlier observations.
            generator: for what is drawn at random.

        Raises:
            ValueError: a shape is another one, or a number is not finite.
        """
        ...

    def draw(self, window: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return a chunk from the newest observation on, shapes (n, history, features) -> (n, chunk, action).

        Raises:
            ValueError: the window has another shape.
        """
        ...


def check_window(shape: HeadShape, window: Tensor) -> None:
    """Refuse a window of another shape."""
    if window.shape[1:] != (shape.history, shape.features):
        raise ValueError(f"window must have shape (n, {shape.history}, {shape.features}), got {tuple(window.shape)}")


def check_batch(shape: HeadShape, window: Tensor, chunks: Tensor) -> None:
    """Refuse a batch of another shape, and one with numbers that are none: learning from them spoils everything."""
    check_window(shape, window)
    wanted = (len(window), shape.history, shape.chunk, shape.action)
    if tuple(chunks.shape) != wanted:
        raise ValueError(f"chunks must have shape {wanted}, got {tuple(chunks.shape)}")
    for name, values in (("window", window), ("chunks", chunks)):
        finite = torch.isfinite(values).flatten(1).all(dim=1)
        if not finite.all():
            rows = (~finite).nonzero()[:, 0].tolist()
            raise ValueError(f"{name}: rows {rows[:8]} of the batch hold numbers that are not finite")
