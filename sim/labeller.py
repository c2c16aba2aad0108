"""The person who says afterwards whether an episode went well, scripted, with a person's errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sim.bounds import check_bounds
from tutelage_core.errors import ConfigurationError, UnknownNameError

_LABELLING = 30_005  # keeps these draws apart


class Verdict(StrEnum):
    """What a person says of an episode."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Label:
    """A person's word on an episode.

    Attributes:
        verdict: how it went.
        failure: the failure kind, empty unless the verdict is a failure.
    """

    verdict: Verdict
    failure: str = ""


@dataclass(frozen=True)
class LabellerSettings:
    """How often somebody errs. The default never does.

    Attributes:
        false_positives: share of failed episodes that are called a success, 0..1.
        false_negatives: share of successful episodes that are called a failure, 0..1.
        undecided: share of all episodes, whatever came of them, on which no verdict is given, 0..1.
        wrong_kinds: share of rightly recognised failures that are given another kind, 0..1.
    """

    false_positives: float = 0.0
    false_negatives: float = 0.0
    undecided: float = 0.0
    wrong_kinds: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no share.

        Raises:
            ConfigurationError: a number is out of bounds.
        """
        check_bounds(self, 0.0, 1.0, "false_positives", "false_negatives", "undecided", "wrong_kinds")


class SuccessLabeller:
    """Labels episodes; the same seed and episode number give the same label, in whatever order they are asked for.

    The error rates are shares of the episodes on which there is a verdict.
    """

    def __init__(self, failures: Sequence[str], settings: LabellerSettings | None = None, seed: int = 0) -> None:
        """Know the task's failure kinds.

        Args:
            failures: the kinds, as in `Task.failures`.
            settings: how often the person errs.
            seed: of this person.

        Raises:
            ConfigurationError: there are no kinds, or wrong ones are asked for and there is only one.
        """
        self.settings = settings or LabellerSettings()
        self._failures, self._seed = tuple(dict.fromkeys(failures)), seed
        if len(self._failures) < (2 if self.settings.wrong_kinds > 0.0 else 1):
            raise ConfigurationError(
                f"a labeller needs a failure kind to name, and two where wrong_kinds > 0, got {self._failures}"
            )

    def label(self, episode: int, success: bool, failure: str = "") -> Label:
        """Return the label of an episode.

        Args:
            episode: its number, 0 or more.
            success: whether it truly succeeded.
            failure: the true failure kind, empty if it succeeded.

        Raises:
            UnknownNameError: an episode failed in a way that is none of the task's kinds.
        """
        if not success and failure not in self._failures:
            raise UnknownNameError("failure kind", failure, self._failures)
        undecided, err, wrong_kind, choice = np.random.default_rng([self._seed, _LABELLING, episode]).random(4)
        if undecided < self.settings.undecided:
            return Label(Verdict.UNDECIDED)
        if success:
            errs = err < self.settings.false_negatives
            return Label(Verdict.FAILURE, self._draw(self._failures, choice)) if errs else Label(Verdict.SUCCESS)
        if err < self.settings.false_positives:
            return Label(Verdict.SUCCESS)
        if wrong_kind < self.settings.wrong_kinds:
            return Label(Verdict.FAILURE, self._draw([kind for kind in self._failures if kind != failure], choice))
        return Label(Verdict.FAILURE, failure)

    @staticmethod
    def _draw(kinds: Sequence[str], choice: float) -> str:
        return kinds[int(choice * len(kinds))]
