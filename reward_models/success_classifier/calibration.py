"""Chooses the detector's threshold on episodes that nothing was learnt from: precision first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from reward_models.success_classifier.config import DetectionConfig
from reward_models.success_classifier.detections import DetectionFigures, ScoredEpisode, figures_of
from reward_models.success_classifier.detector import DetectionRule
from reward_models.success_classifier.labels import SUCCESS
from tutelage_core.errors import ConfigurationError

CANDIDATES = 200
"""Thresholds that are tried, at most."""

_LARGEST_LOGIT = 16.0


@dataclass(frozen=True)
class Calibration:
    """The rule that was chosen, and its figures on the episodes that it was chosen on.

    Attributes:
        rule: the rule.
        figures: its own.
        lowest: the lowest threshold that reaches the target (0..1).
        highest: the highest that detects as many successes (0..1).
    """

    rule: DetectionRule
    figures: DetectionFigures
    lowest: float
    highest: float


def rule_of(threshold_logit: float, config: DetectionConfig) -> DetectionRule:
    """Return the rule whose threshold is this logit, with the configured band below it."""
    high, low = (float(expit(value)) for value in (threshold_logit, threshold_logit - config.band))
    return DetectionRule(high, low, config.consecutive, config.patience)


def calibrate(episodes: Sequence[ScoredEpisode], config: DetectionConfig, control_rate_hz: float) -> Calibration:
    """Return the rule that detects most successes among those whose detections are precise enough.

    Precision counts detections as the detector makes them, several frames in a row, and of each episode the first.
    Where thresholds from `lowest` to `highest` do equally well, `config.caution` says which is taken.

    Args:
        episodes: validation episodes.
        config: the rule's other numbers, and the precision that is asked for.
        control_rate_hz: at which they were recorded.

    Raises:
        ConfigurationError: no episode shows success, or no threshold that fires is precise enough; says what to do.
    """
    tried = [
        (threshold, figures_of(episodes, rule_of(threshold, config), control_rate_hz))
        for threshold in _candidates(episodes)
    ]
    firing = [(threshold, figures) for threshold, figures in tried if figures.right]
    if not firing:
        raise ConfigurationError(
            f"the classifier never fires on the success of {tried[0][1].successes} validation episodes, at any "
            f"threshold, with {config.consecutive} frames in a row: let demonstrations go on for longer after success, "
            "look whether a camera shows it, record more of them, or ask for fewer consecutive frames"
        )
    precise = [(t, f) for t, f in firing if f.precision is not None and f.precision >= config.target_precision]
    if not precise:
        _, best = max(firing, key=lambda pair: (pair[1].precision or 0.0, pair[1].right))
        seen = ", ".join(f"{w.episode} at frame {w.period}" for w in best.wrong[:4])
        raise ConfigurationError(
            f"no threshold reaches the precision {config.target_precision:g} on the validation episodes; the best is "
            f"{best.precision:.3f} ({best.right} of {best.fired} detections right), with wrong ones in {seen}: look at "
            "those frames, add failed episodes that end like them, correct their labels if they do show success, or "
            "ask for more consecutive frames"
        )
    most = max(figures.right for _, figures in precise)
    best = [threshold for threshold, figures in precise if figures.right == most]
    lowest, highest = min(best), max(best)
    rule = rule_of(lowest + config.caution * (highest - lowest), config)
    figures = figures_of(episodes, rule, control_rate_hz)
    if figures.right < most or (figures.precision or 0.0) < config.target_precision:  # a gap between the two
        rule = rule_of(highest, config)
        figures = figures_of(episodes, rule, control_rate_hz)
    return Calibration(rule, figures, float(expit(lowest)), float(expit(highest)))


def _candidates(episodes: Sequence[ScoredEpisode]) -> list[float]:
    """Return thresholds between the scores, as logits, the lowest first: from just below the least of a success on."""
    scores = np.concatenate([episode.probabilities for episode in episodes])
    labels = np.concatenate([episode.labels for episode in episodes])
    if not (labels == SUCCESS).any():
        raise ConfigurationError("no validation episode shows success, so no threshold can be chosen: record more")
    least = scores[labels == SUCCESS].min()
    below = scores[scores < least].max(initial=0.0)
    logits = np.unique(logit(scores[scores >= below]).clip(-_LARGEST_LOGIT, _LARGEST_LOGIT))
    between = (logits[1:] + logits[:-1]) / 2 if len(logits) > 1 else logits - 1.0
    kept = np.unique(np.linspace(0, len(between) - 1, CANDIDATES).round().astype(int))
    return between[kept].tolist()
