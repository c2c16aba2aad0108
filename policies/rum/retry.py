"""Verify and retry (RUM, 1.5): look whether it worked; if not, begin again from another place, some times at most.

Nothing moves here and nobody looks: the loop is told verdicts, and tells what is to be done. So the same object serves
the graph's session and the one-process loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray
from tutelage_core.verdict import Answer, Verdict

ROWS = (2, 3, 3, 2)
"""Heights of RUM's start grid in each of its four columns: ten places in all."""

COLUMNS = (-1.0, -1 / 3, 1 / 3, 1.0)
"""Where the columns stand, as shares of the farthest."""


@dataclass(frozen=True)
class RetrySettings:
    """How often and from where.

    Attributes:
        tries: attempts at most, the first one included.
        unknown_most: verdicts in a row that are unknown, after which nobody knows and it ends.
        sideways_m: how far the outermost starts lie to either side of the first one [m].
        up_m: how far the highest ones lie above the lowest [m].
    """

    tries: int = 10
    unknown_most: int = 3
    sideways_m: float = 0.08
    up_m: float = 0.06

    def __post_init__(self) -> None:
        """Refuse what tries nothing."""
        for name in ("tries", "unknown_most"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"RetrySettings: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("sideways_m", "up_m"):
            if not 0.0 <= getattr(self, name) <= 0.3:
                raise ConfigurationError(f"RetrySettings: {name} must be in 0..0.3, got {getattr(self, name)}")


def start_offsets(settings: RetrySettings, seed: int) -> FloatArray:
    """Return where attempts begin, as offsets from home [m], shape (11, 3): home first, then RUM's grid, shuffled.

    x is ahead, y to the left, z up, in the robot's base frame; no attempt begins ahead of home or below it.
    """
    places = [
        (0.0, share * settings.sideways_m, settings.up_m * row / max(rows - 1, 1))
        for share, rows in zip(COLUMNS, ROWS, strict=True)
        for row in range(rows)
    ]
    shuffled = np.random.default_rng([seed, 40_001]).permutation(np.array(places))
    return np.concatenate([np.zeros((1, 3)), shuffled])


class Ending(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    """The verifier says that it worked."""
    TRIES = "tries"
    """It did not work as often as was allowed."""
    IRREVERSIBLE = "irreversible"
    """Another attempt cannot mend it: the thing is out of reach, or the arm has stopped."""
    UNVERIFIED = "unverified"
    """The verifier could not say, again and again: whether it worked nobody knows."""


POLICY_SEEDS_APART = 10_000_019
"""Between the seeds of two attempts, so that what a policy draws at random is drawn anew."""


@dataclass(frozen=True)
class Attempt:
    """What is to be done next.

    Attributes:
        number: of the attempt, from 0 on.
        offset_m: where it begins, from home, x y z of the base frame [m].
    """

    number: int
    offset_m: tuple[float, float, float]

    def policy_seed(self, seed: int) -> int:
        """Return what the policy draws from in this attempt at a task of `seed`."""
        return seed + self.number * POLICY_SEEDS_APART


class RetryLoop:
    """One task, from its first attempt to its end."""

    def __init__(self, settings: RetrySettings, seed: int) -> None:
        """Begin; where the attempts start follows `seed`."""
        self._settings = settings
        self._offsets = start_offsets(settings, seed)
        self._unknown = 0
        self.verdicts: list[Verdict] = []
        """Of all attempts, the oldest first; one attempt may have several that are unknown."""
        self.attempts = 1
        self.ending: Ending | None = None

    @property
    def attempt(self) -> Attempt:
        """The attempt that is under way, or was last."""
        number = self.attempts - 1
        x, y, z = self._offsets[number % len(self._offsets)].tolist()
        return Attempt(number, (x, y, z))

    def end(self, why: Ending) -> None:
        """End it for a reason that is not the verifier's."""
        self._refuse_after_the_end()
        self.ending = why

    def judge(self, verdict: Verdict) -> Attempt | None:
        """Take a verdict on the attempt under way.

        Returns:
            The next attempt; the same one again where the verifier is to be asked once more; None at the end, and
            `ending` says which.

        Raises:
            ConfigurationError: it has ended already.
        """
        self._refuse_after_the_end()
        self.verdicts.append(verdict)
        if verdict.answer is Answer.UNKNOWN:
            self._unknown += 1
            if self._unknown < self._settings.unknown_most:
                return self.attempt
            self.ending = Ending.UNVERIFIED
            return None
        self._unknown = 0
        if verdict.answer is Answer.YES:
            self.ending = Ending.SUCCESS
        elif verdict.irreversible:
            self.ending = Ending.IRREVERSIBLE
        elif self.attempts >= self._settings.tries:
            self.ending = Ending.TRIES
        else:
            self.attempts += 1
            return self.attempt
        return None

    def abandon(self) -> None:
        """End it with the attempt that was judged last: the arm cannot begin another one."""
        if self.ending is None:
            self.attempts -= 1
        self.end(Ending.IRREVERSIBLE)

    def _refuse_after_the_end(self) -> None:
        if self.ending is not None:
            raise ConfigurationError(f"retry: it has ended with {self.ending}; nothing more is judged")
