"""How good a reward model is: numbers that each work on plain arrays.

In every metric a moment or episode without a score (NaN) is left out, and so is one without a truth; how many were
left out is for the caller to say beside it. Where nothing can be said, as for a reward that never changes, the metric
is NaN, never 0. Correlations over time are Spearman's, ties at their mean rank; tau is Kendall's tau-a: a tie in the
rewards counts as a pair that was not told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Values = NDArray[np.float64]


def value_order_correlation(rewards: ArrayLike) -> float:
    """Return VOC: Spearman's correlation of an episode's rewards with time (GVL, Ma et al. 2024, arXiv:2411.04549).

    1 where they rise from each moment to the next, -1 where they fall. NaN below two scored moments, and for rewards
    that never change. A frame counter has 1: it says nothing of the task.

    Args:
        rewards: one for each moment, in order, shape (T,).
    """
    values = _line(rewards)
    scored = np.flatnonzero(np.isfinite(values))
    if len(scored) < 2 or np.ptp(values[scored]) == 0.0:
        return math.nan
    return _correlation(stats.rankdata(scored), stats.rankdata(values[scored]))


def epic_distance(rewards: ArrayLike, truth: ArrayLike) -> float:
    """Return EPIC's distance of two rewards on the same states, 0..1: sqrt((1 - rho) / 2), rho Pearson's correlation.

    As VLM-RM uses it for goal states (Rocamonde et al. 2023; Gleave et al. 2021, arXiv:2006.13900): 0 is the same up to
    scale and offset, sqrt(1/2) unrelated, 1 the opposite.

    Args:
        rewards: one for each state, shape (n,).
        truth: what it should be, such as 0 or 1, or true progress, shape (n,).
    """
    values, true = _both(rewards, truth)
    if len(values) < 2 or np.ptp(values) == 0.0 or np.ptp(true) == 0.0:
        return math.nan
    rho = _correlation(values, true)
    return math.sqrt(max(1.0 - rho, 0.0) / 2.0)


def tau_a(rewards: ArrayLike, outcomes: ArrayLike) -> float:
    """Return Kendall's tau-a over the pairs of episodes whose outcomes differ: (right - wrong) / pairs, -1..1.

    Args:
        rewards: of each episode, shape (n,).
        outcomes: how well each really went, shape (n,).
    """
    values, true = _both(rewards, outcomes)
    better, worse = np.triu_indices(len(values), 1)
    order = np.sign(true[better] - true[worse])
    told = np.sign(values[better] - values[worse])
    pairs = int(np.count_nonzero(order))
    return float((order * told).sum() / pairs) if pairs else math.nan


def auroc(rewards: ArrayLike, successes: ArrayLike) -> float:
    """Return the probability that a success is rewarded more than a failure; a tie counts half. Mann and Whitney's U.

    Args:
        rewards: of each episode or moment, shape (n,).
        successes: 1 or 0 for each, shape (n,).
    """
    values, true = _both(rewards, successes)
    good, bad = values[true > 0.5], values[true <= 0.5]
    if not len(good) or not len(bad):
        return math.nan
    return float(stats.mannwhitneyu(good, bad, method="asymptotic").statistic) / (len(good) * len(bad))


@dataclass(frozen=True)
class Confusion:
    """What a threshold makes of successes and failures.

    Attributes:
        right: successes that were seen.
        missed: successes that were not.
        false: failures that were taken for successes.
        left: failures that were not.
    """

    right: int
    missed: int
    false: int
    left: int

    @property
    def precision(self) -> float:
        """Share of what was taken for success that is one; NaN where nothing was."""
        return _share(self.right, self.right + self.false)

    @property
    def recall(self) -> float:
        """Share of the successes that was seen."""
        return _share(self.right, self.right + self.missed)

    @property
    def false_positive_rate(self) -> float:
        """Share of the failures that was taken for success."""
        return _share(self.false, self.false + self.left)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares of successes and of failures that were told right."""
        return (self.recall + 1.0 - self.false_positive_rate) / 2.0


def confusion(rewards: ArrayLike, successes: ArrayLike, threshold: float) -> Confusion:
    """Count what a threshold makes of each episode or moment: a reward of at least `threshold` says success.

    Args:
        rewards: shape (n,).
        successes: 1 or 0 for each, shape (n,).
        threshold: the model's own.
    """
    values, true = _both(rewards, successes)
    said, is_so = values >= threshold, true > 0.5
    return Confusion(
        int((said & is_so).sum()), int((~said & is_so).sum()), int((said & ~is_so).sum()), int((~said & ~is_so).sum())
    )


def instruction_swap_margin(rewards: ArrayLike) -> float:
    """Return by how much what was asked for is rewarded more than the best of what was not, the mean over tasks.

    Args:
        rewards: of the pictures of each task (rows) for the sentence of each task (columns), shape (n, n).

    Raises:
        ValueError: the shape is another one, or of fewer than two tasks.
    """
    table = np.asarray(rewards, np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
        raise ValueError(f"rewards of pictures for sentences: shape (n, n) with n >= 2, got {table.shape}")
    others = np.where(np.eye(len(table), dtype=bool), -np.inf, table)
    margins = np.diagonal(table) - others.max(axis=1)  # NaN anywhere in a row makes its margin NaN
    known = margins[np.isfinite(margins)]
    return float(known.mean()) if len(known) else math.nan


def progress_error(progress: ArrayLike, truth: ArrayLike) -> float:
    """Return the mean absolute error of the progress that a model says; both of shape (n,), 0..1."""
    said, true = _both(progress, truth)
    return float(np.abs(said - true).mean()) if len(said) else math.nan


def _line(values: ArrayLike) -> Values:
    found = np.asarray(values, np.float64)
    if found.ndim != 1:
        raise ValueError(f"one number for each moment or episode: shape (n,), got {found.shape}")
    return found


def _both(values: ArrayLike, truth: ArrayLike) -> tuple[Values, Values]:
    """Return what has both a score and a truth."""
    one, two = _line(values), _line(truth)
    if one.shape != two.shape:
        raise ValueError(f"{len(one)} rewards do not go with {len(two)} truths")
    known = np.isfinite(one) & np.isfinite(two)
    return one[known], two[known]


def _correlation(one: Values, two: Values) -> float:
    """Return Pearson's correlation."""
    return float(np.corrcoef(one, two)[0, 1])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def best_threshold(rewards: ArrayLike, successes: ArrayLike) -> float:
    """Return the reward from which on success is told with the best balanced accuracy; the largest if several are.

    Args:
        rewards: shape (n,); NaN is left out.
        successes: ground truth, 0 or 1, shape (n,).

    Returns:
        One of the rewards; NaN without a success or without anything else.
    """
    values, truth = _both(rewards, successes)
    done = truth > 0.5
    if done.all() or not done.any():
        return math.nan
    order = np.argsort(-values, kind="stable")
    seen = np.cumsum(done[order]) / done.sum()
    false = np.cumsum(~done[order]) / (~done).sum()
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(order) - 1)  # equal rewards fall on one side
    return float(values[order[ends[int(np.argmax((seen - false)[ends]))]]])
