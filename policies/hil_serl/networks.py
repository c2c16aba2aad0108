"""The networks of HIL-SERL: encoder, critics, the gripper's critic and the actor."""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from policies.hil_serl.batch import ObservationShape, Observed
from policies.hil_serl.config import GRIPPER_CHOICES, ModelConfig
from policies.hil_serl.layers import Stack
from policies.hil_serl.observation_encoder import ObservationEncoder, Prepared


class SquashedGaussian(NamedTuple):
    """a = tanh(u), u ~ N(mean, exp(log_std)^2): SAC, appendix C.

    Attributes:
        mean: of u, shape (batch, action).
        log_std: of u, shape (batch, action).
    """

    mean: Tensor
    log_std: Tensor

    def mode(self) -> Tensor:
        """Return tanh of the mean, shape (batch, action) [-1..1]."""
        return self.mean.tanh()

    def sample(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions and their log density for standard normal `noise`, shapes (batch, action) and (batch,).

        log pi(a) = log N(u) - sum log(1 - tanh(u)^2), the last in a form that stays exact for large u.
        """
        u = self.mean + self.log_std.exp() * noise
        log_normal = -0.5 * noise.square() - self.log_std - 0.5 * math.log(2.0 * math.pi)
        log_slope = 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))
        return u.tanh(), (log_normal - log_slope).sum(dim=1)


class Actor(nn.Module):
    """Features to a squashed Gaussian."""

    def __init__(self, config: ModelConfig, features: int, precision: torch.dtype) -> None:
        """Build it with random weights, drawn from torch's global generator."""
        super().__init__()
        actor = config.actor
        outputs = 2 * config.action_size
        self.stack = Stack(1, features, actor.hidden, outputs, precision, last_scale=config.last_scale)
        self.bounds = (math.log(actor.std_min), math.log(actor.std_max))

    def forward(self, features: Tensor) -> SquashedGaussian:
        """Return pi(. | s) for features of shape (batch, features)."""
        mean, log_std = self.stack(features)[0].chunk(2, dim=1)
        # The logarithm is clipped, not its exponential: an overflow would give a gradient of 0 * inf.
        return SquashedGaussian(mean, log_std.clamp(*self.bounds))


class ValueNetworks(nn.Module):
    """Encoder, critics and the gripper's critic: all that the critics' losses train, and all that has a target.

    Implements `losses.Values`.
    """

    def __init__(self, config: ModelConfig, shape: ObservationShape, precision: torch.dtype) -> None:
        """Build them with random weights, drawn from torch's global generator.

        Raises:
            ConfigurationError: the encoder refuses configuration or shape.
        """
        super().__init__()
        self.encoder = ObservationEncoder(config.encoder, shape, precision)
        features, critic = self.encoder.features, config.critic
        self.critics = Stack(
            critic.critics,
            features,
            critic.hidden,
            1,
            precision,
            last_scale=config.last_scale,
            extra=config.action_size,
        )
        self.grasp_critic = _grasp_critic(config, features, precision) if config.gripper else None

    @property
    def has_gripper(self) -> bool:
        """Whether `grasp` may be called."""
        return self.grasp_critic is not None

    def encode(self, s: Prepared) -> Tensor:
        """Return z, shape (batch, features)."""
        return self.encoder(s)

    def read(self, features: Tensor, members: Tensor | None = None) -> Tensor:
        """Return the first layer of all critics, or of `members`, without the action, shape (members, batch, width)."""
        return self.critics.first(features, members)

    def judge(self, reading: Tensor, action: Tensor, members: Tensor | None = None) -> Tensor:
        """Return Q of all critics, or of `members`, shape (members, batch)."""
        return self.critics.rest(reading, action, members).squeeze(2)

    def grasp(self, features: Tensor) -> Tensor:
        """Return the gripper's values, shape (batch, 3)."""
        assert self.grasp_critic is not None
        return self.grasp_critic(features)[0]


class ActingNetworks(nn.Module):
    """What a policy needs: encoder, actor and the gripper's critic. The learner's parts go in and out by name."""

    def __init__(self, config: ModelConfig, shape: ObservationShape) -> None:
        """Build them with random weights, drawn from torch's global generator; always float32.

        Raises:
            ConfigurationError: the encoder refuses configuration or shape.
        """
        super().__init__()
        self.config = config
        self.shape = shape
        self.encoder = ObservationEncoder(config.encoder, shape, torch.float32)
        features = self.encoder.features
        self.actor = Actor(config, features, torch.float32)
        self.grasp_critic = _grasp_critic(config, features, torch.float32) if config.gripper else None

    def forward(self, observed: Observed) -> tuple[SquashedGaussian, Tensor | None]:
        """Return pi(. | s) and the greedy gripper command, shape (batch,), 0 close, 1 hold, 2 open."""
        features = self.encoder(self.encoder.prepare(observed))
        gripper = None if self.grasp_critic is None else cast("Tensor", self.grasp_critic(features))[0].argmax(dim=1)
        return self.actor(features), gripper


def _grasp_critic(config: ModelConfig, features: int, precision: torch.dtype) -> Stack:
    return Stack(1, features, config.critic.hidden, GRIPPER_CHOICES, precision, last_scale=config.last_scale)


def acting_state(values: ValueNetworks, actor: Actor) -> dict[str, Tensor]:
    """Return the learner's tensors that `ActingNetworks` has, under its names; shared, not copied."""
    parts: dict[str, nn.Module | None] = {
        "encoder": values.encoder,
        "actor": actor,
        "grasp_critic": values.grasp_critic,
    }
    return {
        f"{name}.{key}": tensor.detach()
        for name, part in parts.items()
        if part is not None
        for key, tensor in part.state_dict().items()
    }
