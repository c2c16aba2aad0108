"""The success classifier: from the cameras' images to the probability that the task is done.

On disk it is a sealed folder. No pickle::

    classifier.safetensors   weights of the networks; the frozen trunk stays in its own folder
    classifier.json          `SuccessSpec`
    card.md                  script, seed, data, score
    manifest.json            schema version, author, SHA-256 and size of each file
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from reward_models.success_classifier.config import ModelConfig
from reward_models.success_classifier.detector import DetectionRule, SuccessDetector
from reward_models.success_classifier.model import (
    SuccessEnsemble,
    SuccessNetwork,
    frozen_trunk,
    map_shape,
    pooled_maps,
)
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import CameraNeed, RobotContract, camera_differences
from tutelage_core.encoders.image import ImageEncoder, frozen_digest
from tutelage_core.encoders.weights import weight_faults
from tutelage_core.episodes.feature_cache import weights_sha256
from tutelage_core.errors import CheckpointError, ConfigurationError, ContractMismatchError
from tutelage_core.sealed_folder import parse_json_object, read_sealed, write_sealed
from tutelage_core.types import FloatArray, ImageArray

KIND = "success classifier"
WEIGHTS = "classifier.safetensors"
SPEC = "classifier.json"
CARD = "card.md"

_LISTED = 8
"""Faults that an error lists."""


@dataclass(frozen=True)
class SuccessSpec:
    """What the classifier needs, and how its probabilities become a verdict.

    Attributes:
        tasks: tasks that it was trained on.
        cameras: camera name to image size; the order is that of the maps.
        control_rate_hz: rate of the frames that its rule counts [Hz].
        model: shape of its networks.
        encoder_sha256: digest of the trunk's weights.
        members: how many networks.
        rule: when a row of frames is a success.
    """

    tasks: tuple[str, ...]
    cameras: Mapping[str, CameraNeed]
    control_rate_hz: float
    model: ModelConfig
    encoder_sha256: str
    members: int
    rule: DetectionRule

    def __post_init__(self) -> None:
        """Refuse a classifier without networks."""
        if self.members < 1:
            raise ConfigurationError(f"SuccessSpec: members must be at least 1, got {self.members}")


class SuccessClassifier:
    """Tells from one image of each camera how likely the task is done."""

    def __init__(self, spec: SuccessSpec, weights: Mapping[str, Tensor]) -> None:
        """Build the networks with these weights, and the trunk that they look through.

        torch's global generator is left as it was.

        Raises:
            ConfigurationError: the trunk is another one than the networks learnt with, or a weight is missing, unknown,
                of another shape or not finite.
        """
        self.spec = spec
        self._trunk = frozen_trunk(spec.model, spec.cameras)
        digest = trunk_digest(self._trunk)
        if digest != spec.encoder_sha256:
            raise ConfigurationError(
                f"success classifier: encoder '{self._trunk.name}' has SHA-256 {digest[:12]}..., the networks learnt "
                f"with {spec.encoder_sha256[:12] or 'none'}...; bring that trunk back, or train again"
            )
        shape = map_shape(spec.model, spec.cameras, self._trunk)
        with torch.random.fork_rng(devices=[]):
            self._ensemble = SuccessEnsemble(SuccessNetwork(spec.model, shape) for _ in range(spec.members))
        faults = weight_faults(self._ensemble.state_dict(), weights)
        if faults:
            raise ConfigurationError("success classifier: weights do not fit the spec: " + "; ".join(faults[:_LISTED]))
        self._ensemble.load_state_dict(weights)
        self._ensemble.eval().requires_grad_(False)

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of each camera's maps."""
        return map_shape(self.spec.model, self.spec.cameras, self._trunk)[1:]

    def detector(self) -> SuccessDetector:
        """Return a detector of the classifier's own rule."""
        return SuccessDetector(self.spec.rule)

    def probability(self, images: Mapping[str, ImageArray]) -> float:
        """Return how likely the task is done in one moment, 0..1.

        Args:
            images: camera name to RGB pixels, shape (height, width, 3), uint8; further cameras are not looked at.

        Raises:
            ValueError: a camera is missing, or an image has another shape or type than the spec's.
        """
        return float(self.probabilities({name: image[None] for name, image in images.items()})[0])

    def probabilities(self, images: Mapping[str, ImageArray]) -> FloatArray:
        """Return how likely the task is done in each of n moments, shape (n,), 0..1.

        Args:
            images: camera name to RGB pixels, shape (n, height, width, 3), uint8.

        Raises:
            ValueError: see `probability`.
        """
        pixels = [_checked(images, name, need) for name, need in self.spec.cameras.items()]
        if len({len(p) for p in pixels}) > 1:
            raise ValueError(f"the cameras have {[len(p) for p in pixels]} images; each needs one for each moment")
        together = torch.from_numpy(np.concatenate(pixels)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            maps = pooled_maps(self._trunk, together, self.spec.model.grid)
        return self.probabilities_of_maps(dict(zip(self.spec.cameras, maps.split(len(pixels[0])), strict=True)))

    def probabilities_of_maps(self, maps: Mapping[str, Tensor]) -> FloatArray:
        """Return the same from maps that somebody has computed with the same trunk; it saves the trunk's time.

        Args:
            maps: camera name to maps, shape (n, *map_shape), in half precision, averaged from the trunk's.

        Raises:
            ValueError: a camera is missing, or its maps have another shape.
        """
        shapes = {name: tuple(maps[name].shape[1:]) for name in self.spec.cameras if name in maps}
        wrong = [name for name in self.spec.cameras if shapes.get(name) != self.map_shape]
        if wrong:
            raise ValueError(
                f"camera '{wrong[0]}': needs maps of shape (n, {', '.join(map(str, self.map_shape))}), got "
                f"{tuple(maps[wrong[0]].shape) if wrong[0] in maps else 'none'}"
            )
        with torch.inference_mode():
            logits = self._ensemble(torch.stack([maps[name] for name in self.spec.cameras], dim=1))
            return torch.sigmoid(logits.double()).numpy()

    def save(self, folder: Path, *, created_by: str, card: str) -> None:
        """Write the classifier's folder, atomically; an older one of the same name is replaced."""
        tensors = {
            name: t.clone(memory_format=torch.contiguous_format) for name, t in self._ensemble.state_dict().items()
        }
        files = {
            WEIGHTS: save_safetensors(tensors),
            SPEC: json.dumps(to_mapping(self.spec), indent=2).encode(),
            CARD: card.encode(),
        }
        write_sealed(folder, files, kind=KIND, created_by=created_by)

    @classmethod
    def load(cls, folder: Path) -> SuccessClassifier:
        """Read and verify a classifier's folder.

        Raises:
            CheckpointError: it is missing, damaged or no success classifier, its weights do not fit or are not finite,
                or the trunk is another one than it learnt with; names the file and the reason.
        """
        files = read_sealed(folder, kind=KIND, required=(WEIGHTS, SPEC))
        try:
            stored = load_safetensors(files[WEIGHTS])
        except Exception as error:  # safetensors raises its own Rust-made types
            raise CheckpointError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
        try:
            return cls(from_mapping(parse_json_object(files[SPEC], folder / SPEC), SuccessSpec, SPEC), stored)
        except ConfigurationError as error:
            raise CheckpointError(f"{folder}: {error}") from error

    def check_fits(self, contract: RobotContract) -> None:
        """Refuse a robot whose cameras or control rate are others than the classifier needs.

        Raises:
            ContractMismatchError: names both sides and every difference.
        """
        differences = camera_differences(self.spec.cameras, contract)
        if not abs(self.spec.control_rate_hz - contract.control_rate_hz) <= 1e-6:  # so written that NaN differs
            differences.append(
                f"control rate: counts frames at {self.spec.control_rate_hz:g} Hz, robot gives "
                f"{contract.control_rate_hz:g} Hz"
            )
        if differences:
            raise ContractMismatchError(KIND, f"robot '{contract.name}'", differences)


def trunk_digest(trunk: ImageEncoder) -> str:
    """Return the SHA-256 that stands for a trunk's weights; of a built-in one it is that of the weights themselves."""
    return frozen_digest(trunk) or weights_sha256(cast("nn.Module", trunk))


def _checked(images: Mapping[str, ImageArray], name: str, need: CameraNeed) -> ImageArray:
    image = images.get(name)
    if image is None:
        raise ValueError(f"camera '{name}' is missing; there is {', '.join(sorted(images)) or 'none'}")
    if image.shape[1:] != (need.height, need.width, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"camera '{name}': image of shape {image.shape[1:]} {image.dtype}, the classifier needs "
            f"{(need.height, need.width, 3)} uint8"
        )
    return image
