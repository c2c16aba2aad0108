"""Diffusion Policy (Chi et al. 2023), the transformer variant: a chunk is cleaned of noise step by step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from policies.rum import losses
from policies.rum.action_head import check_batch, check_window
from policies.rum.config import DiffusionConfig, HeadShape
from policies.rum.transformer import Transformer, perceptron

WORST_BETA = 0.999


def cosine_alphas(steps: int) -> Tensor:
    """Return the share of the signal that is left at each noise level, shape (steps,).

    The cosine schedule (Nichol and Dhariwal 2021, equation 17).
    """

    def level(part: float) -> float:
        return math.cos((part + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1.0 - level((k + 1) / steps) / level(k / steps), WORST_BETA) for k in range(steps)]
    return torch.cumprod(1.0 - torch.tensor(betas, dtype=torch.float64), dim=0).float()


class Diffusion(nn.Module):
    """The noisy steps of a chunk look at each other and at the window, and tell the noise in them."""

    def __init__(self, shape: HeadShape, config: DiffusionConfig) -> None:
        """Make one."""
        super().__init__()
        self.shape, self.config = shape, config
        width = config.transformer.width
        self.observations = nn.Linear(shape.features, width)
        self.observation_place = nn.Parameter(0.02 * torch.randn(1, shape.history, width))
        self.level = perceptron(width, width, width)
        self.transformer = Transformer(config.transformer, shape.action, shape.chunk, memory=True)
        self.noise = nn.Linear(width, shape.action)
        self.register_buffer("alphas", cosine_alphas(config.steps), persistent=False)

    def loss(
        self, window: Tensor, chunks: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """See `ActionHead.loss`; from the newest observation on only."""
        check_batch(self.shape, window, chunks)
        chunk = chunks[:, -1]
        levels = torch.randint(self.config.steps, (len(chunk),), generator=generator).to(chunk.device)
        noise = torch.randn(chunk.shape, generator=generator).to(chunk.device)
        alpha = self._alphas()[levels][:, None, None]
        said = self._noise_in(alpha.sqrt() * chunk + (1.0 - alpha).sqrt() * noise, levels, window)
        total = losses.noise_prediction(said, noise)
        return total, {"noise_mse": total.item()}

    @torch.no_grad()
    def draw(self, window: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `ActionHead.draw`. DDIM (Song et al. 2021, eq. 12 with eta 0): the noise it begins with decides all."""
        check_window(self.shape, window)
        chunk = torch.randn((len(window), self.shape.chunk, self.shape.action), generator=generator).to(window.device)
        alphas = self._alphas()
        visited = torch.linspace(self.config.steps - 1, 0, self.config.sample_steps).round().long().to(window.device)
        for number, level in enumerate(visited):
            alpha = alphas[level]
            said = self._noise_in(chunk, level.expand(len(window)), window)
            clean = (chunk - (1.0 - alpha).sqrt() * said) / alpha.sqrt()
            clean = clean.clamp(-self.config.clip, self.config.clip)
            if number + 1 == len(visited):
                return clean
            said = (chunk - alpha.sqrt() * clean) / (1.0 - alpha).sqrt()  # what the clipped chunk leaves
            after = alphas[visited[number + 1]]
            chunk = after.sqrt() * clean + (1.0 - after).sqrt() * said
        return chunk

    def _noise_in(self, chunk: Tensor, levels: Tensor, window: Tensor) -> Tensor:
        observed = self.observations(window) + self.observation_place
        level = self.level(_waves(levels, observed.shape[-1]))
        return self.noise(self.transformer(chunk, torch.cat([observed, level[:, None]], dim=1)))

    def _alphas(self) -> Tensor:
        alphas = self.alphas
        assert isinstance(alphas, Tensor)
        return alphas


def _waves(levels: Tensor, width: int) -> Tensor:
    """Return noise levels (n,) as sines and cosines (n, width)."""
    half = (width + 1) // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=levels.device) / half)
    angles = levels.float()[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)[:, :width]
