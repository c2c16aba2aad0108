"""Behaviour cloning as a `Policy`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from policies.bc.config import BcModelConfig
from policies.bc.model import BcNetwork
from policies.bc.normalisation import Normalisation
from policies.checkpoint import WEIGHTS, Checkpoint, save_checkpoint
from policies.observation_checks import checked_image, checked_state
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S, CameraNeed, PolicySpec
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.types import STEP_SIZE, ActionChunk, FloatArray, Observation

NAME = "bc"
"""Kind of policy in `PolicySpec.name`."""


class BcPolicy:
    """Implements `Policy`. Has no memory: the same window gives the same chunk, whatever came before."""

    def __init__(self, spec: PolicySpec, network: BcNetwork, normalisation: Normalisation) -> None:
        """Join a network with its scales; the network is put into evaluation mode.

        Raises:
            ConfigurationError: spec, network and scales do not belong together.
        """
        config = network.config
        for what, named, own in (
            ("cameras", dict(spec.cameras), network.cameras),
            ("state_keys", spec.state_keys, config.state_keys),
            ("history", spec.history, config.history),
            ("chunk", spec.chunk, config.chunk),
            ("replan_every", spec.replan_every, config.replan_every),
            ("state size", len(normalisation.state_mean), config.state_size),
        ):
            if named != own:
                raise ConfigurationError(f"behaviour cloning: spec or scales say {what} = {named}, network has {own}")
        self._spec = spec
        self._network = network.eval()
        self._normalisation = normalisation
        self._period_ns = round(NS_PER_S / spec.control_rate_hz)

    @property
    def spec(self) -> PolicySpec:
        """What the policy needs and gives."""
        return self._spec

    @property
    def network(self) -> BcNetwork:
        """The network that it runs."""
        return self._network

    @property
    def normalisation(self) -> Normalisation:
        """The scales between SI and the network."""
        return self._normalisation

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode. Nothing is kept and nothing is random, so there is nothing to do."""

    def act(self, window: Sequence[Observation]) -> ActionChunk:
        """Return the steps to take from the newest observation on; see `Policy.act`.

        Raises:
            ValueError: the window has another length than `spec.history`, an image another shape or type than the
                spec's, or a state vector another size, or values that are not finite.
        """
        if len(window) != self._spec.history:
            raise ValueError(f"window holds {len(window)} observations, the policy needs {self._spec.history}")
        images: dict[str, torch.Tensor] = {}
        for name, need in self._spec.cameras.items():
            pixels = np.stack([checked_image(obs, name, need) for obs in window])
            images[name] = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        state = np.stack([checked_state(obs, self._spec.state_keys) for obs in window])
        with torch.inference_mode():
            said = self._network(images, torch.from_numpy(self._normalisation.state(state))[None])
        steps = np.empty((self._spec.chunk, STEP_SIZE))
        steps[:, :6] = self._normalisation.motion_si(said.motion[0].numpy())
        steps[:, 6] = gripper_command(said.gripper_logit[0].double().numpy(), self._network.config.gripper_output)
        return ActionChunk(window[-1].stamp_ns, self._period_ns, steps)

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to build the policy again."""
        return Checkpoint(
            self._spec, to_mapping(self._network.config), to_mapping(self._normalisation), self._network.learned_state()
        )

    def save(self, folder: Path, *, created_by: str, half: bool = False, card: str | None = None) -> None:
        """Write a checkpoint folder; see `policies.checkpoint.save_checkpoint`."""
        save_checkpoint(folder, self.checkpoint(), created_by=created_by, half=half, card=card)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> BcPolicy:
        """Build the policy from a verified checkpoint.

        Raises:
            CheckpointError: spec, settings, scales and weights do not belong together.
        """
        config = checkpoint.section("model", BcModelConfig)
        normalisation = checkpoint.section("normalisation", Normalisation)
        place = checkpoint.folder / WEIGHTS if checkpoint.folder else Path(WEIGHTS)
        try:
            # The network's first, random weights are replaced at once and must not disturb the caller's generator.
            with torch.random.fork_rng(devices=[]):
                network = BcNetwork(config, checkpoint.spec.cameras)
            network.load_learned_state(checkpoint.tensors)
            return cls(checkpoint.spec, network, normalisation)
        except ConfigurationError as error:
            raise CheckpointError(f"{place}: {error}") from error


def make_spec(
    config: BcModelConfig,
    cameras: Mapping[str, CameraNeed],
    *,
    action: str,
    control_rate_hz: float,
    tasks: tuple[str, ...],
) -> PolicySpec:
    """Return the spec of a behaviour-cloning policy of this shape."""
    return PolicySpec(
        name=NAME,
        cameras=dict(cameras),
        state_keys=config.state_keys,
        action=action,
        control_rate_hz=control_rate_hz,
        history=config.history,
        chunk=config.chunk,
        replan_every=config.replan_every,
        tasks=tasks,
    )


def gripper_command(logit: FloatArray, output: str) -> FloatArray:
    """Return gripper openings [0..1] for the network's log-odds; `output` is one of `GRIPPER_OUTPUTS`."""
    if output == "binary":
        return (logit > 0).astype(np.float64)
    return 1.0 / (1.0 + np.exp(-np.clip(logit, -40.0, 40.0)))
