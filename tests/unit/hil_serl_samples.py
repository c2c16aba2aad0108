"""Small networks and random transitions for the tests of HIL-SERL."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from policies.hil_serl.batch import Batch, ObservationShape
from policies.hil_serl.config import (
    ActorConfig,
    CriticConfig,
    EncoderConfig,
    HilSerlConfig,
    LearnerConfig,
    ModelConfig,
)

CAMERAS = ("front", "wrist")
CHANNELS, GRID, STATE, BATCH = 6, (4, 4), 5, 12
SHAPE = ObservationShape(dict.fromkeys(CAMERAS, (CHANNELS, *GRID)), STATE)
PIXELS = ObservationShape(dict.fromkeys(CAMERAS, (32, 32, 3)), STATE)

SMALL = HilSerlConfig(
    model=ModelConfig(
        encoder=EncoderConfig(grid=GRID, embeddings=3, camera_features=16, state_features=8),
        actor=ActorConfig(hidden=(16, 16)),
        critic=CriticConfig(hidden=(16, 16)),
    ),
    learner=LearnerConfig(batch_size=BATCH),
)


def small(**learner: Any) -> HilSerlConfig:
    """Return the small configuration with other settings of the learner."""
    return replace(SMALL, learner=replace(SMALL.learner, **learner))


def with_model(config: HilSerlConfig, **model: Any) -> HilSerlConfig:
    """Return the configuration with other settings of the networks."""
    return replace(config, model=replace(config.model, **model))


def with_encoder(config: HilSerlConfig, **encoder: Any) -> HilSerlConfig:
    """Return the configuration with other settings of the encoder."""
    return with_model(config, encoder=replace(config.model.encoder, **encoder))


def arrays(seed: int = 0, shape: ObservationShape = SHAPE, batch: int = BATCH, actions: int = 6) -> dict[str, Any]:
    """Return the arguments of `Batch.from_arrays` for random transitions."""
    rng = np.random.default_rng(seed)

    def pictures() -> dict[str, np.ndarray]:
        if next(iter(shape.images.values()), (0,))[-1] == 3:
            return {n: rng.integers(0, 256, (batch, *s), np.uint8) for n, s in shape.images.items()}
        return {n: rng.normal(size=(batch, *s)).astype(np.float16) for n, s in shape.images.items()}

    return {
        "images": pictures(),
        "next_images": pictures(),
        "state": rng.normal(size=(batch, shape.state)).astype(np.float32),
        "next_state": rng.normal(size=(batch, shape.state)).astype(np.float32),
        "action": rng.uniform(-1, 1, (batch, actions)).astype(np.float32),
        "gripper": rng.integers(0, 3, batch).astype(np.int8),
        "reward": rng.integers(0, 2, batch).astype(np.float32),
        "grasp_penalty": np.where(rng.random(batch) < 0.3, -0.02, 0.0).astype(np.float32),
        "mask": (rng.random(batch) < 0.8).astype(np.float32),
    }


def batches(count: int, first: int = 0, **of: Any) -> list[Batch]:
    """Return `count` random batches, other ones for each number."""
    return [Batch.from_arrays(**arrays(first + i, **of)) for i in range(count)]
