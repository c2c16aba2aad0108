"""A tiny world for the tests of behaviour cloning: a bright square in each image says which way to step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policies.bc.config import BcConfig, BcModelConfig
from policies.training_run import Demonstrated
from tutelage_core.episodes.windows import window_indices

SIDE = 32
"""Width and height of the images [px]."""
CAMERAS = ("front", "wrist")
DEMONSTRATED = Demonstrated("tcp_step", 10.0, ("reach",))
SMALL = BcModelConfig(
    history=1, chunk=4, keypoints=4, keypoint_features=4, camera_features=16, state_features=8, hidden=32
)
QUICK = BcConfig(
    model=SMALL,
    epochs=4,
    batch_size=16,
    warmup_steps=5,
    learning_rate=3e-3,
    shift_px=1,
    log_every=2,
    validation_fraction=0.25,
    bf16=False,
)


@dataclass(frozen=True)
class SampleFrames:
    """Fields of `policies.bc.batches.Frames`."""

    images: dict[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    steps: NDArray[np.float32]
    episode_of: NDArray[np.int64]
    history_index: NDArray[np.int64]
    chunk_index: NDArray[np.int64]
    chunk_is_padding: NDArray[np.bool_]
    episode_names: tuple[str, ...]


def sample_frames(episodes: int = 4, length: int = 24, history: int = 1, chunk: int = 4, seed: int = 0) -> SampleFrames:
    """Return episodes with the square at rest: dx and dy [m] are where it stands, the gripper closes half-way."""
    rng = np.random.default_rng(seed)
    count = episodes * length
    places = rng.integers(2, SIDE - 10, (episodes, 2)).repeat(length, axis=0)
    images = {name: rng.integers(0, 60, (count, SIDE, SIDE, 3), dtype=np.uint8) for name in CAMERAS}
    for store in images.values():
        for image, (row, column) in zip(store, places, strict=True):
            image[row : row + 8, column : column + 8] = (220, 40, 40)
    steps = np.zeros((count, 7), np.float32)
    steps[:, :2] = (places[:, ::-1] - SIDE / 2) / SIDE * 0.03
    steps[:, 6] = np.tile(np.arange(length) < length // 2, episodes)
    state = np.zeros((count, SMALL.state_size), np.float32)
    state[:, :3] = np.tile(np.linspace((0.3, 0.0, 0.3), (0.4, 0.1, 0.2), length), (episodes, 1))
    state[:, 3:9] = (1, 0, 0, 0, -1, 0)
    state[:, 9] = steps[:, 6]
    history_index, chunk_index, padding, episode_of = window_indices([length] * episodes, history, chunk)
    names = tuple(f"episode-{number}" for number in range(episodes))
    return SampleFrames(images, state, steps, episode_of, history_index, chunk_index, padding, names)


def with_history(config: BcConfig, history: int) -> BcConfig:
    """Return the configuration with another history."""
    return replace(config, model=replace(config.model, history=history))
