"""What behaviour cloning minimises.

    L = sum_i g^i w_i (|a_i - a*_i| + c b_i BCE(p_i, p*_i)) + k |y - y*|

a: normalised motion of step i of the chunk, p: gripper, y: pose difference to the next keyframe; w is 0 where the chunk
runs past the episode's end, g the chunk's discount, b raises chunks in which the gripper changes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from policies.bc.config import BcConfig
from policies.bc.model import Prediction


class Targets(NamedTuple):
    """What the demonstration did.

    Attributes:
        motion: normalised translations and rotations, shape (batch, chunk, 6).
        gripper: opening, shape (batch, chunk) [0..1].
        valid: 1 for a step of the episode, 0 past its end, shape (batch, chunk).
        keyframe: scaled pose difference to the next keyframe, shape (batch, 6).
        keyframe_valid: 1 where that is known, per number, shape (batch, 6).
    """

    motion: Tensor
    gripper: Tensor
    valid: Tensor
    keyframe: Tensor
    keyframe_valid: Tensor


class Losses(NamedTuple):
    """The terms of one batch, each a scalar; `total` is their weighted sum."""

    total: Tensor
    motion: Tensor
    gripper: Tensor
    keyframe: Tensor


def bc_losses(said: Prediction, done: Targets, config: BcConfig) -> Losses:
    """Return the loss of a batch and its terms."""
    weight = done.valid * config.chunk_discount ** torch.arange(done.valid.shape[1])
    weight = weight / weight.sum().clamp(min=1.0)

    if config.step_loss == "l1":
        distance = (said.motion - done.motion).abs()
    else:
        distance = F.huber_loss(said.motion, done.motion, reduction="none", delta=config.huber_delta)
    motion = (weight * distance.mean(dim=-1)).sum()

    opened = (done.gripper > 0.5) & (done.valid > 0)
    closed = (done.gripper <= 0.5) & (done.valid > 0)
    changes = opened.any(dim=1, keepdim=True) & closed.any(dim=1, keepdim=True)
    importance = 1.0 + config.gripper_change_weight * changes
    entropy = F.binary_cross_entropy_with_logits(said.gripper_logit, done.gripper, reduction="none")
    gripper = (weight * importance * entropy).sum()

    keyframe = (done.keyframe_valid * (said.keyframe - done.keyframe).abs()).sum()
    keyframe = keyframe / done.keyframe_valid.sum().clamp(min=1.0)

    total = motion + config.gripper_weight * gripper + config.keyframe_weight * keyframe
    return Losses(total, motion, gripper, keyframe)
