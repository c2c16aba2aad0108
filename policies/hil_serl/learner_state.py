"""All that a later process needs to go on learning bit for bit: tensors in safetensors, the rest in JSON, sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from policies.hil_serl.batch import ObservationShape
from policies.hil_serl.config import HilSerlConfig
from policies.sealed_folder import parse_json_object, read_sealed, write_sealed
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.errors import CheckpointError, ConfigurationError

KIND = "hil-serl learner"
_TENSORS = "learner.safetensors"
_FACTS = "learner.json"


@dataclass(frozen=True)
class LearnerState:
    """State of a learner between two updates.

    Attributes:
        config: its settings.
        shape: sizes of its observations.
        counters: `updates` and `actor_updates`.
        tensors: networks, targets, optimiser moments, temperature and random generator, by name.
    """

    config: HilSerlConfig
    shape: ObservationShape
    counters: Mapping[str, int]
    tensors: Mapping[str, Tensor]

    def check_belongs_to(self, config: HilSerlConfig, shape: ObservationShape) -> None:
        """Refuse to go on with other networks, losses, rates or observations; the schedule may change, and `compile`.

        Raises:
            ConfigurationError: each difference is listed.
        """
        here = {"shape": shape, "model": config.model, "loss": config.loss, "learner": config.learner}
        then = {
            "shape": self.shape,
            "model": self.config.model,
            "loss": self.config.loss,
            "learner": replace(self.config.learner, compile=config.learner.compile),
        }
        differences = [f"{name}: {then[name]} then, {here[name]} now" for name in here if then[name] != here[name]]
        if differences:
            raise ConfigurationError("cannot go on from this learner's state: " + "; ".join(differences))


def write_learner_state(folder: Path, state: LearnerState, created_by: str) -> None:
    """Write the state as a sealed folder, atomically, replacing an older one.

    Raises:
        CheckpointError: a tensor is not finite.
    """
    for name, tensor in state.tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{folder}: not saved: tensor '{name}' is not finite")
    facts = {
        "config": to_mapping(state.config),
        "shape": to_mapping(state.shape),
        "counters": dict(state.counters),
    }
    tensors = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in state.tensors.items()
    }
    files = {_TENSORS: save_safetensors(tensors), _FACTS: json.dumps(facts, indent=2).encode()}
    write_sealed(folder, files, kind=KIND, created_by=created_by)


def read_learner_state(folder: Path) -> LearnerState:
    """Read and verify a state.

    Raises:
        CheckpointError: the folder is missing, damaged, or not of a learner.
    """
    files = read_sealed(folder, kind=KIND, required=(_TENSORS, _FACTS))
    facts = parse_json_object(files[_FACTS], folder / _FACTS)
    try:
        config = from_mapping(facts.get("config"), HilSerlConfig, f"{folder / _FACTS}: config")
        shape = from_mapping(facts.get("shape"), ObservationShape, f"{folder / _FACTS}: shape")
        counters: dict[str, Any] = facts["counters"]
        tensors = load_safetensors(files[_TENSORS])
        return LearnerState(config, shape, {name: int(value) for name, value in counters.items()}, tensors)
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # safetensors raises its own Rust-made types
        raise CheckpointError(f"{folder}: not a learner's state: {error!r}") from error


def part_of(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors named `<part>/...`, without that prefix."""
    prefix = f"{part}/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def moments(optimiser: torch.optim.Optimizer, weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the optimiser's tensors, `<part>/<weight>:<name>`."""
    return {
        f"{part}/{name}:{key}": value
        for name, weight in weights.items()
        for key, value in optimiser.state[weight].items()
    }


def put_moments(
    optimiser: torch.optim.Optimizer, weights: Mapping[str, Tensor], tensors: Mapping[str, Tensor], part: str
) -> None:
    """Give the optimiser back what `moments` took."""
    own = part_of(tensors, part)
    for name, weight in weights.items():
        prefix = f"{name}:"
        found = {key.removeprefix(prefix): value for key, value in own.items() if key.startswith(prefix)}
        # Fused Adam pairs numbers by their place in memory, so moments get the layout of their weight.
        optimiser.state[weight] = {
            key: torch.empty_like(weight).copy_(value) if value.shape == weight.shape else value.clone()
            for key, value in found.items()
        }
