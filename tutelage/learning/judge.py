"""Who says, while a policy learns, that the task is done, and how good it looks on the way."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from reward_models.registry import load_reward_model
from reward_models.reward_model import RewardModel
from reward_models.serving.success_vote import SuccessVote, VoteSettings
from reward_models.success_classifier.classifier import SuccessClassifier
from reward_models.success_classifier.detector import Verdict as Seen
from sim.twin import Twin
from tutelage_core.contract import RobotContract, check_cameras
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation

HISTORY = 32
"""Observations that are shown to a model that judges whole episodes."""


class Verdict(Enum):
    """What a judge says of one control period."""

    SUCCESS = "success"
    NO = "no"
    UNKNOWN = "unknown"
    """Nothing can be said, as when a picture was lost: such a reward is not learnt from."""


@dataclass(frozen=True)
class RewardChoice:
    """A reward model that somebody learns from.

    Attributes:
        model: its name, as for `tutelage reward evaluate`; none if empty.
        shaping: its reward times this is the potential that shapes; 0 rewards success alone.
        votes: when several moments are a success.
    """

    model: str = ""
    shaping: float = 1.0
    votes: VoteSettings = field(default_factory=VoteSettings)


class SuccessJudge(Protocol):
    """Looks at each observation of an episode, in order."""

    @property
    def potential(self) -> float:
        """How good the observation that was judged last is, for shaping; 0 where nothing is shaped, NaN if unknown."""
        ...

    def restart(self, task: str) -> None:
        """Begin an episode in which this sentence was asked."""
        ...

    def judge(self, obs: Observation) -> Verdict:
        """Say whether the task is done."""
        ...


class TruthJudge:
    """The twin's own ground truth. Only simulation has one: it shows what learning could reach at best."""

    potential = 0.0

    def __init__(self, twin: Twin) -> None:
        """Judge what happens in `twin`."""
        self._twin = twin

    def restart(self, task: str) -> None:
        """Nothing is remembered."""

    def judge(self, obs: Observation) -> Verdict:
        """Say whether the task is done now."""
        return Verdict.SUCCESS if self._twin.task_status().success else Verdict.NO


class ClassifierJudge:
    """A success classifier: sees what the robot's cameras see, and can be wrong."""

    potential = 0.0

    def __init__(self, classifier: SuccessClassifier) -> None:
        """Judge by the classifier's own rule."""
        self._classifier = classifier
        self._detector = classifier.detector()

    @property
    def silent_episodes(self) -> int:
        """Episodes in a row in which it saw no success."""
        return self._detector.silent_episodes

    def restart(self, task: str) -> None:
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


class RewardJudge:
    """Any reward model: it says when the task is done, and its reward is the potential that shapes the way there.

    Shaping by a potential (Ng et al. 1999) leaves the best policy what it was, however wrong the model is on the way.
    """

    def __init__(self, model: RewardModel, votes: VoteSettings, threshold: float | None, shaping: float) -> None:
        """Judge by `model`.

        Args:
            model: scores each observation.
            votes: how many of the last observations must look like success.
            threshold: the model's own; a reward of at least this looks like success.
            shaping: its reward times this is the potential; 0 shapes nothing.

        Raises:
            ConfigurationError: it gives nothing that could look like success, or the arm's state is to have a say.
        """
        if threshold is None and votes.threshold is None and not model.spec.has_success:
            raise ConfigurationError(
                f"reward model '{model.spec.name}' has no threshold: say from which reward on the task is done"
            )
        if votes.looks_at_arm:
            raise ConfigurationError(
                "learning from a reward model: votes cannot depend on the arm's speed, force or gripper in the loop"
            )
        self._model, self._vote, self._shaping = model, SuccessVote(votes, threshold), shaping
        self._task, self._history = "", deque[Observation](maxlen=HISTORY)
        self.potential = 0.0

    def restart(self, task: str) -> None:
        """Begin an episode: no frame before counts."""
        self._task, self.potential = task, 0.0
        self._history.clear()
        self._vote.restart()

    def judge(self, obs: Observation) -> Verdict:
        """Say whether the task is done: enough of the last frames looked like it.

        Raises:
            ValueError: the model refuses the observation.
        """
        self._history.append(obs)
        frames = list(self._history) if self._model.spec.whole_episodes else [obs]
        score = self._model.score(frames, self._task)[-1]
        self.potential = self._shaping * score.value if self._shaping else 0.0
        if self._vote.see(score, None):
            return Verdict.SUCCESS
        return Verdict.NO if score.valid else Verdict.UNKNOWN


def load_judge(classifier: str, contract: RobotContract, reward: RewardChoice | None = None) -> SuccessJudge | None:
    """Return the judge that looks through the robot's cameras; None where neither is named.

    Args:
        classifier: folder of a success classifier, empty if there is none.
        contract: the robot's.
        reward: a reward model instead, if it is named.

    Raises:
        CheckpointError: the model's folder is missing or damaged.
        ConfigurationError: both are named, or nothing that the model says could be success.
        ContractMismatchError: it needs other cameras or another rate than the robot gives.
    """
    if reward is not None and reward.model:
        if classifier:
            raise ConfigurationError(f"either the classifier {classifier} or the reward model {reward.model} judges")
        known = load_reward_model(reward.model)
        check_cameras(f"reward model '{reward.model}'", known.model.spec.cameras, contract)
        return RewardJudge(known.model, reward.votes, known.threshold, reward.shaping)
    if not classifier:
        return None
    loaded = SuccessClassifier.load(Path(classifier))
    loaded.check_fits(contract)
    return ClassifierJudge(loaded)
