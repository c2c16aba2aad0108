"""The learner: one update after the other, critics each time, the actor every so often."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from policies.hil_serl.augmentation import augmented
from policies.hil_serl.batch import Batch, ObservationShape
from policies.hil_serl.compiled import CheckedCompile
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
from policies.hil_serl.losses import (
    ActorLosses,
    CriticLosses,
    Transitions,
    actor_losses,
    critic_losses,
    temperature,
)
from policies.hil_serl.metrics import Metrics
from policies.hil_serl.networks import Actor, ValueNetworks, acting_state
from policies.hil_serl.weights import put_weights
from tutelage_core.errors import CheckpointError, ConfigurationError

_UNLEARNT = float("nan")


class Learner:
    """Networks, their targets and optimisers. The same seed and batches give the same weights, bit for bit."""

    def __init__(self, config: HilSerlConfig, shape: ObservationShape) -> None:
        """Build everything from the configuration's seed; torch's global generator is left as it was.

        Raises:
            ConfigurationError: the encoder refuses configuration or shape.
        """
        self.config = config
        self.shape = shape
        settings = config.learner
        precision = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.precision]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.values = ValueNetworks(config.model, shape, precision)
            self.actor = Actor(config.model, self.values.encoder.features, precision)
        self.target = copy.deepcopy(self.values).requires_grad_(False)
        self.multiplier = nn.Parameter(torch.tensor(config.loss.temperature_init).expm1().log())
        self._weights: dict[str, dict[str, nn.Parameter]] = {
            "values": dict(self.values.named_parameters()),
            "actor": dict(self.actor.named_parameters()),
            "temperature": {"multiplier": self.multiplier},
        }
        rates = (settings.critic_rate, settings.actor_rate, settings.temperature_rate)
        self._optimisers = {
            part: torch.optim.Adam(weights.values(), lr=rate, fused=True)
            for (part, weights), rate in zip(self._weights.items(), rates, strict=True)
        }
        self._follow = get_ema_multi_avg_fn(1.0 - settings.tau)
        self._target_weights: list[Tensor] = list(self.target.parameters())
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._critic_losses = CheckedCompile(
            self._plain_critic_losses, list(self.values.parameters()), precision, wanted=settings.compile
        )
        self._rooms: tuple[Tensor | None, Tensor | None] = (None, None)
        self.updates = 0
        self.actor_updates = 0

    @property
    def temperature(self) -> float:
        """Alpha."""
        return float(temperature(self.multiplier.detach()))

    @property
    def why_not_compiled(self) -> str:
        """Why the losses run uncompiled although that was asked for; empty if nothing went wrong."""
        return self._critic_losses.why_not

    def update(self, batches: Sequence[Batch]) -> Metrics:
        """Make one update for each batch; every `critic_actor_ratio`-th one also moves actor and temperature.

        Args:
            batches: each of `batch_size` transitions, demonstrations and interventions already mixed in.

        Raises:
            NonFiniteError: a loss, gradient or weight is not finite; its name is given, and the update it belongs to
                was not made: weights, moments, targets and counters are as before.
            ValueError: there is no batch, or one does not fit the networks.
        """
        if not batches:
            raise ValueError("update needs at least one batch")
        of_critics: list[tuple[CriticLosses, Tensor]] = []
        of_actor: list[ActorLosses] = []
        for batch in batches:
            self._check(batch)
            critics, actor, norm = self._update_once(augmented(batch, self.config.learner.shift_px, self._generator))
            of_critics.append((critics, norm))
            if actor is not None:
                of_actor.append(actor)
        return Metrics(
            self.updates,
            self.actor_updates,
            _mean([c.critic for c, _ in of_critics]),
            _mean([c.grasp for c, _ in of_critics]),
            _mean([c.value for c, _ in of_critics]),
            _mean([c.target for c, _ in of_critics]),
            _mean([norm for _, norm in of_critics]),
            _mean([a.actor for a in of_actor]),
            _mean([a.temperature for a in of_actor]),
            _mean([a.entropy for a in of_actor]),
            self.temperature,
        )

    def values_of(self, batch: Batch) -> Tensor:
        """Return what the critics, on average, think of each action of a batch: Q(s, a), shape (batch,)."""
        self._check(batch)
        with torch.inference_mode():
            features = self.values.encode(self.values.encoder.prepare(batch.observed))
            return self.values.judge(self.values.read(features), batch.action).mean(dim=0)

    def acting_state(self) -> dict[str, Tensor]:
        """Return copies of the tensors that an actor needs, by their names in `networks.ActingNetworks`."""
        return {name: tensor.clone() for name, tensor in acting_state(self.values, self.actor).items()}

    def state(self) -> LearnerState:
        """Return all that a later process needs to go on bit for bit; tensors are shared, not copied."""
        tensors: dict[str, Tensor] = {"multiplier": self.multiplier.detach(), "generator": self._generator.get_state()}
        for part, module in self._modules().items():
            tensors.update({f"{part}/{name}": tensor for name, tensor in module.state_dict().items()})
        for part, optimiser in self._optimisers.items():
            tensors.update(moments(optimiser, self._weights[part], f"moments/{part}"))
        counters = {"updates": self.updates, "actor_updates": self.actor_updates}
        return LearnerState(self.config, self.shape, counters, tensors)

    def restore(self, state: LearnerState) -> None:
        """Go on from `state`. Schedule and `compile` may be others than then; nothing else may.

        Raises:
            ConfigurationError: it is of another configuration or shape, or lacks something.
        """
        state.check_belongs_to(self.config, self.shape)
        try:
            for part, module in self._modules().items():
                put_weights(module, part_of(state.tensors, part), part)
            for part, optimiser in self._optimisers.items():
                put_moments(optimiser, self._weights[part], state.tensors, f"moments/{part}")
            with torch.no_grad():
                self.multiplier.copy_(state.tensors["multiplier"])
            self._generator.set_state(state.tensors["generator"])
            self.updates, self.actor_updates = state.counters["updates"], state.counters["actor_updates"]
        except KeyError as error:
            raise ConfigurationError(f"cannot go on from this learner's state: it lacks {error}") from error

    def begin_with(self, other: LearnerState) -> None:
        """Take the networks of another learner, targets included, and nothing else of it (WSRL).

        Raises:
            ConfigurationError: they are of another shape.
        """
        here, there = (self.config.model, self.shape), (other.config.model, other.shape)
        if here != there:
            raise ConfigurationError(f"cannot begin with another learner's networks: they are {there}, these {here}")
        for part, module in self._modules().items():
            put_weights(module, part_of(other.tensors, part), part)

    def save(self, folder: Path, *, created_by: str) -> None:
        """Write the state as a sealed folder, atomically.

        Raises:
            CheckpointError: a tensor is not finite.
        """
        write_learner_state(folder, self.state(), created_by)

    @classmethod
    def load(cls, folder: Path, config: HilSerlConfig | None = None) -> Learner:
        """Return the learner in `folder`; `config` may bring another schedule, and is the stored one if left out.

        Raises:
            CheckpointError: the folder is missing or damaged, or its parts do not belong together.
            ConfigurationError: it was trained with another `config`.
        """
        state = read_learner_state(folder)
        learner = cls(config or state.config, state.shape)
        try:
            learner.restore(state)
        except ConfigurationError as error:
            if config is not None:
                raise
            raise CheckpointError(f"{folder}: {error}") from error
        return learner

    def _update_once(self, batch: Batch) -> tuple[CriticLosses, ActorLosses | None, Tensor]:
        ratio, loss = self.config.learner.critic_actor_ratio, self.config.loss
        moves_actor = self.updates % ratio == ratio - 1
        next_noise, noise = torch.randn(2, *batch.action.shape, generator=self._generator).unbind(0)

        transitions = self._prepared(batch)
        critics = self._critic_losses(transitions, next_noise, self._drawn())
        self._descend("values", critics.total)
        found = {"critic loss": critics.critic, "grasp loss": critics.grasp}
        actor = None
        if moves_actor:
            seen = (critics.features, critics.reading)
            actor = actor_losses(self.values, self.actor, self.multiplier, *seen, transitions, noise, loss)
            self._descend("actor", actor.total, "temperature")
            found |= {"actor loss": actor.actor, "temperature loss": actor.temperature}

        moved = ("values", "actor", "temperature") if moves_actor else ("values",)
        # Adam's step is bounded where the gradient's norm is finite, so finite weights stay so.
        norms = {part: torch.nn.utils.get_total_norm(self._gradients(part)) for part in moved}
        found |= {f"gradient of {part}": norm for part, norm in norms.items()}
        refuse_non_finite(f"update {self.updates + 1}", found, lambda: self._suspects(batch))
        for part in moved:
            self._optimisers[part].step()
        with torch.no_grad():
            self._follow(self._target_weights, list(self._weights["values"].values()), None)
        self.updates += 1
        self.actor_updates += moves_actor
        return critics, actor, norms["values"]

    def _prepared(self, batch: Batch) -> Transitions:
        encoder, (room, next_room) = self.values.encoder, self._rooms
        s = encoder.prepare(batch.observed, room)
        next_s = encoder.prepare(batch.next_observed, next_room)
        self._rooms = (s.images, next_s.images)
        return Transitions(
            s, batch.action, batch.gripper, batch.reward, batch.grasp_penalty, batch.mask, next_s, batch.shown
        )

    def _plain_critic_losses(self, batch: Transitions, noise: Tensor, drawn: Tensor | None) -> CriticLosses:
        return critic_losses(
            self.values, self.target, self.actor, self.multiplier, batch, noise, drawn, self.config.loss
        )

    def _drawn(self) -> Tensor | None:
        critic = self.config.model.critic
        if critic.drawn is None or critic.drawn == critic.critics:
            return None
        return torch.randperm(critic.critics, generator=self._generator)[: critic.drawn]

    def _descend(self, part: str, loss: Tensor, *more: str) -> None:
        """Take the gradient of `loss` for the weights of these parts, and of no others."""
        weights = [w for name in (part, *more) for w in self._weights[name].values()]
        for weight in weights:
            weight.grad = None
        loss.backward(inputs=weights)

    def _gradients(self, part: str) -> list[Tensor]:
        return [w.grad for w in self._weights[part].values() if w.grad is not None]

    def _suspects(self, batch: Batch) -> dict[str, Tensor]:
        suspects = {
            f"weight of {part} '{n}'": t for part, m in self._modules().items() for n, t in m.state_dict().items()
        }
        suspects["weight of temperature"] = self.multiplier
        for side, observed in (("observed", batch.observed), ("next_observed", batch.next_observed)):
            suspects[f"batch {side}.state"] = observed.state
            suspects |= {f"batch {side}.images['{name}']": stored for name, stored in observed.images.items()}
        suspects |= {f"batch {name}": getattr(batch, name) for name in ("action", "reward", "grasp_penalty", "mask")}
        for part, weights in self._weights.items():
            suspects |= {f"gradient of {part} '{n}'": w.grad for n, w in weights.items() if w.grad is not None}
        return suspects

    def _check(self, batch: Batch) -> None:
        actions = self.config.model.action_size
        if batch.action.shape[1] != actions:
            raise ValueError(f"batch: actions of {batch.action.shape[1]} numbers, the networks give {actions}")
        for observed in (batch.observed, batch.next_observed):
            if observed.state.shape[1] != self.shape.state:
                raise ValueError(f"batch: state of {observed.state.shape[1]} numbers, expected {self.shape.state}")
            for name, shape in self.shape.images.items():
                stored = observed.images.get(name)
                if stored is None or tuple(stored.shape[1:]) != tuple(shape):
                    told = "missing" if stored is None else f"of shape {tuple(stored.shape[1:])}"
                    raise ValueError(f"batch: camera '{name}' is {told}, expected {tuple(shape)}")

    def _modules(self) -> dict[str, nn.Module]:
        return {"values": self.values, "target": self.target, "actor": self.actor}


def _mean(values: Sequence[Tensor]) -> float:
    return float(torch.stack(list(values)).mean()) if values else _UNLEARNT
