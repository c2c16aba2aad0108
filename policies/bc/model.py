"""The network of behaviour cloning: one trunk per camera, keypoints, state, and one head for the whole chunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from policies.bc.config import BcModelConfig
from policies.keypoint_reader import KeypointReader
from policies.weights import copy_weights
from tutelage_core.contract import CameraNeed
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder, frozen_digest
from tutelage_core.errors import ConfigurationError

MOTION_SIZE = 6
"""Numbers of a step without the gripper: dx dy dz, rx ry rz."""

_FROZEN_PREFIX = "encoders."


class Prediction(NamedTuple):
    """What the network says, in its own units.

    Attributes:
        motion: normalised translations and rotations, shape (batch, chunk, 6).
        gripper_logit: log-odds that the gripper is open, shape (batch, chunk).
        keyframe: scaled pose difference to the next keyframe, shape (batch, 6).
    """

    motion: Tensor
    gripper_logit: Tensor
    keyframe: Tensor


def _channels_last(module: nn.Module) -> None:
    """Store convolution weights channels last: the layout in which CPUs convolve fastest."""
    for convolution in module.modules():
        if isinstance(convolution, nn.Conv2d):
            convolution.weight.data = convolution.weight.data.contiguous(memory_format=torch.channels_last)


class BcNetwork(nn.Module):
    """Images and state of a window to a chunk of steps."""

    def __init__(self, config: BcModelConfig, cameras: Mapping[str, CameraNeed]) -> None:
        """Build it with random weights, drawn from torch's global generator.

        Args:
            config: shape of the network.
            cameras: camera name to image size; the order is the order of the embeddings.

        Raises:
            ConfigurationError: there is no camera, a camera's name holds a dot, or the encoder refuses its size.
        """
        super().__init__()
        if not cameras:
            raise ConfigurationError("behaviour cloning needs at least one camera")
        for name in cameras:
            if not name or "." in name:
                raise ConfigurationError(f"camera '{name}': names must not be empty or hold a dot")
        self.cameras = dict(cameras)
        encoders: dict[str, ImageEncoder] = {}
        frozen: dict[CameraNeed, ImageEncoder] = {}
        for name, size in cameras.items():
            encoder = frozen.get(size) or build_image_encoder(config.encoder, size.height, size.width)
            encoders[name] = encoder
            if not encoder.trainable:
                frozen[size] = encoder
        self.trunks_learn = not frozen
        self.config = _pinned(config, encoders[next(iter(cameras))])
        self.encoders = nn.ModuleDict({name: cast("nn.Module", encoder) for name, encoder in encoders.items()})
        self.readers = nn.ModuleDict(
            {
                name: KeypointReader(
                    e.channels, e.grid, config.keypoints, config.keypoint_features, config.camera_features
                )
                for name, e in encoders.items()
            }
        )
        self.state = nn.Sequential(
            nn.Linear(config.history * config.state_size, config.state_features),
            nn.LayerNorm(config.state_features),
            nn.ReLU(),
        )
        width = config.history * config.camera_features * len(cameras) + config.state_features
        layers: list[nn.Module] = []
        for _ in range(config.layers):
            layers += [nn.Linear(width, config.hidden), nn.LayerNorm(config.hidden), nn.ReLU()]
            width = config.hidden
        self.fused = nn.Sequential(*layers)
        self.keyframe = nn.Linear(width, MOTION_SIZE)
        self.act = nn.Sequential(
            nn.Linear(width + MOTION_SIZE, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.chunk * (MOTION_SIZE + 1)),
        )
        for encoder in self.encoders.values():
            _channels_last(encoder)

    def encode(self, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return each camera's feature map.

        Args:
            images: camera name to RGB, shape (n, 3, height, width), uint8 or floats in [-1, 1].

        Returns:
            Camera name to features, shape (n, channels, rows, columns).
        """
        return {name: self.encoders[name](images[name]) for name in self.cameras}

    def decode(self, features: Mapping[str, Tensor], state: Tensor) -> Prediction:
        """Predict from feature maps.

        Args:
            features: camera name to features, shape (batch * history, channels, rows, columns), the window's
                observations oldest first.
            state: normalised state, shape (batch, history, state_size).
        """
        batch = state.shape[0]
        seen = [self.readers[name](features[name].float()).reshape(batch, -1) for name in self.cameras]
        fused = self.fused(torch.cat([*seen, self.state(state.flatten(1))], dim=1))
        keyframe = self.keyframe(fused)
        steps = self.act(torch.cat([fused, keyframe], dim=1)).unflatten(1, (self.config.chunk, MOTION_SIZE + 1))
        return Prediction(steps[..., :MOTION_SIZE], steps[..., MOTION_SIZE], keyframe)

    def forward(self, images: Mapping[str, Tensor], state: Tensor) -> Prediction:
        """Predict from images; see `encode` and `decode`."""
        return self.decode(self.encode(images), state)

    def learned_state(self) -> dict[str, Tensor]:
        """Return what a checkpoint stores: everything but frozen encoders."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if self.trunks_learn or not name.startswith(_FROZEN_PREFIX)
        }

    def load_learned_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors of exactly the names and shapes of `learned_state` into the network.

        Raises:
            ConfigurationError: a name is missing or unknown, or a shape differs; each is listed.
        """
        copy_weights(self.learned_state(), tensors)


def _pinned(config: BcModelConfig, encoder: ImageEncoder) -> BcModelConfig:
    """Return the configuration with the digest of the trunk's weights, after comparing it with one that it has.

    Raises:
        ConfigurationError: it names the digest of other weights.
    """
    digest = frozen_digest(encoder)
    if config.encoder_sha256 not in ("", digest):
        raise ConfigurationError(
            f"image encoder '{config.encoder}': its weights have SHA-256 {digest[:12] or 'none'}..., the network was "
            f"trained with {config.encoder_sha256[:12]}...; bring that trunk back, or train again"
        )
    return replace(config, encoder_sha256=digest)
