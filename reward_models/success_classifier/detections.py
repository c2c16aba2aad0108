"""How well a detector does on episodes whose frames are labelled: precision, detection rate, delay, false positives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from reward_models.success_classifier.detector import DetectionRule, SuccessDetector, Verdict
from reward_models.success_classifier.labels import NONE, SUCCESS, UNKNOWN, FrameLabels
from tutelage_core.intervals import wilson_interval
from tutelage_core.types import FloatArray

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class ScoredEpisode:
    """What the classifier said of an episode of T frames, and what is true: name, shape (T,) 0..1, shape (T,)."""

    name: str
    probabilities: FloatArray
    labels: FrameLabels


@dataclass(frozen=True)
class Firing:
    """A detection of success.

    Attributes:
        episode: name of the episode.
        period: number of the frame on which it fired.
        probability: of that frame.
        right: whether the frame shows success, or is one of the unknown ones just before.
        first: whether it is the episode's first: where it would have ended a run.
    """

    episode: str
    period: int
    probability: float
    right: bool
    first: bool


@dataclass(frozen=True)
class DetectionFigures:
    """Figures of a rule on labelled episodes. Shares are None where they would be of nothing; intervals are 95 %.

    Attributes:
        episodes: how many there were.
        successes: those that show success.
        fired: those in which it fired; only the first firing of an episode counts, as it ends the episode.
        right: those in which that was right.
        precision: `right` of `fired`.
        precision_interval: Wilson's.
        detection_rate: `right` of `successes`.
        detection_interval: Wilson's.
        delay_median_s: from the first frame of success to the firing, of those that were right [s]; negative where it
            fired on an unknown frame before.
        delay_longest_s: the longest [s].
        false_positives: all firings on frames without success; after each, it must say NO before it can fire again.
        hours_without_success: time that frames without success make up [h].
        false_positives_per_hour: of that time [1/h].
        false_positives_interval: exact interval of a Poisson rate [1/h].
        frame_precision: of single frames above the threshold, those that show success.
        frame_recall: of single frames that show success, those above the threshold.
        wrong: every wrong firing, to look at: what it is like is what the data lack.
    """

    episodes: int
    successes: int
    fired: int
    right: int
    precision: float | None
    precision_interval: tuple[float, float] | None
    detection_rate: float | None
    detection_interval: tuple[float, float] | None
    delay_median_s: float | None
    delay_longest_s: float | None
    false_positives: int
    hours_without_success: float
    false_positives_per_hour: float | None
    false_positives_interval: tuple[float, float] | None
    frame_precision: float | None
    frame_recall: float | None
    wrong: tuple[Firing, ...]

    def summary(self) -> str:
        """Return one line for a person."""
        return (
            f"fired in {self.fired} of {self.episodes} episodes, {self.right} times rightly "
            f"(precision {_rate(self.precision, self.precision_interval)}); {self.successes} episodes show success "
            f"(detected {_rate(self.detection_rate, self.detection_interval)}); {self.false_positives} false positives "
            f"in {self.hours_without_success:.2f} h without success"
        )


def firings_of(episode: ScoredEpisode, rule: DetectionRule) -> tuple[Firing, ...]:
    """Return the firings in an episode, in time's order; one lasts until the detector says NO."""
    detector = SuccessDetector(rule)
    found: list[Firing] = []
    armed = True
    for period, probability in enumerate(episode.probabilities.tolist()):
        verdict = detector.see(probability)
        if verdict is Verdict.NO:
            armed = True
        elif verdict is Verdict.SUCCESS and armed:
            right = int(episode.labels[period]) != NONE
            found.append(Firing(episode.name, period, probability, right, not found))
            armed = False
    return tuple(found)


def figures_of(episodes: Sequence[ScoredEpisode], rule: DetectionRule, control_rate_hz: float) -> DetectionFigures:
    """Return the figures of `rule` on labelled episodes, recorded at `control_rate_hz`."""
    firings = [firings_of(episode, rule) for episode in episodes]
    firsts = [found[0] if found else None for found in firings]
    successes = sum(bool((episode.labels == SUCCESS).any()) for episode in episodes)
    fired = sum(first is not None for first in firsts)
    delays_s = [
        (first.period - int(np.argmax(episode.labels == SUCCESS))) / control_rate_hz
        for episode, first in zip(episodes, firsts, strict=True)
        if first is not None and first.right
    ]
    right = len(delays_s)
    wrong = tuple(firing for found in firings for firing in found if not firing.right)
    hours = sum(int((episode.labels == NONE).sum()) for episode in episodes) / control_rate_hz / SECONDS_PER_HOUR
    above = np.concatenate([episode.probabilities >= rule.high for episode in episodes])
    labels = np.concatenate([episode.labels for episode in episodes])
    hits = int((above & (labels == SUCCESS)).sum())
    return DetectionFigures(
        len(episodes),
        successes,
        fired,
        right,
        right / fired if fired else None,
        wilson_interval(right, fired) if fired else None,
        right / successes if successes else None,
        wilson_interval(right, successes) if successes else None,
        float(np.median(delays_s)) if delays_s else None,
        max(delays_s) if delays_s else None,
        len(wrong),
        hours,
        len(wrong) / hours if hours else None,
        poisson_interval(len(wrong), hours) if hours else None,
        _share(hits, int((above & (labels != UNKNOWN)).sum())),
        _share(hits, int((labels == SUCCESS).sum())),
        wrong,
    )


def poisson_interval(events: int, exposure: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate: `events` of a Poisson process in `exposure` (Garwood 1936)."""
    low = float(chi2.ppf(0.025, 2 * events)) / 2 if events else 0.0
    return low / exposure, float(chi2.ppf(0.975, 2 * events + 2)) / 2 / exposure


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rate(share: float | None, interval: tuple[float, float] | None) -> str:
    if share is None or interval is None:
        return "of none"
    return f"{share:.3f}, 95 % Wilson interval {interval[0]:.3f} .. {interval[1]:.3f}"
