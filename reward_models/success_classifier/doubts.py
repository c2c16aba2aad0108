"""What speaks against a trained classifier: said in words, each with what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from reward_models.success_classifier.calibration import Calibration
from reward_models.success_classifier.config import SuccessClassifierConfig
from reward_models.success_classifier.labels import NONE, SUCCESS, with_margin
from reward_models.success_classifier.views import EpisodeMaps
from tutelage_core.intervals import Z_95

SELDOM = 0.5
"""A classifier that detects a smaller share of the successes is doubted."""


def doubts_of(
    episodes: Sequence[EpisodeMaps], calibration: Calibration, config: SuccessClassifierConfig, truth_margin: int
) -> Iterator[str]:
    """Yield what is to be mended before the classifier is relied on.

    Args:
        episodes: what it was trained on.
        calibration: its rule and figures on held-out episodes.
        config: its settings.
        truth_margin: see `label_errors`.
    """
    figures, target = calibration.figures, config.detection.target_precision
    if figures.successes == figures.episodes:
        yield (
            "no episode without success was given, so what comes close to it was hardly seen: record failed attempts, "
            "best such that end just short of the goal"
        )
    if (figures.detection_rate or 0.0) < SELDOM:
        yield (
            f"it detects only {figures.right} of {figures.successes} successes that it had not learnt from, and a "
            "policy would often not get its reward: record more demonstrations, let them go on for longer after "
            "success, and look at the failures that look most like success, as the threshold must stay above them"
        )
    if figures.precision_interval is not None and figures.precision_interval[0] < target:
        yield (
            f"{figures.right} of {figures.fired} detections in held-out episodes were right, which shows a precision "
            f"of at least {figures.precision_interval[0]:.3f} only; {_needed(target)}"
        )
    early = label_errors(episodes, truth_margin)[0]
    if early:
        yield (
            f"{early} frames are labelled as success and are none by ground truth, so it may fire early: shorten "
            f"positive_s ({config.labelling.positive_s:g} s), or let demonstrations go on for longer after success"
        )


def label_errors(episodes: Sequence[EpisodeMaps], truth_margin: int) -> tuple[int, int]:
    """Return how many frames are labelled as success and are none by ground truth, and the other way round.

    Args:
        episodes: with their labels; frames without ground truth do not count.
        truth_margin: frames before the first of success, by ground truth, in which either is right.
    """
    early = missed = 0
    for episode in episodes:
        truth = with_margin(episode.truth, truth_margin)
        early += int(((episode.labels == SUCCESS) & (truth == NONE)).sum())
        missed += int(((episode.labels == NONE) & (truth == SUCCESS)).sum())
    return early, missed


def _needed(target: float) -> str:
    """Say how many detections show a precision; Wilson's interval of n of n begins at n / (n + z^2)."""
    if target >= 1.0:
        return "no number of them shows 1"
    return f"to show {target:g} takes {math.ceil(Z_95**2 * target / (1.0 - target))}, all of them right"
