"""Chunks of steps as two code numbers: a residual vector quantiser (VQ-BeT, section 3.1).

Codebooks are moving averages of the latents that they stand for (van den Oord et al. 2017, appendix A.1). An entry
that stands for nothing is moved to a latent of the batch, so that none is lost for good.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies import processes
from policies.rum.config import ResidualVqConfig
from policies.rum.transformer import perceptron


class Codebook(nn.Module):
    """Entries, how many latents each stands for, and their sum; all are buffers, none learns by gradients."""

    def __init__(self, config: ResidualVqConfig) -> None:
        """Make entries at random; the first batch moves them."""
        super().__init__()
        self._config = config
        self.register_buffer("entries", torch.randn(config.codes, config.latent))
        self.register_buffer("counts", torch.zeros(config.codes))
        self.register_buffer("sums", torch.zeros(config.codes, config.latent))

    def nearest(self, latents: Tensor) -> Tensor:
        """Return the number of the nearest entry to each latent, shapes (n, latent) -> (n,)."""
        return torch.cdist(latents, cast("Tensor", self.entries)).argmin(dim=-1)

    @torch.no_grad()
    def follow(self, latents: Tensor, codes: Tensor, generator: torch.Generator | None) -> None:
        """Move the entries toward the latents that they stand for; shapes (n, latent) and (n,)."""
        entries, counts, sums = (cast("Tensor", part) for part in (self.entries, self.counts, self.sums))
        chosen = functional.one_hot(codes, self._config.codes).to(latents.dtype)
        counts.lerp_(processes.sum_of_all(chosen.sum(dim=0)), 1.0 - self._config.decay)
        sums.lerp_(processes.sum_of_all(chosen.T @ latents), 1.0 - self._config.decay)
        alive = counts > self._config.dead_below * counts.sum() / self._config.codes
        entries[alive] = sums[alive] / counts[alive, None]
        dead = (~alive).nonzero()[:, 0]
        if len(dead):
            drawn = torch.randint(len(latents), (len(dead),), generator=generator)
            entries[dead] = processes.tensor_of_the_first(latents[drawn])
            counts[dead] = counts.sum() / self._config.codes
            sums[dead] = entries[dead] * counts[dead, None]


class ResidualVq(nn.Module):
    """Encoder, codebooks and decoder of chunks of `size` numbers."""

    def __init__(self, size: int, config: ResidualVqConfig) -> None:
        """Make one."""
        super().__init__()
        self.config, self.size = config, size
        self.encoder = perceptron(size, config.hidden, config.hidden, config.latent)
        self.decoder = perceptron(config.latent, config.hidden, config.hidden, size)
        self.codebooks = nn.ModuleList(Codebook(config) for _ in range(config.groups))

    def codes(self, chunks: Tensor) -> Tensor:
        """Return the codes of chunks, shapes (n, size) -> (n, groups)."""
        left = self.encoder(chunks)
        found: list[Tensor] = []
        for book in self.books():
            found.append(book.nearest(left))
            left = left - cast("Tensor", book.entries)[found[-1]]
        return torch.stack(found, dim=-1)

    def centres(self, codes: Tensor) -> Tensor:
        """Return the chunks that codes stand for, shapes (n, groups) -> (n, size)."""
        entries = [cast("Tensor", book.entries)[codes[:, group]] for group, book in enumerate(self.books())]
        return self.decoder(torch.stack(entries).sum(dim=0))

    def loss(self, chunks: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, float]]:
        """Return L1 of what is written again plus the commitment, and let the codebooks follow; shape (n, size)."""
        latents = self.encoder(chunks)
        left, quantised = latents, torch.zeros_like(latents)
        for book in self.books():
            codes = book.nearest(left)
            if self.training:
                book.follow(left.detach(), codes, generator)
            entry = cast("Tensor", book.entries)[codes]
            quantised, left = quantised + entry, left - entry
        commitment = functional.mse_loss(latents, quantised)
        written = self.decoder(latents + (quantised - latents).detach())  # gradients pass by the codes
        distance = functional.l1_loss(written, chunks)
        total = distance + self.config.commitment * commitment
        return total, {"l1": distance.item(), "commitment": commitment.item()}

    def books(self) -> list[Codebook]:
        """Return the codebooks."""
        return [cast("Codebook", book) for book in self.codebooks]
