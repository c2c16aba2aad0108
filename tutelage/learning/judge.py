"""Who says, while a policy learns, that the task is done."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from sim.twin import Twin
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


def make_judge(classifier: str, twin: Twin) -> SuccessJudge:
    """Return the judge of a training run: the success classifier in that folder, or the twin's truth for none."""
    if classifier:
        raise NotImplementedError
    return TruthJudge(twin)
