"""Which control periods of a damaged recording hang together: the runs out of which one is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tutelage_core.contract import RobotContract
from tutelage_core.episodes import messages
from tutelage_core.episodes.reader import JOIN_TOLERANCE_NS
from tutelage_core.episodes.salvage import SavedMessage
from tutelage_core.episodes.schemas import decode
from tutelage_core.errors import EpisodeError


@dataclass(frozen=True)
class Run:
    """Control periods between which nothing is missing.

    Attributes:
        part: the part of the recording that they are in; see `SavedMessage`.
        steps_ns: their stamps [ns].
    """

    part: int
    steps_ns: tuple[int, ...]

    def holds(self, message: SavedMessage) -> bool:
        """Return whether `message` belongs to it."""
        if message.part != self.part or not is_readable(message):
            return False
        if message.topic == messages.EXECUTED_TOPIC:
            return self.steps_ns[0] <= message.stamp_ns <= self.steps_ns[-1] and message.stamp_ns in self._stamps
        return message.stamp_ns >= self.steps_ns[0] - JOIN_TOLERANCE_NS

    @property
    def _stamps(self) -> frozenset[int]:
        return frozenset(self.steps_ns)


@dataclass
class _Part:
    steps_ns: list[int] = field(default_factory=list[int])
    others_ns: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


class Runs:
    """Notes what there is, message by message, and finds the runs."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._parts: dict[int, _Part] = {}
        self._cameras: dict[str, str] = {}
        self.unreadable = 0
        """Messages that are not as they are defined."""

    @property
    def steps(self) -> int:
        """Return how many executed steps were noted."""
        return sum(len(part.steps_ns) for part in self._parts.values())

    def note(self, message: SavedMessage) -> None:
        """Note one message."""
        if not is_readable(message):
            self.unreadable += 1
            return
        part = self._parts.setdefault(message.part, _Part())
        if message.topic == messages.EXECUTED_TOPIC:
            part.steps_ns.append(message.stamp_ns)
            return
        camera = messages.camera_of(message.topic)
        if camera is not None:
            self._cameras[camera] = message.topic
        if camera is not None or message.topic == messages.ARM_STATE_TOPIC:
            part.others_ns.setdefault(message.topic, []).append(message.stamp_ns)

    def longest(self, contract: RobotContract) -> Run | None:
        """Return the longest run whose periods have an image of each camera that was recorded, and an arm state."""
        needed = [messages.ARM_STATE_TOPIC, *(self._cameras[c] for c in contract.cameras if c in self._cameras)]
        found = [Run(number, stamps) for number, part in self._parts.items() for stamps in _whole(part, needed)]
        return max(found, key=lambda run: len(run.steps_ns), default=None)


def is_readable(message: SavedMessage) -> bool:
    """Return whether the message is as its file defines it."""
    try:
        decode(message.data, message.kind, message.definition)
    except EpisodeError:
        return False
    return True


def _whole(part: _Part, needed: list[str]) -> Iterator[tuple[int, ...]]:
    steps = np.array(part.steps_ns, dtype=np.int64)
    if not steps.size:
        return
    whole = np.ones(len(steps), dtype=np.bool_)
    whole[1:] = steps[1:] > np.maximum.accumulate(steps)[:-1]  # later than all before
    for topic in needed:
        stamps = np.sort(np.array(part.others_ns.get(topic, []), dtype=np.int64))
        if not stamps.size:
            return
        index = np.searchsorted(stamps, steps, side="right") - 1
        whole &= (index >= 0) & (steps - stamps[np.maximum(index, 0)] <= JOIN_TOLERANCE_NS)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], whole.astype(np.int8), [0]])))
    for first, end in edges.reshape(-1, 2):
        yield tuple(steps[first:end].tolist())
