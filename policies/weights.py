"""Weights into a network, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tutelage_core.errors import ConfigurationError


def copy_weights(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into `own`, which must have exactly their names and shapes.

    Raises:
        ConfigurationError: they have not; each difference is listed.
    """
    faults = [f"missing tensor '{name}'" for name in own if name not in tensors]
    faults += [f"unknown tensor '{name}'" for name in tensors if name not in own]
    faults += [
        f"tensor '{name}': shape {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in tensors and tensors[name].shape != own[name].shape
    ]
    if faults:
        raise ConfigurationError("weights do not fit the network: " + "; ".join(faults[:8]))
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
