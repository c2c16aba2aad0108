"""What is wrong with a recording that can be read: rates, gaps, doubled stamps, missing cameras, parity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tutelage_core.contract import NS_PER_S, RobotContract
from tutelage_core.episodes import messages
from tutelage_core.episodes.manifest import EPISODE_FILE, read_checked, read_manifest
from tutelage_core.episodes.parity import ParityReport, chunks_in, count
from tutelage_core.episodes.reader import JOIN_TOLERANCE_NS
from tutelage_core.episodes.topics import IntArray, Topic, read_topics
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
    parity = count(chunks_in(found))
    executed = found.get(messages.EXECUTED_TOPIC)
    driven_ns = _driven(executed)
    complaints = [
        f"camera '{camera}': the robot has it, the recording does not"
        for camera in contract.cameras
        if camera not in cameras
    ]
    for topic in topics:
        complaints += _complaints(topic, contract)
        if messages.camera_of(topic.topic) is not None and driven_ns.size:
            complaints += _unseen(found[topic.topic], driven_ns)
    if executed is None:
        complaints.append(f"nothing on {messages.EXECUTED_TOPIC}: it has no control periods")
    if parity.missing:
        complaints.append(f"{parity.missing} of {parity.chunks} chunks were thought from messages that are not there")
    if parity.other_state:
        complaints.append(f"{parity.other_state} of {parity.chunks} chunks were thought from another arm state")
    if parity.other_pixels and not _has_jpeg(found):
        complaints.append(f"{parity.other_pixels} of {parity.chunks} chunks were thought from other pixels")
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


def _complaints(topic: TopicHealth, contract: RobotContract) -> list[str]:
    said: list[str] = []
    camera = messages.camera_of(topic.topic)
    wanted_hz = 0.0
    if camera is not None and camera in contract.cameras:
        wanted_hz = contract.cameras[camera].rate_hz
    elif topic.topic == messages.EXECUTED_TOPIC:
        wanted_hz = contract.control_rate_hz
    if wanted_hz and topic.rate_hz and abs(topic.rate_hz / wanted_hz - 1.0) > RATE_TOLERANCE:
        said.append(f"{topic.topic}: {topic.rate_hz:.1f} Hz, the contract says {wanted_hz:g} Hz")
    if topic.doubled:
        said.append(f"{topic.topic}: {topic.doubled} messages have the stamp of the one before")
    if topic.disordered:
        said.append(f"{topic.topic}: {topic.disordered} messages were written after a later one")
    return said


def _driven(executed: Topic | None) -> IntArray:
    """Return the stamps of the control periods in which somebody drove: in a pause a camera may rest too."""
    if executed is None:
        return np.zeros(0, dtype=np.int64)
    drives = [int(message.source) != int(Source.HOLD) for message in executed.messages]
    return executed.stamps_ns[np.array(drives, dtype=np.bool_)]


def _unseen(camera: Topic, driven_ns: IntArray) -> list[str]:
    """Return what is to be said of control periods that have no picture of this camera that is fresh enough."""
    without = [message is None for message in camera.join(driven_ns, JOIN_TOLERANCE_NS)]
    if not any(without):
        return []
    first_s = float(driven_ns[without.index(True)] - driven_ns[0]) / NS_PER_S
    tolerance_s = JOIN_TOLERANCE_NS / NS_PER_S
    return [
        f"{camera.name}: {sum(without)} driven control periods have no picture of the last {tolerance_s:g} s, the first"
        f" at {first_s:.1f} s"
    ]


def _has_jpeg(topics: dict[str, Topic]) -> bool:
    return any("jpeg" in topic.messages[0].format for name, topic in topics.items() if name.endswith("/compressed"))
