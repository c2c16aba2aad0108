"""What every reward model is printed beside: three that do not look, and one that knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from reward_models.evaluation.trials import Trial
from reward_models.reward_model import RewardModel, RewardSpec, Score, ScoreStatus
from tutelage_core.types import Observation

BASELINES = ("constant", "frame counter", "random", "oracle")
"""Their names, in the order of the table."""


class Blind:
    """Implements `RewardModel` without looking at a picture."""

    def __init__(self, name: str, values: Callable[[int], NDArray[np.float64]]) -> None:
        """Say of an episode of n moments what `values(n)` gives, shape (n,), 0..1."""
        self._values = values
        self._spec = RewardSpec(name, {}, low=0.0, high=1.0, whole_episodes=True, has_progress=True)

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        return self._spec

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame; see `RewardModel.score`."""
        return [
            Score(float(value), ScoreStatus.OK, frame.stamp_ns, progress=float(value))
            for frame, value in zip(frames, self._values(len(frames)), strict=True)
        ]


def constant() -> Blind:
    """Return the model that says one half of everything."""
    return Blind("constant", lambda count: np.full(count, 0.5))


def frame_counter() -> Blind:
    """Return the model that rises with time, whatever happens: it has the best order correlation that there is."""
    return Blind("frame counter", lambda count: np.linspace(0.0, 1.0, count))


def random_reward(seed: int = 0) -> Blind:
    """Return the model that draws a number for each moment; the next episode goes on with the same draw."""
    return Blind("random", np.random.default_rng(seed).random)


class Oracle:
    """Knows the true progress of the moments of the trials that it was told."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        """Learn the truth; moments are known by their very pictures, in whatever order they are shown."""
        self._spec = RewardSpec("oracle", {}, low=0.0, high=1.0, has_progress=True)
        self._known: dict[int, tuple[Observation, float]] = {}
        for trial in trials:
            for frame, progress in zip(trial.frames, trial.progress, strict=True):
                # the frame is kept, so that no other can have its id
                self._known[id(frame.images)] = (frame, float(progress))

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        return self._spec

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame; see `RewardModel.score`."""
        scores: list[Score] = []
        for frame in frames:
            if id(frame.images) not in self._known:
                scores.append(Score.failed(ScoreStatus.UNAVAILABLE, frame.stamp_ns, "the oracle was not told of it"))
                continue
            progress = self._known[id(frame.images)][1]
            scores.append(Score(progress, ScoreStatus.OK, frame.stamp_ns, progress=progress))
        return scores


def baselines(trials: Sequence[Trial], seed: int = 0) -> tuple[RewardModel, ...]:
    """Return all four, in the order in which they are listed."""
    return (constant(), frame_counter(), random_reward(seed), Oracle(trials))
