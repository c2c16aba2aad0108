"""VQ-BeT (Lee et al. 2024): which of the known motions, and by how much it differs from them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.rum import losses
from policies.rum.action_head import check_batch, check_window
from policies.rum.config import HeadShape, VqBetConfig
from policies.rum.residual_vq import ResidualVq
from policies.rum.transformer import Transformer, perceptron


class VqBet(nn.Module):
    """A causal transformer over the window; each observation tells codes and offset of the chunk from it on."""

    def __init__(self, shape: HeadShape, config: VqBetConfig) -> None:
        """Make one; `vq` has to be trained on chunks before `loss` means anything."""
        super().__init__()
        self.shape, self.config = shape, config
        width, codes = config.transformer.width, config.vq.codes
        self.vq = ResidualVq(shape.size, config.vq)
        self.transformer = Transformer(config.transformer, shape.features, shape.history, causal=True)
        self.primary = perceptron(width, width, codes)
        self.secondary = perceptron(width + codes, width, codes)
        self.offset = perceptron(width, width, config.vq.groups * codes * shape.size)

    def vq_loss(self, chunks: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, float]]:
        """Return the quantiser's own loss of chunks, shape (n, chunk, action); the first stage of training."""
        return self.vq.loss(chunks.flatten(1), generator)

    def loss(
        self, window: Tensor, chunks: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `ActionHead.loss`; the quantiser stays as it is."""
        check_batch(self.shape, window, chunks)
        flat = chunks.flatten(2).flatten(0, 1)
        with torch.no_grad():
            codes = self.vq.codes(flat)
        hidden = self.transformer(window).flatten(0, 1)
        right = codes if self.config.offset_of == "right" else None
        said = self._say(hidden, self.config.temperature, generator, right)
        return losses.vq_bet(said, codes, flat, self.config)

    @torch.no_grad()
    def draw(self, window: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `ActionHead.draw`; it is the likeliest motion, nothing is drawn at random."""
        check_window(self.shape, window)
        said = self._say(self.transformer(window)[:, -1], 0.0, generator)
        return said.chunk.unflatten(1, (self.shape.chunk, self.shape.action))

    def _say(
        self, hidden: Tensor, temperature: float, generator: torch.Generator | None, codes: Tensor | None = None
    ) -> losses.VqBetOutput:
        """Return what is said of n tokens, shape (n, width): of these codes (n, 2), or of codes that are drawn.

        The secondary code is told given the primary one.
        """
        primary = self.primary(hidden)
        first = _pick(primary, temperature, generator) if codes is None else codes[:, 0]
        known = functional.one_hot(first, self.config.vq.codes).to(hidden.dtype)
        secondary = self.secondary(torch.cat([hidden, known], dim=-1))
        if codes is None:
            codes = torch.stack([first, _pick(secondary, temperature, generator)], dim=-1)
        offsets = self.offset(hidden).unflatten(-1, (self.config.vq.groups, self.config.vq.codes, self.shape.size))
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        groups = torch.arange(self.config.vq.groups, device=hidden.device)[None]
        with torch.no_grad():
            centre = self.vq.centres(codes)
        return losses.VqBetOutput(primary, secondary, centre + offsets[rows, groups, codes].sum(dim=1))


def _pick(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Return a code for each row; the likeliest at temperature 0."""
    if temperature == 0.0:
        return logits.argmax(dim=-1)
    chances = functional.softmax(logits.detach() / temperature, dim=-1).cpu()  # where the generator is
    return torch.multinomial(chances, 1, generator=generator)[:, 0].to(logits.device)
