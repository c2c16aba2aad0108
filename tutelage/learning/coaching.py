"""What the person who corrects should know: how the last episodes went, and what to do otherwise.

The advice is that of HIL-SERL's authors (Luo et al. 2024, arXiv:2410.21845, and the walkthrough beside their code):
intervene early and often; let the policy try 20 to 30 steps, then help; keep at least a third of the episodes
rewarded. It follows from what a real robot knows, never from the twin's ground truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from tutelage.learning.training_rows import EpisodeRow, LearnerRow
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray


@dataclass(frozen=True)
class CoachingSettings:
    """From where on something is worth a word.

    Attributes:
        window: episodes that are looked back on.
        least_episodes: of the run, before which no advice is given.
        least_rewarded: share of the window's episodes that should be rewarded.
        mastered: share of the window's episodes from which on nobody has to correct.
        most_uncorrected: episodes in a row without a take-over, while the task is not mastered.
        shortest_try: control periods that the policy should have before the person helps.
        value_rows: newest reports of the learner whose values are averaged.
        value_margin: by how much the value on corrections may be below that on the policy's own steps.
    """

    window: int = 20
    least_episodes: int = 10
    least_rewarded: float = 1 / 3
    mastered: float = 0.9
    most_uncorrected: int = 10
    shortest_try: int = 20
    value_rows: int = 10
    value_margin: float = 0.05

    def __post_init__(self) -> None:
        """Refuse windows of nothing and shares that are none."""
        for name in ("window", "least_episodes", "most_uncorrected", "value_rows"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"CoachingSettings: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("least_rewarded", "mastered"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigurationError(f"CoachingSettings: {name} must be in 0..1, got {getattr(self, name)}")
        for name in ("shortest_try", "value_margin"):
            if not getattr(self, name) >= 0:
                raise ConfigurationError(f"CoachingSettings: {name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class CoachingFigures:
    """How the last episodes went: shares are 0..1, and NaN where there is nothing to take a share of.

    Attributes:
        episodes: of the whole run.
        window: the last ones, which all shares but `rewarded_of_all` are of.
        success: share of rewarded episodes.
        rewarded_of_all: share of rewarded episodes of the whole run.
        uncorrected: episodes without a take-over.
        autonomous_success: share of rewarded ones among these. They are the easy ones: the person helped in the others.
        unaided_success: share of all episodes that were rewarded without a take-over.
        intervention_rate: share of the control periods in which the person drove.
        takeovers_per_episode: mean.
        own_steps_per_takeover: control periods that the policy drove for each take-over; NaN without one.
        since_correction: episodes since the last one with a take-over.
        wrong_rewards: share of episodes in which the reward and the twin's ground truth differ.
        value_on_corrections, value_on_policy: means of the newest reports of the learner.
    """

    episodes: int
    window: int
    success: float
    rewarded_of_all: float
    uncorrected: int
    autonomous_success: float
    unaided_success: float
    intervention_rate: float
    takeovers_per_episode: float
    own_steps_per_takeover: float
    since_correction: int
    wrong_rewards: float
    value_on_corrections: float
    value_on_policy: float


def rolling_share(parts: Sequence[float], wholes: Sequence[float], window: int) -> FloatArray:
    """Return, at each place, the sum of the last `window` parts over that of their wholes.

    Args:
        parts: shape (n,).
        wholes: what they are parts of, shape (n,).
        window: how many are summed; fewer at the beginning.

    Returns:
        Shares, shape (n,); NaN where the wholes are nothing.
    """
    sums = []
    for values in (parts, wholes):
        total = np.concatenate([[0.0], np.cumsum(np.asarray(values, dtype=np.float64))])
        sums.append(total[1:] - total[np.maximum(np.arange(len(values)) + 1 - window, 0)])
    return np.divide(sums[0], sums[1], out=np.full(len(parts), np.nan), where=sums[1] > 0)


def coaching_figures(
    episodes: Sequence[EpisodeRow], learner: Sequence[LearnerRow] = (), settings: CoachingSettings | None = None
) -> CoachingFigures:
    """Return how the last episodes went.

    Args:
        episodes: of the whole run, the oldest first.
        learner: its reports, the oldest first.
        settings: how far is looked back.
    """
    settings = settings or CoachingSettings()
    last = episodes[-settings.window :]
    alone = [row for row in last if not row.takeovers]
    judged = [row for row in last if row.true_success is not None]
    takeovers = sum(row.takeovers for row in last)
    human_steps = sum(row.human_steps for row in last)
    steps = sum(row.length for row in last)
    on_corrections, on_policy = _values(learner, settings.value_rows)
    return CoachingFigures(
        episodes=len(episodes),
        window=len(last),
        success=_share(sum(row.success for row in last), len(last)),
        rewarded_of_all=_share(sum(row.success for row in episodes), len(episodes)),
        uncorrected=len(alone),
        autonomous_success=_share(sum(row.success for row in alone), len(alone)),
        unaided_success=_share(sum(row.success for row in alone), len(last)),
        intervention_rate=_share(human_steps, steps),
        takeovers_per_episode=_share(takeovers, len(last)),
        own_steps_per_takeover=_share(steps - human_steps, takeovers),
        since_correction=sum(1 for _ in takewhile(lambda row: not row.takeovers, reversed(episodes))),
        wrong_rewards=_share(sum(row.success != row.true_success for row in judged), len(judged)),
        value_on_corrections=on_corrections,
        value_on_policy=on_policy,
    )


def advice(figures: CoachingFigures, settings: CoachingSettings | None = None) -> tuple[str, ...]:
    """Return what the person should do otherwise, the most urgent first; nothing where all is well."""
    settings = settings or CoachingSettings()
    if figures.episodes < settings.least_episodes:
        return ()
    found: list[str] = []
    rewarded = f"{_percent(figures.success)} of the last {figures.window} episodes are rewarded"
    if figures.success < settings.least_rewarded:
        found.append(
            f"{rewarded}, fewer than {_percent(settings.least_rewarded)}: intervene earlier, and carry the task to its "
            "end"
        )
    elif figures.own_steps_per_takeover < settings.shortest_try:
        found.append(
            f"the policy drives {figures.own_steps_per_takeover:.0f} control periods for each take-over: let it try "
            f"{settings.shortest_try} or more before you help"
        )
    if figures.since_correction >= settings.most_uncorrected and figures.success < settings.mastered:
        found.append(
            f"no correction for {figures.since_correction} episodes, and {rewarded}: correct where the policy errs"
        )
    if figures.value_on_corrections < figures.value_on_policy - settings.value_margin:
        found.append(
            f"the value on corrections ({figures.value_on_corrections:.2f}) is below the value on the policy's own "
            f"steps ({figures.value_on_policy:.2f}): correct towards the goal, and look whether the reward sees it"
        )
    return tuple(found)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %"


def _values(learner: Sequence[LearnerRow], most: int) -> tuple[float, float]:
    """Return the mean values on corrections and on the policy's steps, of the newest reports that have both."""
    pairs = [(row.value_on_corrections, row.value_on_policy) for row in learner[-most:]]
    both = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if not both:
        return math.nan, math.nan
    on_corrections, on_policy = np.mean(both, axis=0)
    return float(on_corrections), float(on_policy)
