"""Clocks are passed in: core code never asks the operating system for the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Gives the time that stamps are compared with."""

    def now_ns(self) -> int:
        """Return the time [ns]."""
        ...


class SteadyClock:
    """The machine's monotonic clock: for liveness, unaffected by wall-clock or simulated-time jumps."""

    def now_ns(self) -> int:
        """Return nanoseconds since an arbitrary start."""
        return time.monotonic_ns()


class WallClock:
    """The time of day, which may jump: for what people read, such as when a label was given."""

    def now_ns(self) -> int:
        """Return nanoseconds since 1970, UTC."""
        return time.time_ns()


class ManualClock:
    """A clock that is set by its owner: simulated time and tests."""

    def __init__(self, start_ns: int = 0) -> None:
        """Start at `start_ns` [ns]."""
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time that was last set [ns]."""
        return self._now_ns

    def set_ns(self, now_ns: int) -> None:
        """Set the time [ns]."""
        self._now_ns = now_ns

    def advance_ns(self, delta_ns: int) -> None:
        """Move the time by `delta_ns` [ns]."""
        self._now_ns += delta_ns
