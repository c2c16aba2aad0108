"""VLM-RM as a reward model: a picture of the scene, sentences of the goal, and how well the two fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reward_models.image_text.image_text_model import ImageTextModel, check_images, check_texts
from reward_models.reward_model import RewardSpec, Score, ScoreStatus
from reward_models.vlm_rm.goal_baseline import GoalBaseline
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation

NAME = "vlm_rm"
REMEMBERED = 256
"""Tasks whose sentences are remembered; more begin anew."""

COSINE = "cosine"
"""Name of the plain cosine among a score's further numbers."""


@dataclass(frozen=True)
class VlmRmConfig:
    """What is asked, and how the answer is scaled.

    Attributes:
        cameras: whose pictures are looked at; the reward of a moment is the mean over them.
        goals: sentences for the goal; what is asked of the robot if there are none.
        baselines: sentences that are true anyhow, such as "a table".
        alpha: strength of the goal-baseline regularisation, 0..1 (paper: no gain above 0 where a prompt fails).
        renormalise: means of several sentences are brought back to length 1; the authors' code does not.
        mean, std: what the reward is standardised with: reward - mean, over std. Found on episodes, see `standardised`.
    """

    cameras: tuple[str, ...] = ("front",)
    goals: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    alpha: float = 0.0
    renormalise: bool = True
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what nothing can be compared with.

        Raises:
            ConfigurationError: a number is out of range, alpha lacks a baseline, a sentence is empty, or there is no
                camera.
        """
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise ConfigurationError(f"VLM-RM: needs cameras, each once, got {self.cameras}")
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigurationError(f"VLM-RM: alpha must be in 0..1, got {self.alpha}")
        if self.alpha > 0.0 and not self.baselines:
            raise ConfigurationError(f"VLM-RM: alpha {self.alpha:g} needs a baseline: a sentence that is true anyhow")
        if not np.isfinite(self.mean) or not 0.0 < self.std < float("inf"):
            raise ConfigurationError(f"VLM-RM: needs a finite mean and a positive std, got {self.mean} and {self.std}")
        try:
            check_texts([*self.goals, *self.baselines])
        except ValueError as error:
            raise ConfigurationError(f"VLM-RM: {error}") from error


class VlmRm:
    """Implements `RewardModel`. Each moment stands for itself; sentences are embedded once."""

    def __init__(self, model: ImageTextModel, config: VlmRmConfig) -> None:
        """Compare with `model`.

        Raises:
            ConfigurationError: goal and baseline say the same.
        """
        self._model, self.config = model, config
        self._asked: dict[tuple[str, ...], GoalBaseline] = {}
        if config.goals:
            self._goal_baseline(config.goals)
        low, high = ((bound - config.mean) / config.std for bound in (-1.0, 1.0))
        self._spec = RewardSpec(NAME, dict.fromkeys(config.cameras), low=low, high=high)

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        return self._spec

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame, with the plain cosine beside it; see `RewardModel.score`."""
        check_texts([task])
        goals = self.config.goals or (task,)
        asked = self._goal_baseline(goals)
        prompt = hashlib.sha256(
            json.dumps([goals, self.config.baselines, self.config.alpha, self.config.renormalise]).encode()
        ).hexdigest()
        cameras, digest = self.config.cameras, self._model.digest
        lacking = [[camera for camera in cameras if camera not in frame.images] for frame in frames]
        known = [
            frame.images[camera]
            for frame, without in zip(frames, lacking, strict=True)
            for camera in cameras
            if not without
        ]
        check_images(known)
        embedded = self._model.embed_images(known)
        rewards, cosines = (
            iter(values.reshape(-1, len(cameras)).mean(axis=1)) if known else iter(())
            for values in (asked.rewards(embedded), asked.cosine(embedded))
        )
        scores: list[Score] = []
        for frame, without in zip(frames, lacking, strict=True):
            if without:
                why = f"there is no picture of camera '{without[0]}'"
                scores.append(Score.failed(ScoreStatus.STALE, frame.stamp_ns, why, model=digest, prompt=prompt))
                continue
            value = (float(next(rewards)) - self.config.mean) / self.config.std
            further = {COSINE: float(next(cosines))}
            scores.append(Score(value, ScoreStatus.OK, frame.stamp_ns, digest, prompt, further=further))
        return scores

    def _goal_baseline(self, goals: tuple[str, ...]) -> GoalBaseline:
        if goals not in self._asked:
            if len(self._asked) >= REMEMBERED:
                self._asked.clear()
            baselines = self._model.embed_texts(self.config.baselines) if self.config.baselines else None
            self._asked[goals] = GoalBaseline.of(
                self._model.embed_texts(goals), baselines, self.config.alpha, renormalise=self.config.renormalise
            )
        return self._asked[goals]


def standardised(rewards: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation of rewards, for `VlmRmConfig`; what was not scored is left out.

    Raises:
        ConfigurationError: there are fewer than two, or all are the same: they say nothing.
    """
    known = np.asarray(rewards, np.float64)
    known = known[np.isfinite(known)]
    if len(known) < 2 or float(known.std()) == 0.0:
        raise ConfigurationError(f"{len(known)} rewards that do not differ cannot be standardised")
    return float(known.mean()), float(known.std())
