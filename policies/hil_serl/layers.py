"""Layers that several networks go through at once: one product per layer, whatever the size of the ensemble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def dense(x: Tensor, weight: Tensor, bias: Tensor, precision: torch.dtype) -> Tensor:
    """Return x @ weight + bias for each member; the product in `precision`, the rest and the result in float32.

    Args:
        x: shape (members, batch, inputs).
        weight: shape (members, inputs, outputs).
        bias: shape (members, 1, outputs).
        precision: float32 or bfloat16.
    """
    if precision is torch.float32:
        return torch.baddbmm(bias, x, weight)
    return torch.bmm(x.to(precision), weight.to(precision)).float() + bias


class Norm(nn.Module):
    """LayerNorm and tanh, with scale and shift of each member."""

    def __init__(self, members: int, width: int) -> None:
        """Begin with scale 1 and shift 0."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(members, 1, width))
        self.shift = nn.Parameter(torch.zeros(members, 1, width))

    def forward(self, x: Tensor, members: Tensor | None = None) -> Tensor:
        """Map shape (members, batch, width) to the same; `members` chooses whose scale and shift."""
        scale, shift = chosen(self.scale, members), chosen(self.shift, members)
        if len(x) == 1:
            return F.layer_norm(x, x.shape[-1:], scale.flatten(), shift.flatten()).tanh_()
        return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), scale).tanh_()


class Stack(nn.Module):
    """Members of one shape, each Dense, LayerNorm, tanh and so on, and a last Dense layer without them.

    The first layer is apart from the rest: what it makes of an input can be kept and used again.
    """

    def __init__(
        self,
        members: int,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        precision: torch.dtype,
        *,
        last_scale: float = 1.0,
        extra: int = 0,
    ) -> None:
        """Build it with Glorot-uniform weights (as in HIL-SERL's code), drawn from torch's global generator.

        Args:
            members: how many.
            inputs: numbers of the input that all members share.
            hidden: widths of the layers.
            outputs: of each member.
            precision: of the products of the hidden layers; the last layer's is float32.
            last_scale: factor on the weights that the last layer begins with.
            extra: numbers of a second input of the first layer, such as an action.
        """
        super().__init__()
        self.precision = precision
        # All members' columns stand side by side, so that an input which they share goes through one product.
        side_by_side = glorot(members, inputs, hidden[0], fan_in=inputs + extra).transpose(0, 1)
        self.first_weight = nn.Parameter(side_by_side.contiguous())
        self.extra_weight = nn.Parameter(glorot(members, extra, hidden[0], fan_in=inputs + extra)) if extra else None
        widths = [*hidden, outputs]
        self.weights = nn.ParameterList([glorot(members, *pair) for pair in pairwise(widths)])
        self.weights[-1].data.mul_(last_scale)
        self.biases = nn.ParameterList([torch.zeros(members, 1, width) for width in widths])
        self.norms = nn.ModuleList([Norm(members, width) for width in hidden])

    def first(self, x: Tensor, members: Tensor | None = None) -> Tensor:
        """Return the first layer's sums for the shared input.

        Args:
            x: shape (batch, inputs).
            members: only these, indices; None for all.

        Returns:
            Shape (members, batch, width).
        """
        weight = chosen(self.first_weight, members, dim=1)
        bias = chosen(self.biases[0], members)
        sums = dense(x[None], weight.flatten(1)[None], bias.flatten()[None, None], self.precision)
        return sums.view(len(x), *weight.shape[1:]).transpose(0, 1)

    def rest(self, sums: Tensor, extra: Tensor | None = None, members: Tensor | None = None) -> Tensor:
        """Return the outputs, shape (members, batch, outputs).

        Args:
            sums: what `first` gave for the same members.
            extra: the second input, shape (batch, extra).
            members: only these, indices; None for all.
        """
        x = sums
        if self.extra_weight is not None and extra is not None:
            weight = chosen(self.extra_weight, members)
            x = torch.baddbmm(x, extra.expand(len(weight), *extra.shape), weight)
        last = len(self.weights) - 1
        for i, norm in enumerate(self.norms):
            precision = torch.float32 if i == last else self.precision
            weight, bias = chosen(self.weights[i], members), chosen(self.biases[i + 1], members)
            x = dense(norm(x, members), weight, bias, precision)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (batch, inputs) to shape (members, batch, outputs)."""
        return self.rest(self.first(x))


def chosen(tensor: Tensor, members: Tensor | None, dim: int = 0) -> Tensor:
    """Return the slices `members` of a tensor; all of them for None."""
    return tensor if members is None else tensor.index_select(dim, members)


def glorot(members: int, inputs: int, outputs: int, fan_in: int | None = None) -> Tensor:
    """Return weights of shape (members, inputs, outputs), uniform within sqrt(6 / (fan_in + outputs))."""
    bound = math.sqrt(6.0 / ((inputs if fan_in is None else fan_in) + outputs))
    return torch.empty(members, inputs, outputs).uniform_(-bound, bound)
