"""Stored weights against the network that is to hold them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def weight_faults(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Return what is wrong with given weights, a phrase each: missing, unknown, of another shape, or not finite."""
    faults = [f"'{name}' is missing" for name in own if name not in given]
    faults += [f"'{name}' is unknown" for name in given if name not in own]
    for name in own:
        if name not in given:
            continue
        if own[name].shape != given[name].shape:
            faults.append(f"'{name}' has shape {tuple(given[name].shape)}, expected {tuple(own[name].shape)}")
        elif not bool(torch.isfinite(given[name]).all()):
            faults.append(f"'{name}' is not finite")
    return faults
