"""Episodes with a known truth, the orders in which their moments are shown, and what a model says of them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from reward_models.reward_model import RewardModel, Score, ScoreStatus
from tutelage_core.types import Observation


@dataclass(frozen=True)
class Trial:
    """An episode of T moments.

    Attributes:
        name: of the episode.
        kind: name of the task.
        task: what was asked, a sentence.
        frames: its moments.
        success: ground truth of each, 0 or 1, shape (T,).
        progress: ground truth of each, 0..1, shape (T,).
    """

    name: str
    kind: str
    task: str
    frames: tuple[Observation, ...]
    success: NDArray[np.float64]
    progress: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse an episode without a truth for each moment.

        Raises:
            ValueError: says which lacks.
        """
        count = len(self.frames)
        if count < 2 or self.success.shape != (count,) or self.progress.shape != (count,):
            raise ValueError(
                f"trial {self.name}: {count} frames, success {self.success.shape}, progress {self.progress.shape}; "
                "needs at least two frames and one of each for each"
            )
        if not (np.isfinite(self.success).all() and np.isfinite(self.progress).all()):
            raise ValueError(f"trial {self.name}: there is no ground truth for every frame")

    @property
    def succeeded(self) -> bool:
        """Whether it ended in success."""
        return bool(self.success[-1] > 0.5)


class Order(StrEnum):
    """In which order an episode's moments are shown."""

    FORWARD = "forward"
    REVERSED = "reversed"
    SHUFFLED = "shuffled"
    FROZEN = "frozen"
    """The first moment, again and again."""

    def rows(self, count: int, seed: int) -> NDArray[np.int64]:
        """Return which moment stands at each place, shape (count,)."""
        match self:
            case Order.FORWARD:
                return np.arange(count)
            case Order.REVERSED:
                return np.arange(count)[::-1].copy()
            case Order.SHUFFLED:
                return np.random.default_rng(seed).permutation(count)
            case Order.FROZEN:
                return np.zeros(count, np.int64)


@dataclass(frozen=True)
class Scored:
    """What a model said of a trial.

    Attributes:
        trial: the episode.
        order: in which it was shown.
        values: rewards in the order in which the moments were shown, NaN where there is none, shape (T,).
        progress: what the model says of progress, likewise; NaN where it says nothing.
        statuses: how often each status came.
        seconds: wall time of the call.
    """

    trial: Trial
    order: Order
    values: NDArray[np.float64]
    progress: NDArray[np.float64]
    statuses: Mapping[ScoreStatus, int]
    seconds: float

    @property
    def seconds_per_frame(self) -> float:
        """Wall time for one moment."""
        return self.seconds / len(self.values)


def scored(model: RewardModel, trial: Trial, order: Order, seed: int = 0, task: str = "") -> Scored:
    """Show a trial to a model and return what it says.

    Args:
        model: the model.
        trial: the episode.
        order: in which its moments are shown; their stamps rise in any case.
        seed: of the shuffle.
        task: another sentence than the trial's own.

    Raises:
        ValueError: the model does not give a score for each frame, or refuses the frames.
    """
    rows = order.rows(len(trial.frames), seed)
    stamps = [frame.stamp_ns for frame in trial.frames]
    shown = [replace(trial.frames[row], stamp_ns=stamp) for row, stamp in zip(rows, stamps, strict=True)]
    begun = time.perf_counter()
    found = _asked(model, shown, task or trial.task)
    seconds = time.perf_counter() - begun
    return Scored(
        trial,
        order,
        np.array([score.value for score in found]),
        np.array([math.nan if score.progress is None else score.progress for score in found]),
        Counter(score.status for score in found),
        seconds,
    )


def in_order(model: RewardModel, forward: Scored, order: Order, seed: int = 0) -> Scored:
    """Return what a model says of a trial in another order.

    A model to which moments stand for themselves says of each what it said before; the contract's suite holds it to
    that. Others are asked again.
    """
    if model.spec.whole_episodes:
        return scored(model, forward.trial, order, seed)
    rows = order.rows(len(forward.values), seed)
    return replace(forward, order=order, values=forward.values[rows], progress=forward.progress[rows])


def last_value(model: RewardModel, trial: Trial, task: str) -> float:
    """Return a model's reward for the last moment of a trial and this sentence.

    Raises:
        ValueError: see `scored`.
    """
    frames = trial.frames if model.spec.whole_episodes else trial.frames[-1:]
    return _asked(model, frames, task)[-1].value


def _asked(model: RewardModel, frames: Sequence[Observation], task: str) -> list[Score]:
    found = model.score(frames, task)
    if [score.stamp_ns for score in found] != [frame.stamp_ns for frame in frames]:
        raise ValueError(f"{model.spec.name}: {len(found)} scores for {len(frames)} frames, or of other moments")
    return found
