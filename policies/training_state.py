"""All that a later process needs to go on with a training: tensors in safetensors, the rest in JSON, sealed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from policies.sealed_folder import parse_json_object, read_sealed, write_sealed
from tutelage_core.config import to_mapping
from tutelage_core.errors import CheckpointError, ConfigurationError

KIND = "training state"
_TENSORS = "state.safetensors"
_FACTS = "state.json"
_MAY_CHANGE = frozenset({"epochs", "budget_s", "log_every", "save_every_s"})
"""Settings that a resumed run may change: how long it trains and how often it reports."""


@dataclass(frozen=True)
class TrainingState:
    """State of a run between two batches.

    Attributes:
        step: batches done.
        elapsed_s: wall time spent [s].
        training_frames: frames trained on, to recognise other data.
        config: the run's settings, plain data.
        weights, average: the network's learned tensors and their running average.
        moments: AdamW's state, keys `<parameter>:<name>`.
    """

    step: int
    elapsed_s: float
    training_frames: int
    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]

    def check_belongs_to(self, config: object, training_frames: int) -> None:
        """Refuse to go on with other settings or other data.

        Raises:
            ConfigurationError: each difference is listed.
        """
        wanted = json.loads(json.dumps(to_mapping(config)))
        differences = [
            f"{key}: {self.config.get(key)} then, {wanted.get(key)} now"
            for key in sorted(set(wanted) | set(self.config))
            if key not in _MAY_CHANGE and wanted.get(key) != self.config.get(key)
        ]
        if training_frames != self.training_frames:
            differences.append(f"training frames: {self.training_frames} then, {training_frames} now")
        if differences:
            raise ConfigurationError("cannot resume this run: " + "; ".join(differences))


def write_training_state(folder: Path, state: TrainingState, created_by: str) -> None:
    """Write the state as a sealed folder, replacing an older one."""
    tensors: dict[str, Tensor] = {}
    for part in ("weights", "average", "moments"):
        for name, tensor in getattr(state, part).items():
            tensors[f"{part}/{name}"] = tensor.detach().clone(memory_format=torch.contiguous_format)
    facts = {
        "step": state.step,
        "elapsed_s": state.elapsed_s,
        "training_frames": state.training_frames,
        "config": state.config,
    }
    write_sealed(
        folder,
        {_TENSORS: save_safetensors(tensors), _FACTS: json.dumps(facts, indent=2).encode()},
        kind=KIND,
        created_by=created_by,
    )


def read_training_state(folder: Path) -> TrainingState:
    """Read and verify a state.

    Raises:
        CheckpointError: the folder is damaged or incomplete.
    """
    files = read_sealed(folder, kind=KIND, required=(_TENSORS, _FACTS))
    facts = parse_json_object(files[_FACTS], folder / _FACTS)
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "average": {}, "moments": {}}
    try:
        for name, tensor in load_safetensors(files[_TENSORS]).items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        return TrainingState(
            int(facts["step"]), float(facts["elapsed_s"]), int(facts["training_frames"]), facts["config"], **parts
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder}: not a training state: {error!r}") from error


def moments_of(optimiser: torch.optim.Optimizer, names: Iterable[str]) -> dict[str, Tensor]:
    """Return an optimiser's state under `<name>:<key>`; one name for each of its parameters, in their order."""
    parameters = _parameters(optimiser)
    return {
        f"{name}:{key}": value
        for name, parameter in zip(names, parameters, strict=True)
        for key, value in optimiser.state[parameter].items()
    }


def restore_moments(optimiser: torch.optim.Optimizer, names: Iterable[str], moments: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `moments_of` told under the same names; parameters without any keep theirs."""
    for name, parameter in zip(names, _parameters(optimiser), strict=True):
        prefix = f"{name}:"
        found = {
            key.removeprefix(prefix): _laid_out_like(parameter, value)
            for key, value in moments.items()
            if key.startswith(prefix)
        }
        if found:
            optimiser.state[parameter] = found


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a copy; files hold plain layouts, and fused AdamW pairs numbers by their place in memory."""
    if value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter).copy_(value)
