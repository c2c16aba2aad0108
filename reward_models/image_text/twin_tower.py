"""The project's own model of images and text: a small head on frozen trunks, trained on the twin's pictures.

On disk, a sealed folder without pickle::

    tower.safetensors   weights of the head, half precision
    tower.json          `TowerSpec`: its shape, and which trunks and sentence encoder it learnt with
    card.md             where it is from: script, seed, data, score, limits
    manifest.json       schema version, author, SHA-256 and size of each file
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from reward_models.image_text.image_text_model import Embeddings, check_images, check_texts
from reward_models.image_text.tower_maps import as_tensor, maps_of
from reward_models.image_text.tower_network import TowerNetwork, TowerShape, map_shapes
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder, frozen_digest, shipped_trunks
from tutelage_core.encoders.sentence import SentenceEncoder, sentence_encoder
from tutelage_core.encoders.weights import weight_faults
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.sealed_folder import parse_json_object, read_sealed, seal_of, write_sealed
from tutelage_core.types import ImageArray

KIND = "twin tower"
WEIGHTS, SPEC, CARD = "tower.safetensors", "tower.json", "card.md"
SHIPPED = "twin_tower"
"""Name of the trained one that comes with the project."""

_AT_ONCE = 32
_LISTED = 8


@dataclass(frozen=True)
class TowerSpec:
    """What a stored head needs.

    Attributes:
        shape: of the network.
        encoders: SHA-256 of each trunk's weights, empty for those that a version pins.
        sentences: SHA-256 of the sentence encoder.
        done: what was asked counts as done from this cosine on, the mean over all cameras; NaN where that is not known.
    """

    shape: TowerShape
    encoders: tuple[str, ...]
    sentences: str
    done: float = math.nan


class TwinTower:
    """Implements `ImageTextModel`."""

    def __init__(self, spec: TowerSpec, weights: Mapping[str, Tensor], digest: str = "") -> None:
        """Build the head with these weights, and the encoders that it reads.

        Args:
            spec: what it needs.
            weights: by name.
            digest: what stands for the whole model.

        Raises:
            ConfigurationError: an encoder is another one than the head learnt with, or the weights do not fit.
        """
        self.spec, self._digest = spec, digest
        self._encoders = tower_encoders(spec.shape)
        self._sentences: SentenceEncoder = sentence_encoder()
        found = {name: frozen_digest(encoder) for name, encoder in self._encoders.items()}
        found["sentences"] = self._sentences.sha256
        for (name, have), want in zip(found.items(), (*spec.encoders, spec.sentences), strict=True):
            if have != want:
                raise ConfigurationError(
                    f"twin tower: '{name}' has SHA-256 {have[:12] or 'none'}..., the head learnt with "
                    f"{want[:12] or 'none'}...; bring that one back, or train again"
                )
        with torch.random.fork_rng(devices=[]):
            self._network = TowerNetwork(spec.shape, map_shapes(self._encoders))
        faults = weight_faults(self._network.state_dict(), weights)
        if faults:
            raise ConfigurationError("twin tower: weights do not fit: " + "; ".join(faults[:_LISTED]))
        self._network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        self._network.eval().requires_grad_(False)

    @property
    def name(self) -> str:
        """What it is, for people."""
        return KIND

    @property
    def digest(self) -> str:
        """Hash of its weights and of how pictures are prepared."""
        return self._digest

    @property
    def features(self) -> int:
        """Size of an embedding."""
        return self.spec.shape.features

    def embed_images(self, images: Sequence[ImageArray]) -> Embeddings:
        """Return the embedding of each picture, shape (n, features), of length 1; see `ImageTextModel`.

        A picture of another size is brought to the one that the head learnt with; its sides are not kept in ratio.
        """
        check_images(images)
        shape = self.spec.shape
        sized = [_resized(image, shape.height, shape.width) for image in images]
        parts: list[Tensor] = []
        with torch.inference_mode():
            for start in range(0, len(sized), _AT_ONCE):
                pixels = np.stack(sized[start : start + _AT_ONCE])
                maps = [maps_of(encoder, pixels) for encoder in self._encoders.values()]
                parts.append(self._network.see(maps, as_tensor(pixels)))
        return torch.cat(parts).numpy() if parts else np.empty((0, self.features), np.float32)

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return the embedding of each sentence, shape (n, features), of length 1; see `ImageTextModel`."""
        check_texts(texts)
        with torch.inference_mode():
            return self._network.read(self._sentences(list(texts))).numpy()

    @classmethod
    def load(cls, folder: Path) -> TwinTower:
        """Read and verify a tower's folder.

        Raises:
            CheckpointError: it is missing, damaged or no twin tower, or its encoders are others than it learnt with.
        """
        files = read_sealed(folder, kind=KIND, required=(WEIGHTS, SPEC))
        try:
            stored = load_safetensors(files[WEIGHTS])
        except Exception as error:  # safetensors raises its own Rust-made types
            raise CheckpointError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
        try:
            spec = from_mapping(parse_json_object(files[SPEC], folder / SPEC), TowerSpec, SPEC)
            return cls(spec, stored, seal_of(folder))
        except ConfigurationError as error:
            raise CheckpointError(f"{folder}: {error}") from error


def save_tower(
    folder: Path,
    shape: TowerShape,
    weights: Mapping[str, Tensor],
    *,
    created_by: str,
    card: str,
    done: float = math.nan,
) -> None:
    """Write a tower's folder, atomically, in half precision; an older one of the same name is replaced.

    Raises:
        CheckpointError: a weight is not finite in half precision.
    """
    halves: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        halves[name] = tensor.detach().to("cpu", torch.float16).clone(memory_format=torch.contiguous_format)
        if not bool(torch.isfinite(halves[name]).all()):
            raise CheckpointError(f"{folder}: not saved: tensor '{name}' is not finite in half precision")
    digests = tuple(frozen_digest(encoder) for encoder in tower_encoders(shape).values())
    spec = TowerSpec(shape, digests, sentence_encoder().sha256, done)
    files = {
        WEIGHTS: save_safetensors(halves),
        SPEC: json.dumps(to_mapping(spec), indent=2).encode(),
        CARD: card.encode(),
    }
    write_sealed(folder, files, kind=KIND, created_by=created_by)


def tower_encoders(shape: TowerShape) -> dict[str, ImageEncoder]:
    """Return the frozen image encoders of a tower, by name.

    Raises:
        UnknownNameError: there is no such encoder.
        ConfigurationError: one learns, and would not be the same again.
    """
    encoders = {name: build_image_encoder(name, shape.height, shape.width) for name in shape.encoders}
    for name, encoder in encoders.items():
        if encoder.trainable:
            raise ConfigurationError(f"twin tower: encoder '{name}' is not trained; take lite0 or a trunk")
        cast("nn.Module", encoder).eval()
    return encoders


def shipped_tower() -> Path:
    """Return the folder of the trained tower that comes with the project."""
    return next(iter(shipped_trunks().values())).parent / SHIPPED


def _resized(image: ImageArray, height: int, width: int) -> ImageArray:
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    sized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(sized, np.uint8)
