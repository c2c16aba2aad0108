"""The success classifier as a reward model: 1 from the moment on in which it is sure of success, else 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reward_models.image_text.image_text_model import check_texts
from reward_models.reward_model import RewardSpec, Score, ScoreStatus
from reward_models.success_classifier.classifier import SuccessClassifier
from reward_models.success_classifier.detector import Verdict
from tutelage_core.types import Observation

NAME = "success_classifier"


class SuccessReward:
    """Implements `RewardModel`; it knows one kind of task, and looks at no words."""

    def __init__(self, classifier: SuccessClassifier, digest: str = "") -> None:
        """Judge by the classifier's own rule.

        Args:
            classifier: loaded from its folder.
            digest: hash of that folder's seal.
        """
        self._classifier, self._digest = classifier, digest
        cameras = dict(classifier.spec.cameras)
        self._spec = RewardSpec(NAME, cameras, low=0.0, high=1.0, whole_episodes=True, has_success=True)

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        return self._spec

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame; see `RewardModel.score`."""
        check_texts([task])
        cameras = list(self._spec.cameras)
        seen = [number for number, frame in enumerate(frames) if all(name in frame.images for name in cameras)]
        probabilities = np.full(len(frames), math.nan)
        if seen:
            images = {name: np.stack([frames[number].images[name] for number in seen]) for name in cameras}
            probabilities[seen] = self._classifier.probabilities(images)
        detector = self._classifier.detector()
        scores: list[Score] = []
        done = False
        for frame, probability in zip(frames, probabilities, strict=True):
            done = detector.see(float(probability)) is Verdict.SUCCESS or done
            if math.isnan(probability):
                lacking = ", ".join(name for name in cameras if name not in frame.images)
                why = f"there is no picture of camera {lacking}"
                scores.append(Score.failed(ScoreStatus.STALE, frame.stamp_ns, why, model=self._digest))
                continue
            value, success = float(done), float(probability)
            scores.append(Score(value, ScoreStatus.OK, frame.stamp_ns, self._digest, success=success))
        return scores
