"""One training run of a Robot Utility Model, batch by batch: the quantiser first, if there is one, then the policy.

A batch and its noise depend on the seed and its number only, so that a resumed run sees the very batches it would have
seen.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from policies import processes
from policies.bc.batches import Frames, split_rows
from policies.rum.model import RumNetwork
from policies.rum.train_config import RumConfig
from policies.rum.vq_bet import VqBet
from policies.rum.windows import (
    LookedAt,
    Seen,
    StoredMaps,
    chunks_of,
    cosine_rate,
    fit_scales,
    make_windows,
    network_state,
)
from policies.training_state import TrainingState, moments_of, restore_moments
from tutelage_core.config import to_mapping
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import ConfigurationError

_ROWS, _NOISE, _PICTURES = 1, 2, 3
"""Keys of the named random generators."""

VALIDATED_AT_ONCE = 256


class RumTraining:
    """A run: its network, optimisers and running average."""

    def __init__(
        self, frames: Frames, config: RumConfig, state_keys: tuple[str, ...], device: torch.device | None = None
    ) -> None:
        """Split the data, fit the scales, build the network and, through a frozen trunk, look at every picture once.

        Args:
            frames: demonstrations; `images` are those of the policy's cameras only.
            config: every number.
            state_keys: what `frames.state` is made of.
            device: where it computes; the CPU if None. Of several processes each has its own.

        Raises:
            ConfigurationError: the data do not fit the configuration, or a batch cannot be shared out.
        """
        self.config = config
        self.device = device or torch.device("cpu")
        for name in ("batch_size", "vq_batch_size"):
            if getattr(config, name) % processes.count():
                raise ConfigurationError(
                    f"RUM: {name} {getattr(config, name)} cannot be shared by {processes.count()} processes alike"
                )
        self.train_rows, self.held_out_rows = split_rows(frames.episode_of, config.validation_fraction, config.seed)
        chunks = chunks_of(frames, config, state_keys)
        state = network_state(frames, state_keys, config.model.state_keys)
        self.scales = fit_scales(chunks[self.train_rows], state[self.train_rows], config)
        self.cameras = {name: CameraNeed(store.shape[2], store.shape[1]) for name, store in frames.images.items()}
        self.network = self._new_network()
        self.seen: Seen = (
            LookedAt(frames.images, config, self.device)
            if self.network.trunks_learn
            else StoredMaps(frames.images, self.network, self.device)
        )
        self.windows = make_windows(frames, chunks, state, self.scales)
        head = self.network.action_head()
        self._vq = head if isinstance(head, VqBet) else None
        vq = list(self._vq.vq.parameters()) if self._vq is not None else []
        rest = [p for p in self.network.parameters() if p.requires_grad and not any(p is q for q in vq)]
        self._stages = (
            {"vq": _adamw(vq, config), "policy": _adamw(rest, config)} if vq else {"policy": _adamw(rest, config)}
        )
        self.average = {name: tensor.clone() for name, tensor in self.network.learned_state().items()}
        self.step = 0

    @property
    def vq_steps(self) -> int:
        """Batches of the quantiser."""
        return self.config.vq_steps if self._vq is not None else 0

    @property
    def total_steps(self) -> int:
        """Batches of both stages."""
        return self.vq_steps + self.config.steps

    @property
    def steps_per_epoch(self) -> int:
        """Batches between two validations: a tenth of all."""
        return max(1, self.total_steps // 10)

    def take_step(self, _: float = 0.0, /) -> dict[str, float]:
        """Train on the next batch; see `Training.take_step`. Each stage has a course of its own, so none is told."""
        key = [self.config.seed, _NOISE, self.step, *([processes.rank()] if processes.rank() else [])]
        seeds = np.random.SeedSequence(key).generate_state(1)
        generator = torch.Generator().manual_seed(int(seeds[0]))
        if self._vq is not None and self.step < self.vq_steps:
            figures = self._learn_codes(self._vq, generator)
        else:
            figures = self._learn_policy(generator)
        self.step += 1
        return figures

    def validate(self) -> dict[str, float]:
        """Return how far chunks drawn by the averaged network lie from those of held-out frames; empty without any."""
        if not len(self.held_out_rows):
            return {}
        network = self.averaged_network()
        errors: list[NDArray[np.float64]] = []
        generator = torch.Generator().manual_seed(self.config.seed)
        with torch.inference_mode():
            for start in range(0, len(self.held_out_rows), VALIDATED_AT_ONCE):
                rows = self.held_out_rows[start : start + VALIDATED_AT_ONCE]
                seen, state, chunks = self.windows.window(rows)
                embedded = network.embed(self.seen.maps(network, seen, None), state.to(self.device))
                said = self.scales.to_steps(network.action_head().draw(embedded, generator)[:, 0].cpu().numpy())
                errors.append(said - self.scales.to_steps(chunks[:, -1, 0].numpy()))
        error = np.concatenate(errors)
        return {
            "validation_translation_mm": float(np.linalg.norm(error[:, :3], axis=1).mean() * 1e3),
            "validation_rotation_rad": float(np.linalg.norm(error[:, 3:6], axis=1).mean()),
            "validation_gripper_error": float((np.abs(error[:, 6]) > 0.5).mean()),
        }

    def averaged_network(self) -> RumNetwork:
        """Return a copy of the network with the averaged weights, in evaluation mode."""
        network = self._new_network()
        network.load_learned_state(self.average)
        return network.eval()

    def state(self, elapsed_s: float) -> TrainingState:
        """Return all that a later process needs to go on."""
        moments: dict[str, Tensor] = {}
        for stage, optimiser in self._stages.items():
            moments |= moments_of(optimiser, _names(stage, optimiser))
        weights = dict(self.network.learned_state())
        rows = len(self.train_rows)
        return TrainingState(self.step, elapsed_s, rows, to_mapping(self.config), weights, dict(self.average), moments)

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`.

        Raises:
            ConfigurationError: it belongs to other data or another configuration.
        """
        state.check_belongs_to(self.config, len(self.train_rows))
        self.network.load_learned_state(state.weights)
        for name, tensor in self.average.items():
            tensor.copy_(state.average[name])
        for stage, optimiser in self._stages.items():
            restore_moments(optimiser, _names(stage, optimiser), state.moments)
        self.step = state.step

    def _learn_codes(self, head: VqBet, generator: torch.Generator) -> dict[str, float]:
        head.vq.train()
        rows = self._rows(self.config.vq_batch_size)
        loss, figures = head.vq_loss(self.windows.chunks[torch.from_numpy(rows)].to(self.device), generator)
        self._descend("vq", loss, cosine_rate(self.config, self.step, self.vq_steps))
        for name, tensor in self.network.learned_state().items():  # the average of codebooks is no codebook
            if name.startswith("head.vq."):
                self.average[name].copy_(tensor)
        return {f"vq_{name}": value for name, value in figures.items()}

    def _learn_policy(self, generator: torch.Generator) -> dict[str, float]:
        self.network.train()
        if self._vq is not None:
            self._vq.vq.eval()
        seen, state, chunks = self.windows.window(self._rows(self.config.batch_size))
        noise = torch.randn(state.shape, generator=generator)
        given = (state + self.config.state_noise * noise).to(self.device)
        maps = self.seen.maps(self.network, seen, np.random.default_rng([generator.initial_seed(), _PICTURES]))
        with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
            torch.manual_seed(generator.initial_seed())
            embedded = self.network.embed(maps, given)
            loss, figures = self.network.action_head().loss(embedded, chunks.to(self.device), generator)
        done = self.step - self.vq_steps
        self._descend("policy", loss, cosine_rate(self.config, done, self.config.steps))
        keep = min(self.config.ema_decay, (1 + done) / (10 + done))
        for name, tensor in self.network.learned_state().items():
            if not name.startswith("head.vq."):
                self.average[name].lerp_(tensor, 1.0 - keep)
        return {"loss": float(loss.detach()), **figures}

    def _rows(self, count: int) -> NDArray[np.integer]:
        rng = np.random.default_rng([self.config.seed, _ROWS, self.step])
        share = min(count, len(self.train_rows)) // processes.count()
        rows = rng.choice(self.train_rows, size=share * processes.count(), replace=False)
        return rows[processes.rank() :: processes.count()]

    def _descend(self, stage: str, loss: Tensor, rate: float) -> None:
        optimiser = self._stages[stage]
        optimiser.param_groups[0]["lr"] = rate
        for other in self._stages.values():
            other.zero_grad()
        loss.backward()
        parameters = optimiser.param_groups[0]["params"]
        processes.average_gradients(parameters)
        nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip, error_if_nonfinite=True)
        optimiser.step()

    def _new_network(self) -> RumNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return RumNetwork(self.config.model, self.cameras).to(self.device)


def _names(stage: str, optimiser: torch.optim.Optimizer) -> list[str]:
    return [f"{stage}.{number}" for number in range(len(optimiser.param_groups[0]["params"]))]


def _adamw(parameters: Iterable[nn.Parameter], config: RumConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.95))
