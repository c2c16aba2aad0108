"""From a probability for each frame to a verdict: several frames in a row, and a band in which nothing is said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from tutelage_core.errors import ConfigurationError


class Verdict(StrEnum):
    """What the detector says after a frame."""

    SUCCESS = "success"
    NO = "no"
    UNSURE = "unsure"


@dataclass(frozen=True)
class DetectionRule:
    """When a row of probabilities is a success; stored with the classifier.

    Attributes:
        high: a frame of at least this probability looks like success.
        low: a frame below this one does not; between the two it is not sure.
        consecutive: frames in a row that must look like success.
        patience: frames that are not sure and may stand in that row; they count for nothing.
    """

    high: float
    low: float
    consecutive: int = 3
    patience: int = 2

    def __post_init__(self) -> None:
        """Refuse thresholds that decide nothing, NaN included."""
        if not 0.0 < self.low <= self.high < 1.0:
            raise ConfigurationError(f"DetectionRule: needs 0 < low <= high < 1, got {self.low} and {self.high}")
        if self.consecutive < 1 or self.patience < 0:
            raise ConfigurationError(
                f"DetectionRule: consecutive must be at least 1 and patience not negative, got {self.consecutive} and "
                f"{self.patience}"
            )


class SuccessDetector:
    """Counts the frames of an episode that look like success.

    * At `high` or above, the frame counts; with `consecutive` of them the verdict is SUCCESS, before that UNSURE.
    * Between `low` and `high` it is UNSURE: the count stays as it is, but after more than `patience` such frames in a
      row it begins anew.
    * Below `low` it is NO, and the count begins anew.
    * What is no probability (NaN, or outside 0..1) is UNSURE, and the count begins anew: nothing was seen.

    SUCCESS is said again for each further frame that looks like it; who ends the episode at the first need not care.
    """

    def __init__(self, rule: DetectionRule) -> None:
        """Judge by `rule`; the first episode has begun."""
        self.rule = rule
        self._row = self._unsure = 0
        self._silent = 0
        self._begun = self._fired = False
        self.invalid_frames = 0
        """Frames, of all episodes, whose probability was none."""

    @property
    def silent_episodes(self) -> int:
        """Episodes in a row without SUCCESS, up to the last `restart`; one of which no frame was seen is none.

        A long silence says that the policy does not succeed, or that the classifier does not see it: look which.
        """
        return self._silent

    def restart(self) -> None:
        """Begin an episode: nothing that was seen before counts."""
        if self._begun:
            self._silent = 0 if self._fired else self._silent + 1
        self._row = self._unsure = 0
        self._begun = self._fired = False

    def see(self, probability: float) -> Verdict:
        """Return the verdict after the next frame, which shows success with `probability` (0..1)."""
        self._begun = True
        if not (math.isfinite(probability) and 0.0 <= probability <= 1.0):
            self.invalid_frames += 1
            self._row = self._unsure = 0
            return Verdict.UNSURE
        if probability < self.rule.low:
            self._row = self._unsure = 0
            return Verdict.NO
        if probability < self.rule.high:
            self._unsure += 1
            if self._unsure > self.rule.patience:
                self._row = 0
            return Verdict.UNSURE
        self._unsure = 0
        self._row += 1
        if self._row < self.rule.consecutive:
            return Verdict.UNSURE
        self._fired = True
        return Verdict.SUCCESS
