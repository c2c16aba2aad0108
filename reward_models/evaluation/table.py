"""The rows of the table: every metric of a model on a kind of task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reward_models import metrics
from reward_models.evaluation.trials import Order, Scored, Trial, in_order, last_value, scored
from reward_models.reward_model import RewardModel, ScoreStatus

NOTES = (
    "VOC is Spearman's correlation of an episode's rewards with time, ties at their mean rank; an episode of which it "
    "cannot be said (fewer than two rewards, or all alike) is left out, and `voc_unknown` counts them.",
    "EPIC is sqrt((1 - rho) / 2), rho Pearson's correlation with the true success (or progress) over the moments of "
    "all episodes, shown forward: 0 the same, 0.71 unrelated, 1 the opposite.",
    "tau_a is Kendall's tau-a of the last reward with the true progress at the end, over pairs of episodes that end "
    "differently; a tie in the rewards is a pair that was not told apart. AUROC takes the last reward too.",
    "Moments that were not scored are left out of all metrics; `not_ok` is their share.",
    "swap_margin: reward of the last moment of successes for the sentence of their own task, less the best of the "
    "other tasks' sentences.",
)
"""What has to be said beside the table."""


@dataclass(frozen=True)
class Row:
    """One model on one kind of task.

    Attributes:
        model: name of the model.
        kind: name of the task.
        successes, failures: episodes that ended so.
        values: metric to number; NaN where it cannot be said.
    """

    model: str
    kind: str
    successes: int
    failures: int
    values: Mapping[str, float] = field(default_factory=dict[str, float])


def rows_of(
    model: RewardModel, trials: Sequence[Trial], *, name: str = "", threshold: float | None = None, seed: int = 0
) -> list[Row]:
    """Show all trials to a model, in every order, and return a row for each kind of task.

    Args:
        model: the model.
        trials: episodes with their truth, of one or several kinds of tasks.
        name: that the rows bear; the model's own if empty.
        threshold: a reward of at least this says success; None where the model has none.
        seed: of the shuffles.

    Raises:
        ValueError: the model refuses the frames.
    """
    kinds = list(dict.fromkeys(trial.kind for trial in trials))
    forwards = {kind: [scored(model, trial, Order.FORWARD) for trial in trials if trial.kind == kind] for kind in kinds}
    margins = _swap_margins(model, trials, kinds)
    rows: list[Row] = []
    for kind in kinds:
        own = [trial for trial in trials if trial.kind == kind]
        forward = forwards[kind]
        shown = {order: [in_order(model, f, order, seed + n) for n, f in enumerate(forward)] for order in Order}
        shown[Order.FORWARD] = forward
        values = {**_over_time(shown), **_over_episodes(shown[Order.FORWARD], threshold), **_cost(shown)}
        values["swap_margin"] = margins.get(kind, math.nan)
        succeeded = sum(trial.succeeded for trial in own)
        rows.append(Row(name or model.spec.name, kind, succeeded, len(own) - succeeded, values))
    return rows


def _over_time(shown: Mapping[Order, Sequence[Scored]]) -> dict[str, float]:
    """Return what the order of the rewards tells."""
    good = [found for found in shown[Order.FORWARD] if found.trial.succeeded]
    bad = [found for found in shown[Order.FORWARD] if not found.trial.succeeded]
    groups = {
        "voc_success": good,
        "voc_failure": bad,
        "voc_reversed": [found for found in shown[Order.REVERSED] if found.trial.succeeded],
        "voc_shuffled": [found for found in shown[Order.SHUFFLED] if found.trial.succeeded],
        "voc_frozen": list(shown[Order.FROZEN]),
    }
    orders = {name: [metrics.value_order_correlation(f.values) for f in group] for name, group in groups.items()}
    found = {name: _mean(values) for name, values in orders.items()}
    found["voc_gap"] = found["voc_success"] - found["voc_failure"]
    unknown = orders["voc_success"] + orders["voc_failure"]
    found["voc_unknown"] = float(np.isnan(unknown).sum())
    return found


def _over_episodes(shown: Sequence[Scored], threshold: float | None) -> dict[str, float]:
    """Return how the rewards go with the truth, over all moments and over how the episodes end."""
    moments = np.concatenate([found.values for found in shown])
    last = np.array([found.values[-1] for found in shown])
    ends = np.array([found.trial.progress[-1] for found in shown])
    succeeded = np.array([float(found.trial.succeeded) for found in shown])
    true_progress = np.concatenate([found.trial.progress for found in shown])
    values = {
        "epic_success": metrics.epic_distance(moments, np.concatenate([found.trial.success for found in shown])),
        "epic_progress": metrics.epic_distance(moments, true_progress),
        "tau_a": metrics.tau_a(last, ends),
        "auroc": metrics.auroc(last, succeeded),
        "progress_error": metrics.progress_error(np.concatenate([f.progress for f in shown]), true_progress),
    }
    names = ("precision", "recall", "false_positive_rate", "balanced_accuracy")
    told = None if threshold is None else metrics.confusion(last, succeeded, threshold)
    return {**values, **{name: math.nan if told is None else float(getattr(told, name)) for name in names}}


def _cost(shown: Mapping[Order, Sequence[Scored]]) -> dict[str, float]:
    every = shown[Order.FORWARD]
    milliseconds = [1e3 * found.seconds_per_frame for found in every]
    statuses = sum((Counter(found.statuses) for found in every), Counter[ScoreStatus]())
    asked = statuses.total()
    return {
        "ms_p50": float(np.percentile(milliseconds, 50)),
        "ms_p95": float(np.percentile(milliseconds, 95)),
        "not_ok": 1.0 - statuses[ScoreStatus.OK] / asked,
    }


def _swap_margins(model: RewardModel, trials: Sequence[Trial], kinds: Sequence[str]) -> dict[str, float]:
    """Return each kind's margin: its successes' last moment for its own sentence, less the best of the others."""
    if len(kinds) < 2:
        return {}
    sentences = {kind: next(trial.task for trial in trials if trial.kind == kind) for kind in kinds}
    margins: dict[str, float] = {}
    for kind in kinds:
        ends = [trial for trial in trials if trial.kind == kind and trial.succeeded]
        said = {
            other: _mean([last_value(model, trial, sentence) for trial in ends])
            for other, sentence in sentences.items()
        }
        rivals = [value for other, value in said.items() if other != kind]
        margins[kind] = said[kind] - max(rivals) if np.isfinite(list(said.values())).all() else math.nan
    return margins


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
