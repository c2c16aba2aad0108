"""What is wrong with a recording that can be read: rates, gaps, doubled stamps, missing cameras, parity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage_core.contract import NS_PER_S, RobotContract
from tutelage_core.episodes import messages
from tutelage_core.episodes.manifest import EPISODE_FILE, read_checked, read_manifest
from tutelage_core.episodes.parity import ParityReport, check_parity
from tutelage_core.episodes.reader import JOIN_TOLERANCE_NS
from tutelage_core.episodes.topics import Topic, read_topics
from tutelage_core.types import Source

RATE_TOLERANCE = 0.2
"""So far may a rate be off the contract's."""

FEW = 3
"""Of fewer messages than this no rate is told."""


@dataclass(frozen=True)
class TopicHealth:
    """One topic of a recording.

    Attributes:
        topic: its name.
        messages: how many there are.
        rate_hz: median rate [Hz]; 0 with fewer than three messages.
        largest_gap_s: longest time between two of them [s].
        doubled: messages with the stamp of the one before.
        disordered: messages that were written after a later one.
    """

    topic: str
    messages: int
    rate_hz: float
    largest_gap_s: float
    doubled: int
    disordered: int


@dataclass(frozen=True)
class Health:
    """A recording that can be read, and what is to be said against it.

    Attributes:
        topics: each of our topics that it holds.
        parity: how many chunks can be thought again.
        complaints: a sentence each; none if all is well.
    """

    topics: tuple[TopicHealth, ...]
    parity: ParityReport
    complaints: tuple[str, ...]


def examine(folder: Path) -> Health:
    """Look at the finished episode in `folder`.

    Raises:
        EpisodeError: it is unfinished, damaged or foreign.
    """
    manifest = read_manifest(folder)
    contract = manifest.metadata.contract
    found, cameras = read_topics(folder / EPISODE_FILE, read_checked(folder, manifest, EPISODE_FILE), None)
    topics = tuple(_health(topic) for topic in found.values())
    parity = check_parity(folder)
    complaints = [
        f"camera '{camera}': the robot has it, the recording does not"
        for camera in contract.cameras
        if camera not in cameras
    ]
    for topic in topics:
        complaints += _complaints(topic, contract, found.get(messages.EXECUTED_TOPIC))
    if parity.missing:
        complaints.append(f"{parity.missing} of {parity.chunks} chunks were thought from messages that are not there")
    if parity.different and not any(topic.topic.endswith("/compressed") for topic in topics):
        complaints.append(f"{parity.different} of {parity.chunks} chunks were thought from other pixels or numbers")
    return Health(topics, parity, tuple(complaints))


def _health(topic: Topic) -> TopicHealth:
    gaps = np.diff(topic.stamps_ns)
    rate = float(NS_PER_S / max(float(np.median(gaps)), 1.0)) if len(topic.stamps_ns) >= FEW else 0.0
    return TopicHealth(
        topic.name,
        len(topic.messages),
        rate,
        float(gaps.max()) / NS_PER_S if gaps.size else 0.0,
        int((gaps == 0).sum()),
        topic.disordered,
    )


def _complaints(topic: TopicHealth, contract: RobotContract, executed: Topic | None) -> list[str]:
    said: list[str] = []
    camera = messages.camera_of(topic.topic)
    wanted_hz = 0.0
    if camera is not None and camera in contract.cameras:
        wanted_hz = contract.cameras[camera].rate_hz
    elif topic.topic == messages.EXECUTED_TOPIC:
        wanted_hz = contract.control_rate_hz
    if wanted_hz and topic.rate_hz and abs(topic.rate_hz / wanted_hz - 1.0) > RATE_TOLERANCE:
        said.append(f"{topic.topic}: {topic.rate_hz:.1f} Hz, the contract says {wanted_hz:g} Hz")
    if camera is not None and topic.largest_gap_s * NS_PER_S > JOIN_TOLERANCE_NS and not _pauses(executed):
        said.append(f"{topic.topic}: no picture for {topic.largest_gap_s:.2f} s")
    if topic.doubled:
        said.append(f"{topic.topic}: {topic.doubled} messages have the stamp of the one before")
    if topic.disordered:
        said.append(f"{topic.topic}: {topic.disordered} messages were written after a later one")
    return said


def _pauses(executed: Topic | None) -> bool:
    """Return whether the arm was held: a pause, in which a camera may rest too."""
    return executed is not None and any(message.source == int(Source.HOLD) for message in executed.messages)
