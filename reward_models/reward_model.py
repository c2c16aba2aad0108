"""The plug point of a reward model: pictures and a task in words go in, and scores that can be trusted come out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from tutelage_core.contract import CameraNeed
from tutelage_core.types import Observation


class ScoreStatus(StrEnum):
    """What came of asking for a score."""

    OK = "ok"
    TIMEOUT = "timeout"
    """No answer within the deadline."""
    UNAVAILABLE = "unavailable"
    """The model cannot be reached, or was asked too often in vain and is left alone for a while."""
    INVALID_PARSE = "invalid_parse"
    """It answered, but not in the form that was asked for."""
    OUT_OF_RANGE = "out_of_range"
    """It answered with a number that cannot be."""
    STALE = "stale"
    """The picture was too old, or lacked."""
    DROPPED = "dropped"
    """Newer pictures came faster than the model could look."""
    ERROR = "error"
    """Anything else; `Score.message` says what."""


@dataclass(frozen=True)
class Score:
    """What a model says of one moment. One that says nothing is NaN, never 0 and never the last value.

    Attributes:
        value: reward, finite where the status is OK, else NaN.
        status: what came of asking.
        stamp_ns: when the picture was taken [ns].
        model: hash of the model's weights and settings, empty if unknown.
        prompt: hash of what it was asked, empty if it is not asked in words.
        success: probability that the task is done, 0..1; None where the model knows none.
        progress: share of the task that is done, 0..1; None where the model knows none.
        message: why there is no value, or what is to be said beside it.
        further: other numbers of the model, by name, such as the plain cosine beside a regularised one.
    """

    value: float
    status: ScoreStatus
    stamp_ns: int
    model: str = ""
    prompt: str = ""
    success: float | None = None
    progress: float | None = None
    message: str = ""
    further: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        """Refuse scores that say two things at once.

        Raises:
            ValueError: a value without OK, OK without a finite value, or a share outside 0..1.
        """
        if self.valid != math.isfinite(self.value) or (not self.valid and not math.isnan(self.value)):
            raise ValueError(f"score: status {self.status.value} does not go with the value {self.value}")
        for name, share in (("success", self.success), ("progress", self.progress)):
            if share is not None and (not self.valid or not 0.0 <= share <= 1.0):
                raise ValueError(f"score: {name} must be in 0..1 and its status OK, got {share}, {self.status.value}")

    @property
    def valid(self) -> bool:
        """Whether something may be learnt from it."""
        return self.status is ScoreStatus.OK

    @classmethod
    def failed(cls, status: ScoreStatus, stamp_ns: int, message: str, *, model: str = "", prompt: str = "") -> Score:
        """Return the score of a moment of which nothing is known."""
        return cls(math.nan, status, stamp_ns, model, prompt, message=message)


@dataclass(frozen=True)
class RewardSpec:
    """What a reward model needs, and what it gives.

    Attributes:
        name: kind of model, for example `vlm_rm`.
        cameras: camera name to the image size that it needs; None takes any size.
        state_keys: state keys that it looks at.
        low, high: between which its values lie.
        whole_episodes: it must see an episode from its beginning; else each moment stands for itself.
        has_success, has_progress: whether its scores say so.
    """

    name: str
    cameras: Mapping[str, CameraNeed | None]
    state_keys: tuple[str, ...] = ()
    low: float = -1.0
    high: float = 1.0
    whole_episodes: bool = False
    has_success: bool = False
    has_progress: bool = False


@runtime_checkable
class RewardModel(Protocol):
    """Scores moments of an episode. Implementations pass `tests/contract/test_reward_model.py`."""

    @property
    def spec(self) -> RewardSpec:
        """What the model needs and gives."""
        ...

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        """Return a score for each frame.

        Args:
            frames: moments of one episode, in their order; from its first one on if `spec.whole_episodes`.
            task: what was asked of the robot, a sentence.

        Raises:
            ValueError: the task is empty, or a frame lacks what the spec names or has it in another form. What may go
                wrong with a right question, such as a server that hangs, is in the scores' status.
        """
        ...
