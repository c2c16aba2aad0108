"""A canary batch: a few observations on which new weights are tried before they may drive anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from policies.hil_serl.batch import ObservationShape, Observed
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.networks import ActingNetworks
from policies.hil_serl.replay_batch import empty_batch
from tutelage_core.errors import ConfigurationError

ROWS = 16
"""Observations of a whole canary batch."""


class Outputs(NamedTuple):
    """What the acting networks say to a batch, before anything is squashed, drawn or chosen.

    Attributes:
        mean, log_std: of the Gaussian, shape (batch, action).
        grasp: values of close, hold and open, shape (batch, 3); of no column where there is no gripper.
    """

    mean: Tensor
    log_std: Tensor
    grasp: Tensor


@dataclass(frozen=True)
class CanaryBounds:
    """What the outputs may be.

    Attributes:
        most_mean: largest mean before squashing, by its size; tanh is flat long before.
        most_std: largest standard deviation before squashing.
        tolerance: by how much the outputs may differ from those that the learner had, relative to their size or 1.
    """

    most_mean: float = 100.0
    most_std: float = 10.0
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        """Refuse bounds that are none."""
        for name, value in vars(self).items():
            if not 0.0 < value < float("inf"):
                raise ConfigurationError(f"CanaryBounds: {name} must be positive and finite, got {value}")


def canary_batch(mixture: Mixture) -> Observed:
    """Return an observation of nothing and, where there are some, the first that were demonstrated and seen.

    Args:
        mixture: demonstrations and what was seen; plain views are taken.
    """
    layout = mixture.online.layout
    shape = ObservationShape.of(layout)
    kind = torch.uint8 if layout.images else torch.float16
    images = {name: [torch.zeros((1, *size), dtype=kind)] for name, size in shape.images.items()}
    states = [torch.zeros((1, shape.state))]
    for replay in (mixture.demonstrations, mixture.online):
        slots = np.sort(replay.sampleable)[: ROWS // 2]
        if not len(slots):
            continue
        batch = empty_batch(replay.layout, len(slots))
        replay.arrays.gather(slots, batch, 0, np.random.default_rng(0), plain_views=True)
        for name, stored in (batch.maps or batch.images).items():
            images[name].append(torch.from_numpy(stored.copy()))
        states.append(torch.from_numpy(batch.state.copy()))
    return Observed({name: torch.cat(parts) for name, parts in images.items()}, torch.cat(states))


def outputs_of(networks: ActingNetworks, observed: Observed) -> Outputs:
    """Return what the networks say to a batch."""
    with torch.inference_mode():
        features = networks.encoder(networks.encoder.prepare(observed))
        pi = networks.actor(features)
        critic = networks.grasp_critic
        grasp = critic(features)[0] if critic is not None else torch.zeros((len(pi.mean), 0))
    return Outputs(pi.mean, pi.log_std, grasp)


def faults_of(found: Outputs, expected: Outputs, bounds: CanaryBounds) -> list[str]:
    """Return what is wrong with the outputs of new weights, empty if nothing is."""
    faults: list[str] = []
    told: Mapping[str, tuple[Tensor, Tensor]] = {
        name: (getattr(found, name), getattr(expected, name)) for name in Outputs._fields
    }
    for name, (here, there) in told.items():
        if not bool(torch.isfinite(here).all()):
            faults.append(f"{name} is not finite")
        elif here.shape != there.shape:
            faults.append(f"{name} has shape {tuple(here.shape)}, the learner's has {tuple(there.shape)}")
        elif here.numel():
            away = float(((here - there).abs() / there.abs().clamp(min=1.0)).max())
            if not away <= bounds.tolerance:  # so written that NaN is refused
                faults.append(
                    f"{name} differs from the learner's by {away:.3g}, at most {bounds.tolerance:g} is allowed"
                )
    if faults:
        return faults
    mean, std = float(found.mean.abs().max()), float(found.log_std.max().exp())
    if mean > bounds.most_mean:
        faults.append(f"mean of {mean:.3g}, at most {bounds.most_mean:g} is allowed")
    if std > bounds.most_std:
        faults.append(f"standard deviation of {std:.3g}, at most {bounds.most_std:g} is allowed")
    return faults
