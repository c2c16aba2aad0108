"""What HIL-SERL is measured against: the same networks, replay and person, but the actor imitates (HG-DAgger).

HG-DAgger (Kelly et al. 2019, arXiv:1810.02890) imitates demonstrations and the corrections of a person who takes over
while its policy drives. With the demonstrations alone it is behaviour cloning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from policies.hil_serl.augmentation import augmented
from policies.hil_serl.batch import Batch, ObservationShape
from policies.hil_serl.config import HilSerlConfig
from policies.hil_serl.finiteness import refuse_non_finite
from policies.hil_serl.learner_state import (
    LearnerState,
    moments,
    part_of,
    put_moments,
    read_learner_state,
    write_learner_state,
)
from policies.hil_serl.metrics import Metrics
from policies.hil_serl.networks import ActingNetworks
from policies.hil_serl.weights import put_weights
from tutelage_core.errors import CheckpointError, ConfigurationError

_UNTOLD = float("nan")


def imitation_losses(networks: ActingNetworks, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the mean squared error of the actor's mode, and the cross-entropy of the gripper's command (0 without)."""
    features = networks.encoder(networks.encoder.prepare(batch.observed))
    action = F.mse_loss(networks.actor(features).mode(), batch.action)
    if networks.grasp_critic is None:
        return action, torch.zeros(())
    return action, F.cross_entropy(networks.grasp_critic(features)[0], batch.gripper)


class ImitationLearner:
    """Takes the place of `learner.Learner`. The same seed and batches give the same weights, bit for bit."""

    def __init__(self, config: HilSerlConfig, shape: ObservationShape) -> None:
        """Build the networks from the configuration's seed; torch's global generator is left as it was."""
        self.config = config
        self.shape = shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.learner.seed)
            self.networks = ActingNetworks(config.model, shape)
        self._weights = dict(self.networks.named_parameters())
        self._optimiser = torch.optim.Adam(self._weights.values(), lr=config.learner.actor_rate, fused=True)
        self._generator = torch.Generator().manual_seed(config.learner.seed)
        self.updates = 0

    @property
    def actor_updates(self) -> int:
        """Each update moves the actor."""
        return self.updates

    def update(self, batches: Sequence[Batch]) -> Metrics:
        """Make one update for each batch, which holds people's steps only.

        Raises:
            NonFiniteError: a loss or gradient is not finite; that update was not made.
            ValueError: there is no batch.
        """
        if not batches:
            raise ValueError("update needs at least one batch")
        found: list[tuple[float, float, float]] = []
        for batch in batches:
            seen = augmented(batch, self.config.learner.shift_px, self._generator)
            action, gripper = imitation_losses(self.networks, seen)
            self._optimiser.zero_grad()
            (action + gripper).backward()
            norm = torch.nn.utils.get_total_norm([w.grad for w in self._weights.values() if w.grad is not None])
            told = {"action loss": action.detach(), "gripper loss": gripper.detach(), "gradient": norm}
            refuse_non_finite(f"update {self.updates + 1}", told, lambda: dict(self._weights))
            self._optimiser.step()
            self.updates += 1
            found.append((float(action.detach()), float(gripper.detach()), float(norm)))
        action_loss, gripper_loss, gradient = (sum(column) / len(found) for column in zip(*found, strict=True))
        return Metrics(
            updates=self.updates,
            actor_updates=self.updates,
            critic_loss=_UNTOLD,
            grasp_loss=gripper_loss,
            value=_UNTOLD,
            target=_UNTOLD,
            gradient_norm=gradient,
            actor_loss=action_loss,
            temperature_loss=_UNTOLD,
            entropy=_UNTOLD,
            temperature=_UNTOLD,
        )

    def values_of(self, batch: Batch) -> Tensor:
        """Return NaN for each transition: imitation knows no values."""
        return torch.full((len(batch.reward),), math.nan)

    def acting_state(self) -> dict[str, Tensor]:
        """Return copies of the tensors that an actor needs, by their names in `networks.ActingNetworks`."""
        return {name: tensor.detach().clone() for name, tensor in self.networks.state_dict().items()}

    def state(self) -> LearnerState:
        """Return all that a later process needs to go on bit for bit; tensors are shared, not copied."""
        tensors = {f"networks/{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= moments(self._optimiser, self._weights, "moments")
        tensors["generator"] = self._generator.get_state()
        return LearnerState(self.config, self.shape, {"updates": self.updates}, tensors)

    def save(self, folder: Path, *, created_by: str) -> None:
        """Write the state as a sealed folder, atomically.

        Raises:
            CheckpointError: a tensor is not finite.
        """
        write_learner_state(folder, self.state(), created_by)

    @classmethod
    def load(cls, folder: Path, config: HilSerlConfig | None = None) -> ImitationLearner:
        """Return the learner in `folder`; `config` may bring another schedule, and is the stored one if left out.

        Raises:
            CheckpointError: the folder is missing or damaged, or its parts do not belong together.
            ConfigurationError: it was trained with another `config`.
        """
        state = read_learner_state(folder)
        learner = cls(config or state.config, state.shape)
        state.check_belongs_to(learner.config, learner.shape)
        try:
            put_weights(learner.networks, part_of(state.tensors, "networks"), "networks")
            put_moments(learner._optimiser, learner._weights, state.tensors, "moments")
            learner._generator.set_state(state.tensors["generator"])
            learner.updates = state.counters["updates"]
        except (KeyError, ConfigurationError) as error:
            raise CheckpointError(f"{folder}: its parts do not belong together: {error}") from error
        return learner
