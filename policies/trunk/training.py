"""One training run of a trunk: network, heads, optimiser and running average, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from policies.bc.batches import epoch_order, split_rows
from policies.bc.training import cpu_likes_bf16
from policies.training_state import TrainingState, moments_of, restore_moments
from policies.trunk.config import TrunkConfig
from policies.trunk.objective import Objective
from tutelage_core.config import to_mapping
from tutelage_core.encoders.image import check_divisible
from tutelage_core.encoders.trunk import COARSEST_STRIDE, TrunkNetwork
from tutelage_core.errors import ConfigurationError

_DRAWS = 11
"""Key of the named random generator of the batches."""
_EVALUATION_BATCH = 64
_LARGEST_VALIDATION = 2048
"""Moments that are validated at most: more would cost more time than they tell."""

MakeObjective = Callable[[tuple[int, int], TrunkConfig], Objective]
"""From rows and columns of the feature map and the configuration to data, heads and loss."""


class TrunkTraining:
    """One run."""

    def __init__(self, image_size: tuple[int, int], make_objective: MakeObjective, config: TrunkConfig) -> None:
        """Build trunk and heads from the configuration's seed, for images of this height and width [px].

        Raises:
            ConfigurationError: the images cannot be cut into the trunk's cells.
        """
        check_divisible("trunk", *image_size, COARSEST_STRIDE)
        self.config = config
        grid = image_size[0] // config.shape.stride, image_size[1] // config.shape.stride
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = TrunkNetwork(config.shape)
            self.objective = make_objective(grid, config)
        self._learning = nn.ModuleDict({"trunk": self.network, "heads": self.objective.heads})
        self.train_rows, held_out = split_rows(self.objective.groups, config.validation_fraction, config.seed)
        stride = max(1, math.ceil(len(held_out) / _LARGEST_VALIDATION))
        self.held_out_rows = held_out[::stride]
        self._weights = dict(self._learning.named_parameters())
        self.average = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._optimiser = torch.optim.AdamW(
            self._weights.values(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self._bf16 = cpu_likes_bf16() if config.bf16 is None else config.bf16
        self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch; a last, smaller batch is left out unless it is the only one."""
        return max(1, len(self.train_rows) // self.config.batch_size)

    @property
    def total_steps(self) -> int:
        """Batches in all epochs."""
        return self.steps_per_epoch * self.config.epochs

    def take_step(self, progress: float) -> dict[str, float]:
        """Train on the next batch and return the terms of its loss; `progress` is the part that is over, 0..1.

        Raises:
            RuntimeError: the gradient is no longer finite.
        """
        config = self.config
        epoch, place = divmod(self.step, self.steps_per_epoch)
        order = epoch_order(self.train_rows, config.seed, epoch)
        rows = order[place * config.batch_size : (place + 1) * config.batch_size]
        warm = min(1.0, (self.step + 1) / max(1, config.warmup_steps))
        rate = config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        images = self.objective.images(rows, np.random.default_rng([config.seed, _DRAWS, self.step]))
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            features = self.network(images)
        terms = self.objective.losses(features.float())
        total = cast("Tensor", sum(terms.values()))
        self._optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self._weights.values(), config.gradient_clip, error_if_nonfinite=True)
        self._optimiser.step()
        self.step += 1
        keep = min(config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, weight in self._weights.items():
                self.average[name].lerp_(weight, 1.0 - keep)
        return {"loss": float(total.detach()), **{name: float(term.detach()) for name, term in terms.items()}}

    def validate(self) -> dict[str, float]:
        """Return the averaged weights' errors on the held-out moments; empty when none is held out."""
        sums: dict[str, list[float]] = {}
        current = self._exchange(self.average)
        try:
            with torch.inference_mode():
                for start in range(0, len(self.held_out_rows), _EVALUATION_BATCH):
                    rows = self.held_out_rows[start : start + _EVALUATION_BATCH]
                    features = self.network(self.objective.images(rows, None))
                    for name, value in self.objective.errors(features).items():
                        sums.setdefault(name, []).append(value)
        finally:
            self._exchange(current)
        return {f"validation_{name}": float(np.nanmean(values)) for name, values in sums.items()}

    def averaged_trunk(self) -> TrunkNetwork:
        """Return a copy of the trunk with the averaged weights."""
        with torch.random.fork_rng(devices=[]):
            trunk = TrunkNetwork(self.config.shape)
        trunk.load_state_dict({n.removeprefix("trunk."): t for n, t in self.average.items() if n.startswith("trunk.")})
        return trunk.eval()

    def state(self, elapsed_s: float) -> TrainingState:
        """Return all that a later process needs to go on."""
        moments = moments_of(self._optimiser, self._weights)
        weights = {name: weight.detach() for name, weight in self._weights.items()}
        return TrainingState(
            self.step, elapsed_s, len(self.train_rows), to_mapping(self.config), weights, dict(self.average), moments
        )

    def restore(self, state: TrainingState) -> None:
        """Go on from `state`.

        Raises:
            ConfigurationError: it belongs to other data or another configuration.
        """
        state.check_belongs_to(self.config, len(self.train_rows))
        if set(state.weights) != set(self._weights):
            raise ConfigurationError("cannot resume this run: it has other cameras or another method")
        self._exchange(state.weights)
        for name, tensor in self.average.items():
            tensor.copy_(state.average[name])
        restore_moments(self._optimiser, self._weights, state.moments)
        self.step = state.step

    def _exchange(self, tensors: dict[str, Tensor] | object) -> dict[str, Tensor]:
        """Put `tensors` in place of the weights and return what was there."""
        given = cast("dict[str, Tensor]", tensors)
        before = {name: weight.detach().clone() for name, weight in self._weights.items()}
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(given[name])
        return before
