"""Trains the networks on maps that were computed once: one for each fold, on the episodes of all others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812

from reward_models.success_classifier.calibration import Calibration, calibrate
from reward_models.success_classifier.config import ModelConfig, SuccessClassifierConfig, TrainingConfig
from reward_models.success_classifier.detections import ScoredEpisode
from reward_models.success_classifier.folds import folds_of
from reward_models.success_classifier.labels import NONE, SUCCESS
from reward_models.success_classifier.model import SuccessEnsemble, SuccessNetwork
from reward_models.success_classifier.views import EpisodeMaps
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray

_BATCHES = 2
"""Key of the named random generator."""

_GRADIENT_NORM = 1.0
"""Longest gradient that is followed in full."""


@dataclass(frozen=True)
class HeldOutScores:
    """Networks, and what each of them says of the episodes that it has not learnt from.

    Attributes:
        ensemble: the networks, one for each fold.
        folds: fold of each episode: the one network that never saw it.
        scores: that network's probabilities, in the episodes' order.
    """

    ensemble: SuccessEnsemble
    folds: tuple[int, ...]
    scores: tuple[ScoredEpisode, ...]

    def calibrate(self, config: SuccessClassifierConfig, control_rate_hz: float) -> Calibration:
        """Choose the threshold on the held-out scores; see `calibration.calibrate`."""
        return calibrate(self.scores, config.detection, control_rate_hz)


def train(episodes: Sequence[EpisodeMaps], config: SuccessClassifierConfig) -> HeldOutScores:
    """Train a network for each fold; the same seed gives the same networks on the same machine.

    Raises:
        ConfigurationError: there is no frame of success, none without, or too few episodes to hold some out.
        RuntimeError: a gradient is no longer finite.
    """
    _check_labels(episodes)
    succeeded = [bool((episode.labels == SUCCESS).any()) for episode in episodes]
    folds = folds_of([e.scene for e in episodes], succeeded, config.training.folds, config.training.seed)
    members = [
        train_network(
            [e for e, f in zip(episodes, folds, strict=True) if f != fold], config.model, config.training, fold
        )
        for fold in range(config.training.folds)
    ]
    scores = tuple(
        ScoredEpisode(episode.name, probabilities(members[fold], episode), episode.labels)
        for episode, fold in zip(episodes, folds, strict=True)
    )
    return HeldOutScores(SuccessEnsemble(members).eval(), folds, scores)


def train_network(
    episodes: Sequence[EpisodeMaps], model: ModelConfig, config: TrainingConfig, number: int
) -> SuccessNetwork:
    """Return a network that has learnt from all of these episodes, in evaluation mode.

    torch's global generator is left as it was.

    Args:
        episodes: with frames of success and frames without.
        model: shape of the network.
        config: every number of the training.
        number: of the network; each draws its own weights and batches.

    Raises:
        ConfigurationError: there is no frame of success, or none without.
        RuntimeError: a gradient is no longer finite.
    """
    _check_labels(episodes)
    maps = np.concatenate([episode.maps for episode in episodes], axis=1)
    labels = np.concatenate([episode.labels for episode in episodes])
    groups = [np.flatnonzero(labels == label) for label in (SUCCESS, NONE)]
    steps = max(config.steps, math.ceil(config.passes * sum(map(len, groups)) / config.batch_size))
    sizes = (config.batch_size // 2, config.batch_size - config.batch_size // 2)
    targets = torch.cat([torch.ones(sizes[0]), torch.zeros(sizes[1])])
    rng = np.random.default_rng([config.seed, _BATCHES, number])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        _, _, cameras, channels, rows, columns = maps.shape
        network = SuccessNetwork(model, (cameras, channels, rows, columns))
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        for step in range(steps):
            drawn = np.concatenate([rng.choice(group, size) for group, size in zip(groups, sizes, strict=True)])
            views = rng.integers(len(maps), size=(len(drawn), cameras))  # each camera is shifted by itself
            batch = maps[views, drawn[:, None], np.arange(cameras)]
            loss = F.binary_cross_entropy_with_logits(network(torch.from_numpy(batch)), targets)
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * step / steps))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM, error_if_nonfinite=True)
            optimiser.step()
    return network.eval().requires_grad_(False)


def probabilities(network: SuccessNetwork | SuccessEnsemble, episode: EpisodeMaps) -> FloatArray:
    """Return what a network says of an episode's plain frames, shape (T,), 0..1."""
    with torch.inference_mode():
        return torch.sigmoid(network(torch.from_numpy(episode.maps[0])).double()).numpy()


def _check_labels(episodes: Sequence[EpisodeMaps]) -> None:
    successes, others = (sum(int((e.labels == label).sum()) for e in episodes) for label in (SUCCESS, NONE))
    if not successes:
        raise ConfigurationError(
            f"no frame of {len(episodes)} episodes shows success, so there is nothing to learn: label the episodes "
            "that succeeded, and let them go on for a moment after success"
        )
    if not others:
        raise ConfigurationError(
            f"every frame of {len(episodes)} episodes shows success, so there is nothing to tell it from: add what "
            "comes before success, and episodes that fail"
        )
