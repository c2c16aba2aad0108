"""The words of the learner: what an actor streams, step by step, and what is said about it later.

A step brings the observation *before* its action. Its next observation is the one of the next step of its segment, or,
where the segment ends, the final observation that the step itself brings. Nothing is ever stored or sent twice, and no
next observation has to be guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tutelage_core.errors import TutelageError
from tutelage_core.types import ImageArray, Source

MapArray = NDArray[np.float16]
VectorArray = NDArray[np.float32]

ACTION_SIZE = 6
"""Translation and rotation; the gripper has a critic of its own."""


class ReplayError(TutelageError):
    """A step that cannot be stored, or a replay that cannot be sampled."""


class Gripper(IntEnum):
    """What a step tells the gripper."""

    CLOSE = 0
    HOLD = 1
    OPEN = 2


@dataclass(frozen=True)
class EncodedObservation:
    """What the networks see at one control period; `ObservationLayout` says which of it a learner stores.

    Attributes:
        maps: camera name to the frozen trunk's features of k augmented views, view 0 the plain one, shape
            (views, channels, rows, columns), float16.
        state: proprioception, relative and scaled (see `StateEncoder`), shape (state_size,), float32.
        images: camera name to RGB pixels, shape (height, width, 3), uint8; in pixel mode.
    """

    maps: Mapping[str, MapArray]
    state: VectorArray
    images: Mapping[str, ImageArray] = field(default_factory=dict[str, ImageArray])


@dataclass(frozen=True)
class Step:
    """One control period of one actor.

    Truncation (time limit, interruption) is apart from termination: a truncated step bootstraps from its true next
    observation, a terminated one does not bootstrap. Where both are true, it is terminated.

    Attributes:
        actor: who streams; unique among the actors of one learner.
        segment: number of the contiguous stretch of steps that it belongs to; one more than the actor's last one.
        index: place in the segment, from 0 on.
        observation: before the action.
        action: what was executed, translation and rotation over their limits, shape (6,), float32, [-1, 1].
        gripper: what the gripper was told.
        reward: of the step; NaN while it is invalid or unknown: such a step is not learnt from.
        grasp_penalty: added to the reward of the gripper's critic, at most 0.
        terminated: the task ended by itself, as with success.
        truncated: the segment ended for a reason that lies outside of the task.
        source: who drove.
        final_observation: after the action; given where the segment ends, and only there.
        after_restart: on the first step of a segment: the actor was started again, and what its last segment still
            owes will never come.
    """

    actor: str
    segment: int
    index: int
    observation: EncodedObservation
    action: VectorArray
    gripper: Gripper
    reward: float
    source: Source
    grasp_penalty: float = 0.0
    terminated: bool = False
    truncated: bool = False
    final_observation: EncodedObservation | None = None
    after_restart: bool = False

    def __post_init__(self) -> None:
        """Refuse what can be no step, whatever the robot."""
        if not self.actor or self.segment < 0 or self.index < 0:
            raise ReplayError(f"{self.name}: needs an actor's name, and numbers of segment and index of at least 0")
        if self.action.shape != (ACTION_SIZE,) or self.action.dtype != np.float32:
            raise ReplayError(
                f"{self.name}: action is {self.action.dtype}{self.action.shape}, expected float32({ACTION_SIZE},)"
            )
        if not bool((np.abs(self.action) <= 1.0).all()):  # so written that NaN is refused
            raise ReplayError(f"{self.name}: action {self.action.tolist()} must be finite and within [-1, 1]")
        if self.gripper not in tuple(Gripper):
            raise ReplayError(f"{self.name}: gripper {self.gripper!r}; legal: 0 close, 1 hold, 2 open")
        if self.source not in tuple(Source):
            legal = ", ".join(f"{s.value} {s.name}" for s in Source)
            raise ReplayError(f"{self.name}: source {self.source!r}; legal: {legal}")
        check_reward(self.reward, self.name)
        if not -math.inf < self.grasp_penalty <= 0.0:
            raise ReplayError(f"{self.name}: grasp_penalty {self.grasp_penalty} must be finite and at most 0")
        if self.ends_segment != (self.final_observation is not None):
            told = (
                "ends its segment and must bring"
                if self.ends_segment
                else "does not end its segment and must not bring"
            )
            raise ReplayError(f"{self.name}: {told} a final observation")
        if self.after_restart and self.index != 0:
            raise ReplayError(f"{self.name}: only the first step of a segment can come after a restart")

    @property
    def ends_segment(self) -> bool:
        """Whether no further step of its segment follows."""
        return self.terminated or self.truncated

    @property
    def name(self) -> str:
        """How errors call it."""
        return step_name(self.actor, self.segment, self.index)


@dataclass(frozen=True)
class Relabel:
    """Rewards that became known, or invalid, after the steps were stored.

    Of several for one step the newest counts. It bears no number, so one that comes again is stored again.

    Attributes:
        actor: whose steps.
        segment: of which segment.
        rewards: index in the segment to reward; NaN takes the step out of what is learnt from.
    """

    actor: str
    segment: int
    rewards: Mapping[int, float]

    def __post_init__(self) -> None:
        """Refuse rewards that are infinite."""
        for index, reward in self.rewards.items():
            check_reward(reward, step_name(self.actor, self.segment, index))


def step_name(actor: str, segment: int, index: int) -> str:
    """Return how errors call a step."""
    return f"step {index} of segment {segment} of actor '{actor}'"


def check_reward(reward: float, name: str) -> None:
    """Refuse an infinite reward; `name` stands in the error.

    Raises:
        ReplayError: the reward is infinite.
    """
    if math.isinf(reward):
        raise ReplayError(f"{name}: reward {reward} is infinite; give a number, or NaN to mark it as invalid")
