"""A Robot Utility Model as a `Policy`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from policies.checkpoint import WEIGHTS, Checkpoint, save_checkpoint
from policies.observation_checks import checked_image, checked_state
from policies.rum.model import RumModelConfig, RumNetwork
from policies.rum.relative_chunk import to_base
from policies.rum.scales import RumScales
from tutelage_core.config import to_mapping
from tutelage_core.contract import NS_PER_S, CameraNeed, PolicySpec
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.rotations import matrix_from_6d
from tutelage_core.types import ActionChunk, Observation

NAME = "rum"
"""Kind of policy in `PolicySpec.name`."""

ROTATION = "tcp_rotation_6d"
"""What turns relative steps into the robot's base frame; the network never sees it unless it is among its state."""


class RumPolicy:
    """Implements `Policy`. What it saw once it does not look at again: maps are kept by their stamps."""

    def __init__(self, spec: PolicySpec, network: RumNetwork, scales: RumScales) -> None:
        """Join a network with its scales; the network is put into evaluation mode.

        Raises:
            ConfigurationError: spec, network and scales do not belong together.
        """
        config = network.config
        for what, named, own in (
            ("cameras", dict(spec.cameras), network.cameras),
            ("state_keys", spec.state_keys, needed_state(config)),
            ("history", spec.history, config.history),
            ("chunk", spec.chunk, config.chunk),
            ("replan_every", spec.replan_every, config.replan_every),
            ("state size", len(scales.state_mean), config.state_size),
        ):
            if named != own:
                raise ConfigurationError(f"RUM: spec or scales say {what} = {named}, network has {own}")
        self._spec, self._network, self._scales = spec, network.eval(), scales
        self._period_ns = round(NS_PER_S / spec.control_rate_hz)
        self._seed, self._generator = 0, torch.Generator()
        self._maps: OrderedDict[int, dict[str, Tensor]] = OrderedDict()
        self.reset("", 0)

    @property
    def spec(self) -> PolicySpec:
        """What the policy needs and gives."""
        return self._spec

    @property
    def network(self) -> RumNetwork:
        """The network that it runs."""
        return self._network

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode; what a head draws at random follows `seed`. The sentence is not read: one task each."""
        self._seed = seed
        self._maps.clear()

    def act(self, window: Sequence[Observation]) -> ActionChunk:
        """Return the steps to take from the newest observation on; see `Policy.act`.

        Raises:
            ValueError: the window has another length than `spec.history`, an image another shape or type than the
                spec's, or a state vector another size, or values that are not finite.
        """
        config = self._network.config
        if len(window) != config.history:
            raise ValueError(f"window holds {len(window)} observations, the policy needs {config.history}")
        state = np.stack([checked_state(obs, config.state_keys) for obs in window]) if config.state_keys else None
        given = np.zeros((config.history, 0)) if state is None else state
        newest = window[-1]
        rotation = matrix_from_6d(checked_state(newest, (ROTATION,))) if config.actions == "relative" else None
        drawn = np.random.SeedSequence([self._seed, newest.stamp_ns]).generate_state(1, np.uint64)
        self._generator.manual_seed(int(drawn[0] >> np.uint64(1)))  # a window gives one chunk, whatever came before
        with torch.inference_mode():
            maps = [self._seen(obs) for obs in window]
            stacked = {name: torch.cat([one[name] for one in maps]) for name in self._spec.cameras}
            embedded = self._network.embed(stacked, torch.from_numpy(self._scales.state(given))[None])
            numbers = self._network.action_head().draw(embedded, self._generator)[0].numpy()
        steps = self._scales.to_steps(numbers)
        if rotation is not None:
            steps = to_base(steps, rotation)
        if config.gripper_output == "binary":
            steps[:, 6] = (steps[:, 6] > 0.5).astype(np.float64)
        return ActionChunk(newest.stamp_ns, self._period_ns, steps)

    def checkpoint(self) -> Checkpoint:
        """Return all that is needed to build the policy again."""
        return Checkpoint(
            self._spec, to_mapping(self._network.config), to_mapping(self._scales), self._network.learned_state()
        )

    def save(self, folder: Path, *, created_by: str, half: bool = False, card: str | None = None) -> None:
        """Write a checkpoint folder; see `policies.checkpoint.save_checkpoint`."""
        save_checkpoint(folder, self.checkpoint(), created_by=created_by, half=half, card=card)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> RumPolicy:
        """Build the policy from a verified checkpoint.

        Raises:
            CheckpointError: spec, settings, scales and weights do not belong together.
        """
        config = checkpoint.section("model", RumModelConfig)
        scales = checkpoint.section("normalisation", RumScales)
        place = checkpoint.folder / WEIGHTS if checkpoint.folder else Path(WEIGHTS)
        try:
            with torch.random.fork_rng(devices=[]):
                network = RumNetwork(config, checkpoint.spec.cameras)
            network.load_learned_state(checkpoint.tensors)
            return cls(checkpoint.spec, network, scales)
        except ConfigurationError as error:
            raise CheckpointError(f"{place}: {error}") from error

    def _seen(self, obs: Observation) -> dict[str, Tensor]:
        """Return the maps of one observation; those of an earlier call are taken again."""
        images = {name: checked_image(obs, name, need) for name, need in self._spec.cameras.items()}
        if obs.stamp_ns not in self._maps:
            self._maps[obs.stamp_ns] = {
                name: self._network.encode(name, torch.from_numpy(image).permute(2, 0, 1)[None])
                for name, image in images.items()
            }
            while len(self._maps) > self._spec.history:
                self._maps.popitem(last=False)
        return self._maps[obs.stamp_ns]


def needed_state(config: RumModelConfig) -> tuple[str, ...]:
    """Return the state that the policy needs: the network's, and what turns its steps into the base frame."""
    turned = config.actions == "relative" and ROTATION not in config.state_keys
    return (*config.state_keys, ROTATION) if turned else config.state_keys


def make_spec(
    config: RumModelConfig,
    cameras: Mapping[str, CameraNeed],
    *,
    action: str,
    control_rate_hz: float,
    tasks: tuple[str, ...],
) -> PolicySpec:
    """Return the spec of a policy of this shape."""
    return PolicySpec(
        name=NAME,
        cameras=dict(cameras),
        state_keys=needed_state(config),
        action=action,
        control_rate_hz=control_rate_hz,
        history=config.history,
        chunk=config.chunk,
        replan_every=config.replan_every,
        tasks=tasks,
    )
