"""The last few observations, as a policy wants them."""

from __future__ import annotations

from collections import deque

from tutelage_core.types import Observation


class ObservationWindow:
    """Keeps `history` observations, oldest first; at an episode's start the first one repeats."""

    def __init__(self, history: int) -> None:
        """Keep `history` observations, at least 1."""
        if history < 1:
            raise ValueError(f"history must be at least 1, got {history}")
        self._observations: deque[Observation] = deque(maxlen=history)

    def clear(self) -> None:
        """Forget everything."""
        self._observations.clear()

    def push(self, observation: Observation) -> tuple[Observation, ...]:
        """Add the newest observation and return the full window."""
        if not self._observations:
            self._observations.extend([observation] * (self._observations.maxlen or 1))
        else:
            self._observations.append(observation)
        return tuple(self._observations)
