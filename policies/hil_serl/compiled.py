"""torch.compile with a comparison first and a way back: a compiled loss that differs from the plain one is not used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest relative difference of loss and gradient from the plain function's, by the type of its products."""


class HasTotal(Protocol):
    """What is compiled returns a loss."""

    @property
    def total(self) -> Tensor:
        """Scalar with a gradient."""
        ...


P = ParamSpec("P")
R = TypeVar("R", bound=HasTotal)


class CheckedCompile(Generic[P, R]):
    """A loss that runs compiled if it may; the first call compiles it and compares it with the plain one."""

    def __init__(
        self, plain: Callable[P, R], weights: Sequence[Tensor], precision: torch.dtype, *, wanted: bool
    ) -> None:
        """Wrap `plain`, whose gradient is that of `weights`; with `wanted` false, nothing is ever compiled."""
        self._plain = plain
        self._weights = list(weights)
        self._tolerance = TOLERANCE[precision]
        self._untried = wanted
        self._compiled: Callable[P, R] | None = None
        self.why_not = ""

    @property
    def is_compiled(self) -> bool:
        """Whether the compiled function is the one that runs."""
        return self._compiled is not None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the loss."""
        if self._untried:
            self._untried = False
            self._try(*args, **kwargs)
        if self._compiled is None:
            return self._plain(*args, **kwargs)
        try:
            return self._compiled(*args, **kwargs)
        except (
            Exception
        ) as error:  # compilers raise whatever they like; the plain function says if it is not their fault
            self._give_up(f"{type(error).__name__}: {error}")
            return self._plain(*args, **kwargs)

    def _try(self, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            compiled: Callable[P, R] = torch.compile(self._plain, dynamic=False)
            loss, gradient = self._outcome(compiled, *args, **kwargs)
        except Exception as error:  # no compiler on this machine, an operation it does not know, ...
            self._give_up(f"{type(error).__name__}: {error}")
            return
        plain_loss, plain_gradient = self._outcome(self._plain, *args, **kwargs)
        for what, found, expected in (("loss", loss, plain_loss), ("gradient", gradient, plain_gradient)):
            difference = float((found - expected).norm() / expected.norm().clamp(min=1e-12))
            if not difference <= self._tolerance:
                self._give_up(f"its {what} differs by {difference:.2g} of the plain one's, allowed {self._tolerance:g}")
                return
        self._compiled = compiled

    def _outcome(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> tuple[Tensor, Tensor]:
        loss = function(*args, **kwargs).total
        gradients = torch.autograd.grad(loss, self._weights)
        return loss.detach(), torch.cat([g.flatten() for g in gradients])

    def _give_up(self, why: str) -> None:
        self._compiled = None
        self.why_not = why
