"""Who says, while a policy learns, that the task is done."""

from __future__ import annotations

import math
from enum import Enum
from pathlib import Path
from typing import Protocol

from reward_models.success_classifier.classifier import SuccessClassifier
from reward_models.success_classifier.detector import Verdict as Seen
from sim.twin import Twin
from tutelage_core.contract import RobotContract
from tutelage_core.types import Observation


class Verdict(Enum):
    """What a judge says of one control period."""

    SUCCESS = "success"
    NO = "no"
    UNKNOWN = "unknown"
    """Nothing can be said, as when a picture was lost: such a reward is not learnt from."""


class SuccessJudge(Protocol):
    """Looks at each observation of an episode, in order."""

    def restart(self) -> None:
        """Begin an episode."""
        ...

    def judge(self, obs: Observation) -> Verdict:
        """Say whether the task is done."""
        ...


class TruthJudge:
    """The twin's own ground truth. Only simulation has one: it shows what learning could reach at best."""

    def __init__(self, twin: Twin) -> None:
        """Judge what happens in `twin`."""
        self._twin = twin

    def restart(self) -> None:
        """Nothing is remembered."""

    def judge(self, obs: Observation) -> Verdict:
        """Say whether the task is done now."""
        return Verdict.SUCCESS if self._twin.task_status().success else Verdict.NO


class ClassifierJudge:
    """A success classifier: sees what the robot's cameras see, and can be wrong."""

    def __init__(self, classifier: SuccessClassifier) -> None:
        """Judge by the classifier's own rule."""
        self._classifier = classifier
        self._detector = classifier.detector()

    @property
    def silent_episodes(self) -> int:
        """Episodes in a row in which it saw no success."""
        return self._detector.silent_episodes

    def restart(self) -> None:
        """Begin an episode: no frame before counts."""
        self._detector.restart()

    def judge(self, obs: Observation) -> Verdict:
        """Say whether the task is done: enough frames in a row looked like it.

        Raises:
            ValueError: a camera is missing, or has another size.
        """
        probability = self._classifier.probability(obs.images)
        seen = self._detector.see(probability)
        if seen is Seen.SUCCESS:
            return Verdict.SUCCESS
        return Verdict.UNKNOWN if math.isnan(probability) else Verdict.NO


def load_judge(classifier: str, contract: RobotContract) -> SuccessJudge | None:
    """Return the judge that looks through the robot's cameras; None where there is no classifier.

    Raises:
        CheckpointError: the classifier's folder is missing or damaged.
        ContractMismatchError: it needs other cameras or another rate than the robot gives.
    """
    if not classifier:
        return None
    loaded = SuccessClassifier.load(Path(classifier))
    loaded.check_fits(contract)
    return ClassifierJudge(loaded)
