"""Stretches of control periods in which something stays the same, and the colours of those who drive."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

import numpy as np

from tutelage_core.contract import NS_PER_S
from tutelage_core.episodes.reader import Episode
from tutelage_core.types import FloatArray, Source

T = TypeVar("T", bound=Hashable)

SOURCE_COLOURS: Mapping[Source, str] = {
    Source.POLICY: "#0072b2",
    Source.HUMAN: "#e69f00",
    Source.EXPERT: "#009e73",
    Source.PHRASE: "#cc79a7",
    Source.HOLD: "#9a9a9a",
    Source.HOMING: "#56b4e9",
}
"""Who drives, in colours that people with any kind of colour vision can tell apart (Okabe and Ito, 2008)."""


@dataclass(frozen=True)
class Span(Generic[T]):
    """Control periods `first` to before `end` in which something has one value."""

    value: T
    first: int
    end: int


def spans_of(values: Iterable[T]) -> tuple[Span[T], ...]:
    """Return the stretches of equal neighbours of one value for each control period."""
    spans: list[Span[T]] = []
    first = 0
    for value, group in groupby(values):
        end = first + sum(1 for _ in group)
        spans.append(Span(value, first, end))
        first = end
    return tuple(spans)


def edges_s(episode: Episode) -> FloatArray:
    """Return when each control period begins, and last when the last one ends, shape (T + 1,) [s] from the first."""
    stamps = np.append(episode.stamps_ns, episode.stamps_ns[-1] + episode.metadata.contract.period_ns)
    return (stamps - stamps[0]).astype(np.float64) / NS_PER_S


def changed(episode: Episode) -> np.ndarray:
    """Return in which control periods the gate changed what was asked, shape (T,), bool."""
    unlike = (episode.requested != episode.executed).any(axis=1)
    return unlike | np.array([bool(reasons) for reasons in episode.reasons])
