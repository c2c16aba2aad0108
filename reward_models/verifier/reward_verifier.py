"""Any reward model as a verifier: the last frames have to look done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reward_models.reward_model import RewardModel, Score
from reward_models.verifier.verifier import check_attempt, frames_to_look_at
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation
from tutelage_core.verdict import Answer, Verdict


@dataclass(frozen=True)
class RewardVerifierConfig:
    """How scores become an answer.

    Attributes:
        step: every so many-th frame is looked at, counted back from the last one.
        last: of those, how many at the end are asked about; more than half of them must look done.
        threshold: a frame looks done from this probability of success on; for a model that knows none, from this
            reward on. None takes the model's own.
    """

    step: int = 2
    last: int = 3
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse what looks at nothing."""
        if self.step < 1 or self.last < 1:
            raise ConfigurationError(f"RewardVerifierConfig: step and last must be at least 1, got {self}")


class RewardVerifier:
    """Implements `Verifier`."""

    def __init__(
        self,
        name: str,
        model: RewardModel,
        own_threshold: float | None = None,
        config: RewardVerifierConfig | None = None,
        likely: float = 0.5,
    ) -> None:
        """Judge by `model`.

        Args:
            name: how it was asked for.
            model: scores frames.
            own_threshold: the model's own, of its reward.
            config: how scores become an answer.
            likely: the model's own, of its probability of success.

        Raises:
            ConfigurationError: nothing that the model says could be success.
        """
        self._name, self._model = name, model
        self._config = config or RewardVerifierConfig()
        self._by_probability = model.spec.has_success
        threshold = self._config.threshold
        if threshold is None:
            threshold = likely if self._by_probability else own_threshold
        if threshold is None:
            raise ConfigurationError(
                f"verifier '{name}': the model knows no probability of success and has no threshold: say from which "
                "reward on the task is done"
            )
        self._threshold = threshold

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self._name

    @property
    def cameras(self) -> Mapping[str, CameraNeed | None]:
        """Camera name to the image size that it needs."""
        return self._model.spec.cameras

    def verify(self, frames: Sequence[Observation], task: str) -> Verdict:
        """See `Verifier.verify`."""
        check_attempt(frames, task, self.cameras)
        looked = [frames[number] for number in frames_to_look_at(len(frames), self._config.step)]
        if not self._model.spec.whole_episodes:
            looked = looked[-self._config.last :]
        scores = self._model.score(looked, task)[-self._config.last :]
        stamps = tuple(score.stamp_ns for score in scores)
        said = [self._said(score) for score in scores if score.valid]
        told = ", ".join(f"{value:.2f}" for value in said)
        if 2 * len(said) <= len(scores):
            why = next(score.message or score.status.value for score in scores if not score.valid)
            return Verdict(
                Answer.UNKNOWN, self._name, f"{len(said)} of {len(scores)} frames were scored: {why}", stamps
            )
        done = sum(value >= self._threshold for value in said)
        answer = Answer.YES if 2 * done > len(said) else Answer.NO
        return Verdict(answer, self._name, f"{told}; done from {self._threshold:.2f} on", stamps)

    def _said(self, score: Score) -> float:
        if self._by_probability and score.success is not None:
            return score.success
        return score.value
