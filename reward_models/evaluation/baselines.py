"""What every reward model is printed beside: three that do not look, and one that knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from reward_models.evaluation.trials import Trial
from reward_models.reward_model import RewardModel, RewardSpec, Score, ScoreStatus
from tutelage_core.types import Observation


class _Blind:
    """Implements `RewardModel` without looking at a picture."""

    def __init__(self, name: str) -> None:
        self._spec = RewardSpec(name, {}, low=0.0, high=1.0, whole_episodes=True, has_progress=True)

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        return self._spec

    def values(self, count: int) -> np.ndarray:
        """Return what it says of an episode of so many moments, shape (count,), 0..1."""
        raise NotImplementedError

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame; see `RewardModel.score`."""
        values = self.values(len(frames))
        return [
            Score(float(value), ScoreStatus.OK, frame.stamp_ns, progress=float(value))
            for frame, value in zip(frames, values, strict=True)
        ]


class Constant(_Blind):
    """Says the same of everything."""

    def __init__(self) -> None:
        """Say one half."""
        super().__init__("constant")

    def values(self, count: int) -> np.ndarray:
        """Return one half for each moment."""
        return np.full(count, 0.5)


class FrameCounter(_Blind):
    """Rises with time, whatever happens: it has the best order correlation that there is."""

    def __init__(self) -> None:
        """Count from 0 to 1."""
        super().__init__("frame counter")

    def values(self, count: int) -> np.ndarray:
        """Return the share of the episode that is over."""
        return np.linspace(0.0, 1.0, count) if count > 1 else np.zeros(count)


class RandomReward(_Blind):
    """Draws a number for each moment."""

    def __init__(self, seed: int = 0) -> None:
        """Draw from `seed`; the next episode goes on with the same draw."""
        super().__init__("random")
        self._rng = np.random.default_rng(seed)

    def values(self, count: int) -> np.ndarray:
        """Return a number between 0 and 1 for each moment."""
        return self._rng.random(count)


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
    return (Constant(), FrameCounter(), RandomReward(seed), Oracle(trials))
