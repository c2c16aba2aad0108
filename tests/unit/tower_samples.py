"""A small twin tower with random weights, and captioned pictures of two colours that it can learn to tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from reward_models.image_text.captioned_frames import CaptionedFrames
from reward_models.image_text.tower_network import TowerNetwork, TowerShape, map_shapes
from reward_models.image_text.twin_tower import save_tower, tower_encoders

SMALL = TowerShape(("twin_trunk",), channels=16, blocks=1, queries=2, features=16, hidden=32, pixels=64)
SENTENCES = ("make it red", "the picture is red", "the picture is blue", "nothing is red")


def small_tower(folder: Path, seed: int = 0) -> Path:
    """Write a tower with random weights and return its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TowerNetwork(SMALL, map_shapes(tower_encoders(SMALL)))
    save_tower(folder, SMALL, network.state_dict(), created_by="test", card="a test's")
    return folder


def coloured(episodes: int = 12, length: int = 6, seed: int = 0) -> CaptionedFrames:
    """Return episodes that begin blue and end red; what is asked is to make it red."""
    rng = np.random.default_rng(seed)
    red = np.tile(np.arange(length) >= length // 2, episodes)
    images = rng.integers(0, 60, (episodes * length, 1, 128, 128, 3), np.uint8)
    images[red, ..., 0] += 180
    images[~red, ..., 2] += 180
    captions = np.where(red[:, None], [[1, -1]], [[2, 3]]).astype(np.int32)
    return CaptionedFrames(
        ("front",),
        ("Colour",),
        SENTENCES,
        images,
        captions,
        np.zeros(len(red), np.int32),
        np.zeros(len(red), np.int32),
        np.tile(np.linspace(0.0, 0.99, length), episodes).astype(np.float32),
        red,
        np.repeat(np.arange(episodes), length),
    )
