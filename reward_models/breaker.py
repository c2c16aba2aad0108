"""A circuit breaker: who gives no answer again and again is left alone for a while."""

from __future__ import annotations

import threading

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S


class CircuitBreaker:
    """Counts calls without an answer. After the pause one call may try; whether it is answered decides."""

    def __init__(self, open_after: int, open_s: float, clock: Clock) -> None:
        """Begin closed.

        Args:
            open_after: calls in a row without an answer after which it opens.
            open_s: how long it stays open [s].
            clock: steady clock.
        """
        self._open_after, self._open_ns, self._clock = open_after, round(open_s * NS_PER_S), clock
        self._failures = 0
        self._opened_ns: int | None = None
        self._trying = False
        self._lock = threading.Lock()

    def may_ask(self) -> bool:
        """Return whether somebody may ask now; who may must say what came of it."""
        with self._lock:
            if self._opened_ns is None:
                return True
            if self._trying or self._clock.now_ns() - self._opened_ns < self._open_ns:
                return False
            self._trying = True
            return True

    def answered(self) -> None:
        """Note that there was an answer."""
        with self._lock:
            self._failures, self._opened_ns, self._trying = 0, None, False

    def failed(self) -> None:
        """Note that there was none."""
        with self._lock:
            self._failures += 1
            if self._trying or self._failures >= self._open_after:
                self._opened_ns = self._clock.now_ns()
            self._trying = False

    @property
    def left_s(self) -> float:
        """How long nobody may ask [s]."""
        with self._lock:
            if self._opened_ns is None:
                return 0.0
            return max(0.0, (self._opened_ns + self._open_ns - self._clock.now_ns()) / NS_PER_S)
