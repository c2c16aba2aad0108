"""A policy on disk: a sealed folder of weights (safetensors) and a JSON spec. No pickle.

::

    model.safetensors   learned tensors, in full or half precision
    spec.json           {"policy": PolicySpec, "model": settings of the network, "normalisation": scales}
    card.md             optional: script, seed, data, score, licence
    manifest.json       schema version, author, SHA-256 and size of each file
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from policies.sealed_folder import parse_json_object, read_sealed, write_sealed
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import PolicySpec
from tutelage_core.errors import CheckpointError, ConfigurationError

KIND = "policy checkpoint"
WEIGHTS = "model.safetensors"
SPEC = "spec.json"
CARD = "card.md"
_SECTIONS = ("policy", "model", "normalisation")

T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """A policy's content, on its way to or from disk.

    Attributes:
        spec: what the policy needs and gives; its `name` is the kind of policy.
        model: settings of the network, plain data.
        normalisation: scales, plain data.
        tensors: name to learned tensor, float32 after loading.
        folder: where it was read from; None for one that was never stored.
    """

    spec: PolicySpec
    model: Mapping[str, Any]
    normalisation: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    folder: Path | None = None

    def section(self, name: str, cls: type[T]) -> T:
        """Return the section `model` or `normalisation` as the dataclass `cls`.

        Raises:
            CheckpointError: it does not fit the dataclass; names the file and the reason.
        """
        return _as_dataclass(getattr(self, name), cls, name, self.folder)


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, *, created_by: str, half: bool = False, card: str | None = None
) -> None:
    """Write a checkpoint folder, atomically; an older one of the same name is replaced.

    Args:
        folder: the checkpoint folder.
        checkpoint: what to store.
        created_by: program that made it.
        half: store floats in half precision: half the size, and results that differ in the fourth digit.
        card: text of `card.md`.

    Raises:
        CheckpointError: a tensor is not finite, or would not be in half precision.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in checkpoint.tensors.items():
        kept = tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else tensor.dtype)
        if kept.is_floating_point() and not bool(torch.isfinite(kept).all()):
            raise CheckpointError(
                f"{folder}: not saved: tensor '{name}' is not finite{' in half precision' if half else ''}"
            )
        tensors[name] = kept.clone(memory_format=torch.contiguous_format)
    spec = {
        "policy": to_mapping(checkpoint.spec),
        "model": dict(checkpoint.model),
        "normalisation": dict(checkpoint.normalisation),
    }
    files = {WEIGHTS: save_safetensors(tensors), SPEC: json.dumps(spec, indent=2).encode()}
    if card is not None:
        files[CARD] = card.encode()
    write_sealed(folder, files, kind=KIND, created_by=created_by)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and verify a checkpoint folder: presence, size, SHA-256, schema, finiteness.

    Names and shapes of the tensors are compared by the policy that is built from it.

    Raises:
        CheckpointError: anything is wrong; names the file and the reason.
    """
    files = read_sealed(folder, kind=KIND, required=(WEIGHTS, SPEC))
    document = parse_json_object(files[SPEC], folder / SPEC)
    for section in _SECTIONS:
        if not isinstance(document.get(section), dict):
            raise CheckpointError(f"{folder / SPEC}: section '{section}' is missing or not a mapping")
    spec = _as_dataclass(document["policy"], PolicySpec, "policy", folder)
    try:
        stored = load_safetensors(files[WEIGHTS])
    except Exception as error:  # safetensors raises its own Rust-made types
        raise CheckpointError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{folder / WEIGHTS}: tensor '{name}' holds values that are not finite")
    return Checkpoint(spec, document["model"], document["normalisation"], tensors, folder)


def _as_dataclass(data: object, cls: type[T], section: str, folder: Path | None) -> T:
    where = str(folder / SPEC) if folder else SPEC
    try:
        return from_mapping(data, cls, f"{where}: {section}")
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from error
