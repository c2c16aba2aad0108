"""The plug point of a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from tutelage_core.contract import PolicySpec
from tutelage_core.types import ActionChunk, Observation


@runtime_checkable
class Policy(Protocol):
    """Maps a window of observations to a chunk of steps. Implementations pass `tests/contract/test_policy.py`."""

    @property
    def spec(self) -> PolicySpec:
        """What the policy needs and gives."""
        ...

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode of `task` (an instruction sentence); anything random follows `seed`."""
        ...

    def act(self, window: Sequence[Observation]) -> ActionChunk:
        """Return the steps to take from the newest observation on.

        Args:
            window: the last `spec.history` observations, oldest first; at an episode's start the first one repeats.

        Returns:
            A chunk stamped with the newest observation's stamp; steps of shape (spec.chunk, 7) [m, rad, 0..1].
        """
        ...


@runtime_checkable
class Correctable(Protocol):
    """A policy that a person may correct by a sentence while it drives."""

    def correct(self, phrase: str) -> str:
        """Follow `phrase` from the next chunk on; return why that is not possible, or nothing."""
        ...
