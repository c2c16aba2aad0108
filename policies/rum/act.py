"""ACT (Zhao et al. 2023): a chunk is written at once; in training a hidden style tells which of several ways it was."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from policies.rum import losses
from policies.rum.action_head import check_batch, check_window
from policies.rum.config import ActConfig, HeadShape
from policies.rum.transformer import Transformer


class Act(nn.Module):
    """An encoder that reads the true chunk, and a decoder that writes one from style and window."""

    def __init__(self, shape: HeadShape, config: ActConfig) -> None:
        """Make one."""
        super().__init__()
        self.shape, self.config = shape, config
        width = config.transformer.width
        self.summary = nn.Parameter(0.02 * torch.randn(1, 1, shape.action))
        self.encoder = Transformer(config.transformer, shape.action, shape.chunk + 1)
        self.posterior = nn.Linear(width + shape.features, 2 * config.latent)
        self.style = nn.Linear(config.latent, width)
        self.observations = nn.Linear(shape.features, width)
        self.observation_place = nn.Parameter(0.02 * torch.randn(1, shape.history, width))
        self.decoder = Transformer(config.transformer, 0, shape.chunk, memory=True)
        self.steps = nn.Linear(width, shape.action)

    def loss(
        self, window: Tensor, chunks: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `ActionHead.loss`; from the newest observation on only."""
        check_batch(self.shape, window, chunks)
        chunk = chunks[:, -1]
        read = self.encoder(torch.cat([self.summary.expand(len(chunk), -1, -1), chunk], dim=1))[:, 0]
        mean, log_variance = self.posterior(torch.cat([read, window[:, -1]], dim=-1)).chunk(2, dim=-1)
        noise = torch.randn(mean.shape, generator=generator).to(mean.device)
        said = self._write(window, mean + noise * (0.5 * log_variance).exp())
        return losses.act(said, chunk, mean, log_variance, self.config.kl)

    @torch.no_grad()
    def draw(self, window: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `ActionHead.draw`; the style is zero, nothing is drawn at random."""
        check_window(self.shape, window)
        return self._write(window, torch.zeros(len(window), self.config.latent, device=window.device))

    def _write(self, window: Tensor, style: Tensor) -> Tensor:
        observed = self.observations(window) + self.observation_place
        memory = torch.cat([observed, self.style(style)[:, None]], dim=1)
        places = memory.new_empty(len(window), self.shape.chunk, 0)
        return self.steps(self.decoder(places, memory))
