"""Which control periods of a damaged recording hang together: the runs out of which one is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tutelage_core.contract import RobotContract
from tutelage_core.episodes import messages
from tutelage_core.episodes.checks import check_message
from tutelage_core.episodes.reader import JOIN_TOLERANCE_NS
from tutelage_core.episodes.salvage import SavedMessage
from tutelage_core.episodes.schemas import decode
from tutelage_core.errors import EpisodeError


@dataclass(frozen=True)
class Run:
    """Control periods between which nothing is missing.

    Attributes:
        part: the part of the recording that they are in; see `SavedMessage`.
        steps_ns: their stamps, ascending [ns].
        since_ns: other messages belong to it from this stamp on [ns]: all of the part where it begins with the part's
            first step.
    """

    part: int
    steps_ns: tuple[int, ...]
    since_ns: int

    def chosen(self, saved: Iterator[SavedMessage], contract: RobotContract) -> Iterator[SavedMessage]:
        """Yield the messages that belong to it, each step once."""
        steps = set(self.steps_ns)
        for message in saved:
            if message.part != self.part or not is_sound(message, contract):
                continue
            if message.topic != messages.EXECUTED_TOPIC:
                if message.stamp_ns >= self.since_ns:
                    yield message
            elif message.stamp_ns in steps:
                steps.remove(message.stamp_ns)
                yield message


@dataclass
class _Part:
    steps_ns: list[int] = field(default_factory=list[int])
    others_ns: dict[str, list[int]] = field(default_factory=dict[str, list[int]])


class Runs:
    """Notes what there is, message by message, and finds the runs."""

    def __init__(self, contract: RobotContract) -> None:
        """Look at a recording of the robot with this `contract`."""
        self._contract = contract
        self._parts: dict[int, _Part] = {}
        self._cameras: dict[str, str] = {}
        self.sound = 0
        """Messages that can stand in a recording."""
        self.unsound = 0
        """Messages that cannot: damaged, misshapen, or of nobody."""

    @property
    def steps_ns(self) -> tuple[int, ...]:
        """Stamps of all control periods that can be read, ascending, each once [ns]."""
        return tuple(sorted({stamp for part in self._parts.values() for stamp in part.steps_ns}))

    def note(self, message: SavedMessage) -> None:
        """Note one message."""
        if not is_sound(message, self._contract):
            self.unsound += 1
            return
        self.sound += 1
        part = self._parts.setdefault(message.part, _Part())
        if message.topic == messages.EXECUTED_TOPIC:
            part.steps_ns.append(message.stamp_ns)
            return
        camera = messages.camera_of(message.topic)
        if camera is not None:
            self._cameras[camera] = message.topic
        if camera is not None or message.topic == messages.ARM_STATE_TOPIC:
            part.others_ns.setdefault(message.topic, []).append(message.stamp_ns)

    def longest(self) -> Run | None:
        """Return the longest run whose periods have an image of each camera that was recorded, and an arm state."""
        needed = [messages.ARM_STATE_TOPIC, *(self._cameras[c] for c in self._contract.cameras if c in self._cameras)]
        found = [run for number, part in self._parts.items() for run in _whole(number, part, needed)]
        return max(found, key=lambda run: len(run.steps_ns), default=None)


def is_sound(message: SavedMessage, contract: RobotContract) -> bool:
    """Return whether the message is as its file defines it, and can stand in a recording."""
    try:
        decoded = decode(message.data, message.kind, message.definition)
        if not hasattr(decoded, "header"):
            return 0 <= message.stamp_ns <= messages.MAX_STAMP_NS
        check_message(message.kind, decoded, contract)
        return messages.stamp_of(decoded) == message.stamp_ns
    except EpisodeError:
        return False


def _whole(number: int, part: _Part, needed: list[str]) -> Iterator[Run]:
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
        yield Run(number, tuple(steps[first:end].tolist()), 0 if first == 0 else int(steps[first]) - JOIN_TOLERANCE_NS)
