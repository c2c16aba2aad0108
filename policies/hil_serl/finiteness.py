"""Refuses an update whose numbers are not finite, and names where they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tutelage_core.errors import TutelageError

_NAMED = 6


class NonFiniteError(TutelageError):
    """A loss, gradient or weight is not finite; the update was not made."""


def refuse_non_finite(what: str, found: Mapping[str, Tensor], suspects: Callable[[], Mapping[str, Tensor]]) -> None:
    """Refuse `what` if a scalar of `found` is not finite.

    Args:
        what: what is refused, for the error.
        found: name to scalar.
        suspects: asked only then: name to tensor, most likely causes first.

    Raises:
        NonFiniteError: names the scalars, and the tensors that are not finite themselves.
    """
    wrong = [name for name, value in found.items() if not math.isfinite(float(value))]
    if not wrong:
        return
    causes = [name for name, tensor in suspects().items() if not bool(torch.isfinite(tensor).all())]
    raise NonFiniteError(
        f"{what} was not made: {', '.join(wrong)} not finite. Not finite as well: "
        f"{', '.join(causes[:_NAMED]) or 'nothing, so a product overflowed'}. Weights and moments are as before; "
        "go back to the last saved state if a weight is named, look at the data if the batch is"
    )
