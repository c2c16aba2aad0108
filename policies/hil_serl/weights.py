"""Weights on their way into a network: all of them fit, or none is taken."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tutelage_core.errors import ConfigurationError

_LISTED = 8


def put_weights(module: nn.Module, tensors: Mapping[str, Tensor], what: str) -> None:
    """Copy `tensors` into the module; `what` names it in errors.

    Raises:
        ConfigurationError: a tensor is missing, unknown, of another shape or not finite; the first ones are listed, and
            the module is as it was.
    """
    own = module.state_dict()
    faults = [f"'{name}' is missing" for name in own if name not in tensors]
    faults += [f"'{name}' is unknown" for name in tensors if name not in own]
    for name in own.keys() & tensors.keys():
        if own[name].shape != tensors[name].shape:
            faults.append(f"'{name}' has shape {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}")
        elif not bool(torch.isfinite(tensors[name]).all()):
            faults.append(f"'{name}' is not finite")
    if faults:
        raise ConfigurationError(f"weights do not fit the {what}: " + "; ".join(faults[:_LISTED]))
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
