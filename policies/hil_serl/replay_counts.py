"""What a replay has seen and holds, in figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReplayCounts:
    """What a replay has seen, and what it holds.

    Attributes:
        added: steps stored since the start.
        duplicates: steps that came again and were ignored.
        unfinished: steps whose next observation will never come: their actor was lost, or the ring came round first.
        overwritten: steps that the ring has overwritten.
        held: steps that are there now.
        sampleable: of these, those that can be drawn.
        waiting: of these, those that wait for their next observation.
        unlabelled: of these, those with a next observation but without a valid reward.
    """

    added: int
    duplicates: int
    unfinished: int
    overwritten: int
    held: int
    sampleable: int
    waiting: int
    unlabelled: int
