"""From logs to the points of curves: shares of the last episodes, evaluations, medians of several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tutelage.learning.coaching import CoachingSettings, rolling_share
from tutelage.learning.training_log import read_log
from tutelage.learning.training_rows import EpisodeRow, EvaluationRow, LearnerRow
from tutelage_core.types import FloatArray

WINDOW = CoachingSettings().window
"""Episodes that a share is of."""

MOST_POINTS = 300
"""Longer curves are drawn as means of neighbours."""

MEDIAN_POINTS = 200
S_PER_MIN = 60.0

ROBOT, WALL = "robot time [min]", "wall time [min]"
"""What runs along the x axis: control periods at the robot's rate, or the time that people waited."""


@dataclass(frozen=True)
class RunLog:
    """What one run wrote, by kind."""

    episodes: tuple[EpisodeRow, ...]
    learner: tuple[LearnerRow, ...]
    evaluations: tuple[EvaluationRow, ...]

    @classmethod
    def read(cls, path: Path) -> RunLog:
        """Read the log at `path`.

        Raises:
            TrainingLogError: there is no such file, or a line is damaged.
        """
        rows = read_log(path)
        return cls(
            tuple(row for row in rows if isinstance(row, EpisodeRow)),
            tuple(row for row in rows if isinstance(row, LearnerRow)),
            tuple(row for row in rows if isinstance(row, EvaluationRow)),
        )


class Curve(NamedTuple):
    """Values, one for each episode or each report of the learner."""

    name: str
    rows: Callable[[RunLog], Sequence[EpisodeRow] | Sequence[LearnerRow]]
    values: Callable[[RunLog], FloatArray]


def learner_curve(name: str, field: str) -> Curve:
    """Return the curve of a number that the learner reports."""
    return Curve(
        name, lambda log: log.learner, lambda log: np.array([getattr(row, field) for row in log.learner], np.float64)
    )


def episode_curve(name: str, part: Callable[[EpisodeRow], float], whole: Callable[[EpisodeRow], float]) -> Curve:
    """Return the curve of a share of the last episodes; it begins where there are enough to take one of."""

    def values(log: RunLog) -> FloatArray:
        shares = rolling_share([part(row) for row in log.episodes], [whole(row) for row in log.episodes], WINDOW)
        shares[: min(WINDOW // 4, len(shares) - 1)] = np.nan
        return shares

    return Curve(name, lambda log: log.episodes, values)


class Evaluated(NamedTuple):
    """One evaluation, or those of several seeds together."""

    robot_min: float
    successes: int
    episodes: int


def pooled(seeds: Sequence[Sequence[Evaluated]]) -> list[Evaluated]:
    """Return the evaluations of several seeds, the first ones together, the second ones together, as many as all have.

    Nothing if the seeds were not evaluated at about the same times, which would mix early ones with late ones.
    """
    rounds = list(zip(*seeds, strict=False))
    together = [
        Evaluated(
            float(np.median([one.robot_min for one in each])),
            sum(one.successes for one in each),
            sum(one.episodes for one in each),
        )
        for each in rounds
    ]
    # of evaluations beyond the last common one too: a seed that was evaluated half-way has an early one first
    gap_min = min((gap for each in seeds for gap in np.diff([one.robot_min for one in each])), default=np.inf)
    spread_min = max((np.ptp([one.robot_min for one in each]) for each in rounds), default=0.0)
    return together if spread_min <= gap_min / 2 else []


def evaluations_of(log: RunLog, control_rate_hz: float) -> list[Evaluated]:
    """Return a run's evaluations at their times."""
    return [Evaluated(row.steps / control_rate_hz / S_PER_MIN, row.successes, row.episodes) for row in log.evaluations]


def points_of(log: RunLog, curve: Curve, x: str, control_rate_hz: float) -> FloatArray:
    """Return a curve's finite points, shape (2, n), in the order of x."""
    rows = curve.rows(log)
    along_s = [row.steps / control_rate_hz if x == ROBOT else row.wall_s for row in rows]
    points = np.stack([np.array(along_s, np.float64) / S_PER_MIN, curve.values(log)])
    points = points[:, np.isfinite(points).all(axis=0)]
    points = points[:, np.argsort(points[0], kind="stable")]
    if points.shape[1] <= MOST_POINTS:
        return points
    return np.stack([part.mean(axis=1) for part in np.array_split(points, MOST_POINTS, axis=1)], axis=1)


def median_curve(seeds: Sequence[FloatArray]) -> FloatArray:
    """Return the median of several curves over the stretch that all of them have.

    Args:
        seeds: each of shape (2, n), x first, in the order of x.

    Returns:
        Shape (2, points); no points if they have no stretch in common.
    """
    first, last = max(points[0, 0] for points in seeds), min(points[0, -1] for points in seeds)
    if first >= last:
        return np.empty((2, 0))
    grid = np.linspace(first, last, MEDIAN_POINTS)
    return np.stack([grid, np.median([np.interp(grid, *points) for points in seeds], axis=0)])
