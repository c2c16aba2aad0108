"""How a person notices: perhaps looking elsewhere, and always a little late."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from sim.bounds import check_bounds

_LOOKING = 30_001  # keeps these draws apart from others of the same seed


@dataclass(frozen=True)
class AttentionSettings:
    """How well somebody pays attention.

    Attributes:
        reaction_delay_s: from when something can be seen to when the person acts on it [s].
        attention: share of the windows in which the person looks at all, 0..1.
        window_s: how long the person keeps looking, or looking away [s].
    """

    reaction_delay_s: float = 0.3
    attention: float = 1.0
    window_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what nobody can be.

        Raises:
            ConfigurationError: a number is out of bounds.
        """
        check_bounds(self, 0.0, 60.0, "reaction_delay_s")
        check_bounds(self, 0.0, 1.0, "attention")
        check_bounds(self, 1e-3, 3600.0, "window_s")


class Attention:
    """Turns what could be seen into what the person reacts to."""

    def __init__(self, settings: AttentionSettings, period_s: float) -> None:
        """Be asked once a control period of `period_s` [s]."""
        self._settings = settings
        self._delay = periods(settings.reaction_delay_s, period_s)
        self._window = max(periods(settings.window_s, period_s), 1)
        self.restart(0)

    @property
    def delay_periods(self) -> int:
        """Control periods between seeing and acting."""
        return self._delay

    def restart(self, seed: int) -> None:
        """Begin an episode; where the person looks follows from `seed`.

        A window that somebody watches is also watched by whoever pays more attention, for the same seed.
        """
        self._seed, self._asked = seed, 0
        self._looking = True
        self._seen: deque[str] = deque()
        self.forget()

    def forget(self) -> None:
        """Drop what was seen and not yet reacted to: the person has just acted."""
        self._seen.clear()
        self._seen.extend([""] * self._delay)

    def notice(self, sight: str) -> str:
        """Return what the person reacts to now; call it once a control period.

        Args:
            sight: what could be seen in this period; empty for nothing.

        Returns:
            What was seen one reaction delay ago; empty if nothing was, or nobody looked.
        """
        window, first = divmod(self._asked, self._window)
        if first == 0:
            draw = np.random.default_rng([self._seed, _LOOKING, window]).random()
            self._looking = bool(draw < self._settings.attention)
        self._asked += 1
        self._seen.append(sight if self._looking else "")
        return self._seen.popleft()


def periods(duration_s: float, period_s: float) -> int:
    """Return how many control periods a duration takes, the last one counted in full."""
    return int(np.ceil(duration_s / period_s - 1e-9))
