"""A trained trunk on disk: a sealed folder of half-precision weights and a JSON spec. No pickle.

::

    trunk.safetensors   weights
    trunk.json          `TrunkSpec`
    card.md             where it is from: script, seed, data, score, licence
    manifest.json       schema version, author, SHA-256 and size of each file
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.encoders.image import TRUNK_SPEC
from tutelage_core.encoders.trunk import TrunkEncoder, TrunkNetwork, TrunkShape
from tutelage_core.encoders.weights import weight_faults
from tutelage_core.errors import CheckpointError, ConfigurationError
from tutelage_core.sealed_folder import parse_json_object, read_sealed, write_sealed

KIND = "image trunk"
WEIGHTS = "trunk.safetensors"
SPEC = TRUNK_SPEC
CARD = "card.md"


@dataclass(frozen=True)
class TrunkSpec:
    """What a stored trunk is.

    Attributes:
        method: how it was trained, for example `state`.
        height, width: size of the images that it was trained on, and takes [px].
        cameras: cameras that took them.
        shape: size of the network.
    """

    method: str
    height: int
    width: int
    cameras: tuple[str, ...]
    shape: TrunkShape = field(default_factory=TrunkShape)


def save_trunk(folder: Path, spec: TrunkSpec, network: TrunkNetwork, *, created_by: str, card: str) -> None:
    """Write a trunk's folder, atomically, in half precision; an older one of the same name is replaced.

    Raises:
        CheckpointError: a weight is not finite in half precision, or spec and network are not of the same shape.
    """
    if spec.shape != network.shape:
        raise CheckpointError(f"{folder}: not saved: the spec says {spec.shape}, the network is {network.shape}")
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        half = tensor.detach().to("cpu", torch.float16).clone(memory_format=torch.contiguous_format)
        if not bool(torch.isfinite(half).all()):
            raise CheckpointError(f"{folder}: not saved: tensor '{name}' is not finite in half precision")
        tensors[name] = half
    files = {
        WEIGHTS: save_safetensors(tensors),
        SPEC: json.dumps(to_mapping(spec), indent=2).encode(),
        CARD: card.encode(),
    }
    write_sealed(folder, files, kind=KIND, created_by=created_by)


def load_trunk(folder: Path, height: int, width: int, name: str) -> TrunkEncoder:
    """Return the trunk in `folder`, frozen, for images of `height` x `width` [px].

    Args:
        folder: a trunk's sealed folder.
        height: of the images, the one that the trunk was trained on [px].
        width: likewise [px].
        name: what the encoder is called.

    Raises:
        CheckpointError: the folder is missing, damaged, or no trunk.
        ConfigurationError: the images are of another size.
    """
    files = read_sealed(folder, kind=KIND, required=(WEIGHTS, SPEC))
    try:
        spec = from_mapping(parse_json_object(files[SPEC], folder / SPEC), TrunkSpec, str(folder / SPEC))
    except ConfigurationError as error:
        raise CheckpointError(str(error)) from error
    if (height, width) != (spec.height, spec.width):
        raise ConfigurationError(
            f"image encoder '{name}': images of {width}x{height} px, but this trunk was trained on "
            f"{spec.width}x{spec.height} px; use cameras of that size or train a trunk on this one"
        )
    try:
        stored = load_safetensors(files[WEIGHTS])
    except Exception as error:  # safetensors raises its own Rust-made types
        raise CheckpointError(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    # The first, random weights are replaced at once and must not disturb the caller's generator.
    with torch.random.fork_rng(devices=[]):
        network = TrunkNetwork(spec.shape)
    own = network.state_dict()
    faults = weight_faults(own, stored)
    if faults:
        raise CheckpointError(f"{folder / WEIGHTS}: weights do not fit {SPEC}: " + "; ".join(faults[:8]))
    network.load_state_dict({tensor_name: tensor.float() for tensor_name, tensor in stored.items()})
    return TrunkEncoder(name, network, height, width, hashlib.sha256(files[WEIGHTS]).hexdigest())
