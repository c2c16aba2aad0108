"""The network of RUM's policies: one frozen or trainable trunk, keypoints, and one of four heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

from policies.keypoint_reader import KeypointReader
from policies.rum.act import Act
from policies.rum.action_head import ActionHead
from policies.rum.config import ActConfig, DiffusionConfig, HeadShape, MlpConfig, VqBetConfig
from policies.rum.diffusion import Diffusion
from policies.rum.mlp import Mlp
from policies.rum.vq_bet import VqBet
from policies.weights import copy_weights
from tutelage_core.contract import STATE_KEYS, CameraNeed
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder, check_image_encoder, frozen_digest
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import STEP_SIZE

HEADS = ("vq_bet", "diffusion", "act", "mlp")
ACTIONS = ("relative", "base")
"""Axes of the steps that a head tells: those of the hand that takes them, or the robot's base."""

GRIPPER_OUTPUTS = ("binary", "value")
FROZEN_PREFIX = "encoders."


@dataclass(frozen=True)
class RumModelConfig:
    """Shape of the network; stored in the checkpoint.

    Attributes:
        head: one of `HEADS`.
        encoder: image encoder, as for behaviour cloning.
        encoder_sha256: digest of a frozen trunk's weights; training fills it in.
        state_keys: state that the network is given; RUM gives it none.
        history: observations in the window, the newest last; RUM has 6, its successor 3.
        chunk: steps that are predicted.
        replan_every: steps that are executed before the policy is asked again.
        actions: one of `ACTIONS`.
        gripper_output: `binary`: open or closed, whichever is nearer; `value`: the opening itself.
        keypoints: attention maps of each camera.
        keypoint_features: features that are read at each of them.
        features: size of one observation's embedding.
        vq_bet, diffusion, act, mlp: settings of the heads; only that of `head` counts.
    """

    head: str = "vq_bet"
    encoder: str = "twin_trunk"
    encoder_sha256: str = ""
    state_keys: tuple[str, ...] = ()
    history: int = 3
    chunk: int = 8
    replan_every: int = 4
    actions: str = "relative"
    gripper_output: str = "binary"
    keypoints: int = 32
    keypoint_features: int = 16
    features: int = 128
    vq_bet: VqBetConfig = field(default_factory=VqBetConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    act: ActConfig = field(default_factory=ActConfig)
    mlp: MlpConfig = field(default_factory=MlpConfig)

    def __post_init__(self) -> None:
        """Refuse unknown names and sizes below one."""
        check_image_encoder(self.encoder, "RumModelConfig")
        for name, legal in (("head", HEADS), ("actions", ACTIONS), ("gripper_output", GRIPPER_OUTPUTS)):
            if getattr(self, name) not in legal:
                raise UnknownNameError(name, getattr(self, name), legal, "RumModelConfig")
        for key in self.state_keys:
            if key not in STATE_KEYS:
                raise UnknownNameError("state key", key, STATE_KEYS, "RumModelConfig")
        if len(set(self.state_keys)) != len(self.state_keys):
            raise ConfigurationError(f"RumModelConfig: state_keys must be distinct, got {self.state_keys}")
        for name in ("history", "chunk", "replan_every", "keypoints", "keypoint_features", "features"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"RumModelConfig: {name} must be at least 1, got {getattr(self, name)}")
        if self.replan_every > self.chunk:
            raise ConfigurationError(
                f"RumModelConfig: replan_every must be {self.chunk} at most, as chunk, got {self.replan_every}"
            )

    @property
    def state_size(self) -> int:
        """Numbers of the state that the network is given."""
        return sum(STATE_KEYS[key] for key in self.state_keys)

    @property
    def shape(self) -> HeadShape:
        """What the head is told."""
        return HeadShape(self.features, self.history, self.chunk, STEP_SIZE)


class RumNetwork(nn.Module):
    """Pictures of a window, and state if it is given any, to normalised steps."""

    def __init__(self, config: RumModelConfig, cameras: Mapping[str, CameraNeed]) -> None:
        """Build it with random weights, drawn from torch's global generator.

        Raises:
            ConfigurationError: there is no camera, a camera's name holds a dot, the encoder refuses its size, or its
                weights are others than those that the network was trained with.
        """
        super().__init__()
        if not cameras or any(not name or "." in name for name in cameras):
            raise ConfigurationError(f"RUM needs cameras with names without a dot, got {list(cameras)}")
        self.cameras = dict(cameras)
        encoders: dict[str, ImageEncoder] = {
            name: build_image_encoder(config.encoder, size.height, size.width) for name, size in cameras.items()
        }
        first = encoders[next(iter(cameras))]
        digest = frozen_digest(first)
        if config.encoder_sha256 not in ("", digest):
            raise ConfigurationError(
                f"image encoder '{config.encoder}': its weights have SHA-256 {digest[:12] or 'none'}..., the network "
                f"was trained with {config.encoder_sha256[:12]}...; bring that trunk back, or train again"
            )
        self.config = replace(config, encoder_sha256=digest)
        self.trunks_learn = first.trainable
        self.encoders = nn.ModuleDict({name: cast("nn.Module", encoder) for name, encoder in encoders.items()})
        each = config.features
        self.readers = nn.ModuleDict(
            {
                name: KeypointReader(e.channels, e.grid, config.keypoints, config.keypoint_features, each)
                for name, e in encoders.items()
            }
        )
        self.join = nn.Sequential(
            nn.Linear(each * len(cameras) + config.state_size, config.features), nn.LayerNorm(config.features)
        )
        self.head = cast("nn.Module", make_head(config))

    def encode(self, camera: str, images: Tensor) -> Tensor:
        """Return a camera's feature maps of RGB images, shape (n, 3, height, width), uint8 or floats in [-1, 1]."""
        return self.encoders[camera](images)

    def embed(self, maps: Mapping[str, Tensor], state: Tensor) -> Tensor:
        """Return the embeddings of windows, shape (n, history, features).

        Args:
            maps: camera name to feature maps, shape (n * history, channels, rows, columns), the oldest first.
            state: normalised state, shape (n, history, state_size).
        """
        seen = [self.readers[name](maps[name].float()) for name in self.cameras]
        joined = torch.cat([*seen, state.flatten(0, 1)], dim=1)
        return self.join(joined).unflatten(0, (len(state), self.config.history))

    def action_head(self) -> ActionHead:
        """Return the head."""
        return cast("ActionHead", self.head)

    def learned_state(self) -> dict[str, Tensor]:
        """Return what a checkpoint stores: everything but frozen encoders."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if self.trunks_learn or not name.startswith(FROZEN_PREFIX)
        }

    def load_learned_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy tensors of exactly the names and shapes of `learned_state` into the network.

        Raises:
            ConfigurationError: a name is missing or unknown, or a shape differs; each is listed.
        """
        copy_weights(self.learned_state(), tensors)


def make_head(config: RumModelConfig) -> ActionHead:
    """Return the head that the configuration names."""
    match config.head:
        case "vq_bet":
            return VqBet(config.shape, config.vq_bet)
        case "diffusion":
            return Diffusion(config.shape, config.diffusion)
        case "act":
            return Act(config.shape, config.act)
        case _:
            return Mlp(config.shape, config.mlp)
