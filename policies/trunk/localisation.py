"""How well does a trunk see? The same small head on each trunk's features, and how far off it places a point.

A frozen trunk's features are computed once; a trunk that learns is trained along with the head, on the same images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies.bc.batches import epoch_order
from policies.bc.model import KeypointReader
from policies.bc.training import cpu_likes_bf16
from tutelage_core.encoders.image import ImageEncoder, normalise

_EVALUATION_BATCH = 64

Images = NDArray[np.uint8]
Places = NDArray[np.float32]


@dataclass(frozen=True)
class LocaliserConfig:
    """The head and its training.

    Attributes:
        seed: seeds weights and batches.
        epochs: passes over the images.
        batch_size: images in a batch.
        learning_rate: peak of AdamW's learning rate; a half cosine to 0 follows.
        weight_decay: of AdamW.
        keypoints, keypoint_features: attention maps and what is read at each.
        hidden: width of the head.
    """

    seed: int = 0
    epochs: int = 40
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    keypoints: int = 32
    keypoint_features: int = 16
    hidden: int = 256


class _Head(nn.Module):
    def __init__(self, channels: int, grid: tuple[int, int], size: int, config: LocaliserConfig) -> None:
        super().__init__()
        self.reader = KeypointReader(channels, grid, config.keypoints, config.keypoint_features, config.hidden)
        self.out = nn.Sequential(nn.Linear(config.hidden, config.hidden), nn.ReLU(), nn.Linear(config.hidden, size))

    def forward(self, features: Tensor) -> Tensor:
        return self.out(self.reader(features.float()))


def localisation_errors(
    encoder: ImageEncoder, train: tuple[Images, Places], test: tuple[Images, Places], config: LocaliserConfig
) -> NDArray[np.float64]:
    """Train the head to say where a point is, and return its distance from the truth in each test image.

    Args:
        encoder: the trunk; one that learns is changed.
        train: images, shape (n, height, width, 3), and the point's place in each, shape (n, d) [m].
        test: the same, never trained on.
        config: head and training.

    Returns:
        Shape (test images,) [m].
    """
    images, places = train
    mean, scale = places.mean(axis=0), np.maximum(places.std(axis=0), 1e-3)
    target = torch.from_numpy((places - mean) / scale)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = _Head(encoder.channels, encoder.grid, places.shape[1], config)
    stored = None if encoder.trainable else _features(encoder, images)
    learning = [*head.parameters(), *(cast("nn.Module", encoder).parameters() if encoder.trainable else ())]
    optimiser = torch.optim.AdamW(learning, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    rows, batches = np.arange(len(images)), max(1, len(images) // config.batch_size)
    total = batches * config.epochs
    for step in range(total):
        epoch, place = divmod(step, batches)
        batch = epoch_order(rows, config.seed, epoch)[place * config.batch_size : (place + 1) * config.batch_size]
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * step / total))
        if stored is None:
            with torch.autocast("cpu", torch.bfloat16, enabled=cpu_likes_bf16()):
                features = encoder(_pixels(images[batch]))
        else:
            features = stored[batch]
        loss = (head(features) - target[batch]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0, error_if_nonfinite=True)
        optimiser.step()
    with torch.no_grad():
        said = head(_features(encoder, test[0])).numpy() * scale + mean
    return np.linalg.norm(said - test[1], axis=1).astype(np.float64)


def _pixels(images: Images) -> Tensor:
    return normalise(torch.from_numpy(images).permute(0, 3, 1, 2)).contiguous(memory_format=torch.channels_last)


def _features(encoder: ImageEncoder, images: Images) -> Tensor:
    with torch.no_grad():
        parts = [
            encoder(_pixels(images[start : start + _EVALUATION_BATCH])).half()
            for start in range(0, len(images), _EVALUATION_BATCH)
        ]
    return torch.cat(parts)
