"""The losses of the four policy classes, in the papers' order and symbols. Sums over steps, means over the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from policies.rum.config import VqBetConfig


def focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Return the focal loss (Lin et al. 2017, arXiv 1708.02002): -(1 - p)^gamma log p, p of the right code.

    Args:
        logits: shape (n, codes).
        target: numbers of the right codes, shape (n,).
        gamma: 0 is the cross entropy.
    """
    log_p = functional.log_softmax(logits, dim=-1).gather(-1, target[:, None])[:, 0]
    return (-((1.0 - log_p.exp()) ** gamma) * log_p).mean()


@dataclass(frozen=True)
class VqBetOutput:
    """What VQ-BeT's heads say of n chunks.

    Attributes:
        primary: logits of the first codebook, shape (n, codes).
        secondary: logits of the second one, given a primary code, shape (n, codes).
        chunk: centre of some codes plus their offset, shape (n, size).
    """

    primary: Tensor
    secondary: Tensor
    chunk: Tensor


def vq_bet(said: VqBetOutput, codes: Tensor, chunk: Tensor, config: VqBetConfig) -> tuple[Tensor, dict[str, float]]:
    """Return VQ-BeT's loss (RUM, `vqbet_loss`): focal code losses, and L1 of the offset.

    Args:
        said: of the network.
        codes: of the quantiser for the true chunks, shape (n, 2).
        chunk: true chunks, shape (n, size).
        config: weights.
    """
    primary = focal(said.primary, codes[:, 0], config.focal_gamma)
    secondary = focal(said.secondary, codes[:, 1], config.focal_gamma)
    offset = functional.l1_loss(said.chunk, chunk)
    total = config.primary * primary + config.secondary * secondary + config.offset * offset
    right = (said.primary.argmax(dim=-1) == codes[:, 0]).float().mean()
    return total, {
        "primary": primary.item(),
        "secondary": secondary.item(),
        "offset_l1": offset.item(),
        "primary_right": right.item(),
    }


def noise_prediction(said: Tensor, noise: Tensor) -> Tensor:
    """Return the simple loss of DDPM (Ho et al. 2020, eq. 14): mean square error of the predicted noise."""
    return functional.mse_loss(said, noise)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, 1)), summed over the latent, mean over the batch; shapes (n, latent)."""
    return (-0.5 * (1.0 + log_variance - mean**2 - log_variance.exp())).sum(dim=-1).mean()


def act(said: Tensor, chunk: Tensor, mean: Tensor, log_variance: Tensor, kl: float) -> tuple[Tensor, dict[str, float]]:
    """Return ACT's loss: L1 of the chunk and `kl` times the divergence of the style."""
    distance = functional.l1_loss(said, chunk)
    divergence = gaussian_kl(mean, log_variance)
    return distance + kl * divergence, {"l1": distance.item(), "kl": divergence.item()}


def cloning(said: Tensor, chunk: Tensor) -> Tensor:
    """Return the L1 distance: its minimum lies at the median, between two ways of doing it."""
    return torch.abs(said - chunk).mean()
