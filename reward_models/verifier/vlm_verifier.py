"""A vision-language model as a verifier: one sentence with two halves, and pictures of the attempt (RUM, 1.5).

The first half is about what happens over time, the second about the last picture alone: a cup that was lifted and has
slipped satisfies the first and not the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reward_models.verifier.verifier import check_attempt, frames_to_look_at
from reward_models.vlm_client.client import VlmClient
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation
from tutelage_core.verdict import Answer, Verdict

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "over_time": {"type": "boolean"},
        "at_last": {"type": "boolean"},
        "another_try_can_mend_it": {"type": "boolean"},
        "reason": {"type": "string", "maxLength": 300},
    },
    "required": ["over_time", "at_last", "another_try_can_mend_it", "reason"],
    "additionalProperties": False,
}
"""Both halves are asked for by themselves: a single yes hides which of them was looked at."""


@dataclass(frozen=True)
class Clauses:
    """The two halves of the question about one task.

    Attributes:
        over_time: what the robot does in the course of the pictures, such as `the gripper takes hold of the bag`.
        at_last: what the last picture shows, such as `the bag hangs in the gripper`.
    """

    over_time: str
    at_last: str

    def __post_init__(self) -> None:
        """Refuse half a question."""
        for name in ("over_time", "at_last"):
            if not getattr(self, name).strip():
                raise ConfigurationError(f"Clauses: {name} is empty")


@dataclass(frozen=True)
class VlmVerifierConfig:
    """What is asked.

    Attributes:
        cameras: whose pictures are shown; of each moment in this order.
        step: every so many-th frame is shown, counted back from the last one.
        most_frames: if there are more, they are spread evenly, the first and the last among them.
        clauses: sentence of a task to its halves; a task that is not among them is asked for in its own words.
    """

    cameras: tuple[str, ...] = ("wrist",)
    step: int = 2
    most_frames: int = 8
    clauses: Mapping[str, Clauses] = field(default_factory=dict[str, Clauses])

    def __post_init__(self) -> None:
        """Refuse what shows nothing."""
        if not self.cameras or self.step < 1 or self.most_frames < 1:
            raise ConfigurationError(
                f"VlmVerifierConfig: needs a camera, and step and most_frames of at least 1, got {self}"
            )


class VlmVerifier:
    """Implements `Verifier`."""

    def __init__(self, name: str, client: VlmClient, config: VlmVerifierConfig) -> None:
        """Ask through `client`."""
        self._name, self._client, self._config = name, client, config

    @property
    def name(self) -> str:
        """As it was asked for."""
        return self._name

    @property
    def cameras(self) -> Mapping[str, CameraNeed | None]:
        """Cameras that it looks through, of any size."""
        return dict.fromkeys(self._config.cameras)

    def verify(self, frames: Sequence[Observation], task: str) -> Verdict:
        """See `Verifier.verify`."""
        check_attempt(frames, task, self.cameras)
        config = self._config
        complete = [frame for frame in frames if all(name in frame.images for name in config.cameras)]
        looked = [complete[number] for number in frames_to_look_at(len(complete), config.step)]
        if len(looked) > config.most_frames:
            spread = np.linspace(len(looked) - 1, 0, config.most_frames).round().astype(int)  # of one it is the last
            looked = [looked[number] for number in reversed(spread)]
        images = [frame.images[camera] for frame in looked for camera in config.cameras]
        stamps = tuple(frame.stamp_ns for frame in looked)
        asked = self._client.ask(self.question(task, len(looked)), images, SCHEMA)
        if asked.data is None:
            return Verdict(Answer.UNKNOWN, self._name, asked.message or asked.status.value, stamps)
        said = asked.data
        works = bool(said["over_time"]) and bool(said["at_last"])
        hopeless = not works and not said["another_try_can_mend_it"]
        answer = Answer.YES if works else Answer.NO
        return Verdict(answer, self._name, str(said["reason"]), stamps, irreversible=hopeless)

    def question(self, task: str, moments: int) -> str:
        """Return the words that are asked about an attempt of which so many moments are shown."""
        config = self._config
        clauses = config.clauses.get(task) or Clauses(
            f"the robot does what it was told: {task}", f"that is done: {task}"
        )
        order = " and ".join(f"the {camera} camera" for camera in config.cameras)
        each = "One picture" if len(config.cameras) == 1 else f"{len(config.cameras)} pictures"
        return (
            f"A robot arm was told: {task}\n"
            f"You see {moments} moments of its attempt, the earliest first. {each} of each moment, from {order}.\n"
            "Judge two statements, each by itself.\n"
            f"over_time, about all moments together: {clauses.over_time}.\n"
            f"at_last, about the last moment alone, whatever came before: {clauses.at_last}.\n"
            "Say true only for what the pictures show; if you cannot tell, say false.\n"
            "another_try_can_mend_it: false only if the thing has left the arm's reach or is damaged.\n"
            'Answer with JSON alone: {"over_time": ..., "at_last": ..., "another_try_can_mend_it": ..., "reason": ...}'
        )
