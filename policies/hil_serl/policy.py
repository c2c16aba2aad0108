"""HIL-SERL as a `Policy`: the mode of the actor for evaluation, a draw of it where exploration is switched on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from policies.checkpoint import WEIGHTS, Checkpoint, save_checkpoint
from policies.hil_serl.batch import ObservationShape, Observed
from policies.hil_serl.config import ModelConfig
from policies.hil_serl.frames import ActionScale, gripper_opening, rotation_of, to_tcp_step
from policies.hil_serl.networks import ActingNetworks
from policies.hil_serl.observation_encoder import frozen_maps, pooled_grid
from policies.hil_serl.state_encoder import EpisodeOrigin, StateEncoder, StateScales
from policies.hil_serl.transition import Gripper, ReplayError
from policies.hil_serl.weights import put_weights
from policies.observation_checks import checked_image
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S, STATE_KEYS, CameraNeed, PolicySpec
from tutelage_core.encoders.image import ImageEncoder, build_image_encoder, frozen_digest
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.types import STEP_SIZE, ActionChunk, FloatArray, ImageArray, Observation

NAME = "hil_serl"
"""Kind of policy in `PolicySpec.name`."""

NEEDED_KEYS = ("tcp_position", "tcp_rotation_6d", "gripper_opening")
"""State without which actions cannot be turned into steps."""


@dataclass(frozen=True)
class Scales:
    """What the networks' numbers mean in SI; stored in the checkpoint.

    Attributes:
        action: of the actor's numbers.
        state: of the proprioception.
    """

    action: ActionScale
    state: StateScales


class Decision(NamedTuple):
    """What the networks decided, in their own units: action of shape (6,) [-1..1], and the gripper's command."""

    action: FloatArray
    gripper: Gripper


class HilSerlPolicy:
    """Implements `Policy`. Remembers where the episode began and what the gripper was told last."""

    def __init__(self, spec: PolicySpec, networks: ActingNetworks, scales: Scales) -> None:
        """Join networks with their scales and the frozen trunk that they look through.

        Raises:
            ConfigurationError: spec and networks do not belong together, or the trunk's weights are others than those
                that they learnt with.
        """
        config = networks.config
        self._trunk = frozen_trunk(config, spec.cameras)
        shape = observation_shape(config, spec.cameras, self._trunk)
        for what, named, own in (
            ("name", spec.name, NAME),
            ("history, chunk, replan_every", (spec.history, spec.chunk, spec.replan_every), (1, 1, 1)),
            ("state_keys", spec.state_keys, config.state_keys),
            ("shape of observations", shape, networks.shape),
        ):
            if named != own:
                raise ConfigurationError(f"HIL-SERL: spec says {what} = {named}, networks have {own}")
        missing = [key for key in NEEDED_KEYS if key not in spec.state_keys]
        if missing or config.action_size != STEP_SIZE - 1:
            raise ConfigurationError(
                f"HIL-SERL: needs state keys {', '.join(NEEDED_KEYS)} and actions of {STEP_SIZE - 1} numbers, got "
                f"{', '.join(spec.state_keys)} and {config.action_size}"
            )
        self._spec = spec
        self._networks = networks.eval().requires_grad_(False)
        self._scales = scales
        self._state_encoder = StateEncoder(spec.state_keys, scales.state)
        self._period_ns = round(NS_PER_S / spec.control_rate_hz)
        self._generator = torch.Generator()
        self._origin: EpisodeOrigin | None = None
        self._held_opening: float | None = None
        self._seen: tuple[Observation, Observed] | None = None
        self.explores = False
        """Whether actions are drawn from the actor (as in training) or are its mode (as in evaluation)."""

    @property
    def spec(self) -> PolicySpec:
        """What the policy needs and gives."""
        return self._spec

    @property
    def networks(self) -> ActingNetworks:
        """The networks that it runs."""
        return self._networks

    @property
    def trunk(self) -> ImageEncoder | None:
        """The frozen trunk that it looks through; None where it sees pixels, or nothing."""
        return self._trunk

    @property
    def scales(self) -> Scales:
        """What the networks' numbers mean."""
        return self._scales

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode: the next observation is its origin; exploration, if any, follows `seed`."""
        self._generator.manual_seed(seed)
        self._origin = None
        self._held_opening = None
        self._seen = None

    def act(self, window: Sequence[Observation]) -> ActionChunk:
        """Return the step to take from the observation on; see `Policy.act`.

        Raises:
            ValueError: the window holds not exactly one observation, an image has another shape or type than the
                spec's, or a state vector another size, or values that are not finite or no rotation.
        """
        if len(window) != 1:
            raise ValueError(f"window holds {len(window)} observations, the policy needs 1")
        obs = window[0]
        decision = self.decide(self.observe(obs))
        rotation = rotation_of(obs.state)
        if self._held_opening is None:
            self._held_opening = float(np.clip(obs.state["gripper_opening"][0], 0.0, 1.0))
        step = to_tcp_step(decision.action, decision.gripper, rotation, self._scales.action, self._held_opening)
        self._held_opening = gripper_opening(decision.gripper, self._held_opening)
        return ActionChunk(obs.stamp_ns, self._period_ns, step[None])

    def observe(self, obs: Observation) -> Observed:
        """Return the observation as the networks see it and the replay stores it, a batch of one.

        The first one after `reset` is the episode's origin. One that was just acted upon is not encoded again.

        Raises:
            ValueError: see `act`.
        """
        if self._seen is not None and self._seen[0] is obs:
            return self._seen[1]
        pixels = [checked_image(obs, name, need) for name, need in self._spec.cameras.items()]
        try:
            origin = self._state_encoder.origin(obs.state) if self._origin is None else self._origin
            state = self._state_encoder.encode(obs.state, origin)
        except ReplayError as error:
            raise ValueError(str(error)) from error
        self._origin = origin
        images: dict[str, Tensor] = {}
        if pixels and self._trunk is None:
            images = {name: torch.from_numpy(p)[None] for name, p in zip(self._spec.cameras, pixels, strict=True)}
        elif pixels and self._trunk is not None:
            maps = self.maps_of(np.stack(pixels))
            images = {name: maps[i : i + 1] for i, name in enumerate(self._spec.cameras)}
        observed = Observed(images, torch.from_numpy(state)[None])
        self._seen = (obs, observed)
        return observed

    def maps_of(self, pixels: ImageArray) -> Tensor:
        """Return the frozen trunk's maps, as the replay stores them, shape (n, channels, rows, columns), float16.

        Args:
            pixels: RGB, shape (n, height, width, 3), uint8.

        Raises:
            ConfigurationError: the policy looks through no frozen trunk.
        """
        if self._trunk is None:
            raise ConfigurationError("HIL-SERL: this policy has no frozen trunk; it stores pixels, or sees no images")
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        return frozen_maps(self._trunk, images, self._networks.config.encoder)

    def decide(self, observed: Observed) -> Decision:
        """Return the networks' decision on what `observe` gave; draws it where `explores` is on."""
        with torch.inference_mode():
            pi, gripper = self._networks(observed)
            action = pi.mode()
            if self.explores:
                action, _ = pi.sample(torch.randn(action.shape, generator=self._generator))
        command = Gripper.HOLD if gripper is None else Gripper(int(gripper))
        return Decision(action[0].double().numpy(), command)

    def executed(self, step: FloatArray) -> None:
        """Note a step that somebody else took, shape (7,): holding the gripper means what *was* commanded last."""
        self._held_opening = float(step[STEP_SIZE - 1])

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Take new weights, such as `Learner.acting_state`.

        Raises:
            ConfigurationError: they do not fit or are not finite; the policy goes on with those that it had.
        """
        put_weights(self._networks, tensors, "policy's networks")

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to build the policy again; the frozen trunk stays in its own folder."""
        config = self._networks.config
        digest = "" if self._trunk is None else frozen_digest(self._trunk)
        config = replace(config, encoder=replace(config.encoder, encoder_sha256=digest))
        tensors = {name: tensor.clone() for name, tensor in self._networks.state_dict().items()}
        return Checkpoint(self._spec, to_mapping(config), to_mapping(self._scales), tensors)

    def save(self, folder: Path, *, created_by: str, half: bool = False, card: str | None = None) -> None:
        """Write a checkpoint folder; see `policies.checkpoint.save_checkpoint`."""
        save_checkpoint(folder, self.checkpoint(), created_by=created_by, half=half, card=card)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> HilSerlPolicy:
        """Build the policy from a verified checkpoint.

        Raises:
            CheckpointError: spec, settings, scales and weights do not belong together.
        """
        config = checkpoint.section("model", ModelConfig)
        scales = checkpoint.section("normalisation", Scales)
        place = checkpoint.folder / WEIGHTS if checkpoint.folder else Path(WEIGHTS)
        try:
            policy = make_policy(checkpoint.spec, config, scales)
            policy.load_weights(checkpoint.tensors)
        except ConfigurationError as error:
            raise CheckpointError(f"{place}: {error}") from error
        return policy


def make_policy(spec: PolicySpec, config: ModelConfig, scales: Scales) -> HilSerlPolicy:
    """Return a policy with random weights, to be loaded; torch's global generator is left as it was.

    Raises:
        ConfigurationError: spec and configuration do not belong together.
    """
    shape = observation_shape(config, spec.cameras, frozen_trunk(config, spec.cameras))
    with torch.random.fork_rng(devices=[]):
        return HilSerlPolicy(spec, ActingNetworks(config, shape), scales)


def make_spec(
    config: ModelConfig, cameras: Mapping[str, CameraNeed], *, control_rate_hz: float, tasks: tuple[str, ...]
) -> PolicySpec:
    """Return the spec of a HIL-SERL policy of this shape."""
    return PolicySpec(NAME, dict(cameras), config.state_keys, "tcp_step", control_rate_hz, 1, 1, 1, tasks)


def frozen_trunk(config: ModelConfig, cameras: Mapping[str, CameraNeed]) -> ImageEncoder | None:
    """Return the trunk whose maps are stored; None where there is no camera, or the trunk learns along.

    Raises:
        ConfigurationError: cameras differ in size, the trunk is not frozen, or its weights are other ones.
    """
    if not cameras or config.encoder.pixels:
        return None
    if len(set(cameras.values())) > 1:
        raise ConfigurationError(f"HIL-SERL: all cameras must be of one size, got {dict(cameras)}")
    size = next(iter(cameras.values()))
    trunk = build_image_encoder(config.encoder.encoder, size.height, size.width)
    if trunk.trainable:
        raise ConfigurationError(f"HIL-SERL: encoder '{trunk.name}' is not frozen; set pixels: true to train it along")
    if config.encoder.encoder_sha256 not in ("", frozen_digest(trunk)):
        raise ConfigurationError(
            f"HIL-SERL: encoder '{trunk.name}' has SHA-256 {frozen_digest(trunk)[:12]}..., the networks learnt with "
            f"{config.encoder.encoder_sha256[:12]}...; bring that trunk back, or train again"
        )
    return trunk


def observation_shape(
    config: ModelConfig, cameras: Mapping[str, CameraNeed], trunk: ImageEncoder | None
) -> ObservationShape:
    """Return the sizes of what is stored of an observation; `trunk` is `frozen_trunk`'s."""
    state = sum(STATE_KEYS[key] for key in config.state_keys)
    if trunk is None:
        return ObservationShape({name: (need.height, need.width, 3) for name, need in cameras.items()}, state)
    grid = pooled_grid(trunk.grid, config.encoder)
    return ObservationShape(dict.fromkeys(cameras, (trunk.channels, *grid)), state)
