"""Models of pictures and sentences for tests: one that knows colours, and a small one of open_clip on the disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from reward_models.image_text.image_text_model import check_images, check_texts
from reward_models.image_text.open_clip_model import CONFIG, WEIGHTS
from reward_models.vlm_rm.goal_baseline import normalised
from tutelage_core.encoders.torchvision_shim import ensure_torchvision

COLOURS = ("red", "green", "blue")
SIZE = 32
SMALL = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIZE, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"size": SIZE, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3], "resize_mode": "squash"},
}


class ColourModel:
    """Implements `ImageTextModel` on three features: how red, green and blue something is."""

    name, digest, features = "colours", "colours-1", 3

    def __init__(self) -> None:
        """Count what is asked."""
        self.texts: list[str] = []

    def embed_images(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the mean colour, a little grey added."""
        check_images(images)
        means = [image.reshape(-1, 3).mean(axis=0) / 255.0 + 1e-3 for image in images]
        return normalised(np.array(means)).astype(np.float32) if means else np.zeros((0, 3), np.float32)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return which colours a sentence names; grey if none."""
        check_texts(texts)
        self.texts += texts
        named = [[float(colour in text) for colour in COLOURS] for text in texts]
        return normalised(np.array([row if any(row) else [1.0] * 3 for row in named])).astype(np.float32)


def plain(*rgb: int, side: int = SIZE) -> np.ndarray:
    """Return a picture of one colour."""
    return np.full((side, side, 3), rgb, np.uint8)


def small_open_clip(folder: Path, **changes: Any) -> Path:
    """Write a small model with random weights, as open_clip writes models, and return its folder."""
    ensure_torchvision()
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    config = {**SMALL, **changes}
    (folder / CONFIG).write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(
            embed_dim=16,
            vision_cfg=SMALL["model_cfg"]["vision_cfg"],
            text_cfg=SMALL["model_cfg"]["text_cfg"],
        )
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS[0])
    return folder
