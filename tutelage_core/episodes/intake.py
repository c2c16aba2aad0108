"""Serialized ROS messages, as they come from the wire, on their way into a recording. No ROS is needed.

Each message is decoded once, to look at it; what is written is what came, byte for byte. Only images are made anew, and
only if they shall be kept compressed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tutelage_core.contract import RobotContract
from tutelage_core.episodes import messages
from tutelage_core.episodes.schemas import decode, definition
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import EpisodeError
from tutelage_core.types import Frame

SESSION_TOPIC = "/session/state"
SESSION_STATE = "tutelage_interfaces/msg/SessionState"

RECENT_MESSAGES = 64
"""So many messages of a topic are kept while no recording is open: 0.6 s of a state at 100 Hz."""

RECENT_IMAGES = 3
"""And so many of a camera: the first observation of an episode may be older than the last one before it."""

KINDS: Mapping[str, str] = {
    messages.ARM_STATE_TOPIC: messages.ARM_STATE,
    messages.EXECUTED_TOPIC: messages.EXECUTED,
    messages.STATUS_TOPIC: messages.STATUS,
    messages.CHUNK_TOPIC: messages.CHUNK,
    SESSION_TOPIC: SESSION_STATE,
}
"""What is recorded beside images: topic to type."""


class Intake:
    """Keeps what came last of each topic, and writes into a recording while one is open.

    A message that is older than the episode, or is a repetition, is left out. One that cannot be recorded is an error,
    and the recording goes on.
    """

    def __init__(self, contract: RobotContract) -> None:
        """Take the messages of the robot with this `contract`."""
        self._cameras = {messages.image_topic(camera): camera for camera in contract.cameras}
        self._recent: dict[str, deque[bytes]] = {
            topic: deque(maxlen=RECENT_IMAGES if topic in self._cameras else RECENT_MESSAGES) for topic in self.topics
        }
        self._writer: EpisodeWriter | None = None
        self._not_before_ns = -1
        self._last_ns: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    @property
    def topics(self) -> Mapping[str, str]:
        """What it takes: topic to message type."""
        return {**dict.fromkeys(self._cameras, messages.IMAGE), **KINDS}

    @property
    def writer(self) -> EpisodeWriter | None:
        """The recording that is open."""
        return self._writer

    def silent(self, topics: Iterable[str]) -> list[str]:
        """Return those of `topics` on which nothing has come yet."""
        return [topic for topic in topics if not self._recent[topic]]

    def count(self, topic: str) -> int:
        """Return how many messages of `topic` are in the open recording."""
        return self._counts.get(topic, 0)

    def last_ns(self, topic: str) -> int:
        """Return the stamp of the newest message of `topic` in the open recording [ns]; -1 if there is none."""
        return self._last_ns.get(topic, -1)

    def begin(self, writer: EpisodeWriter, not_before_ns: int) -> list[str]:
        """Write into `writer` from now on, what came already included; what is older than `not_before_ns` is left out.

        Returns:
            What was kept and cannot be recorded, and why.
        """
        self._writer, self._not_before_ns = writer, not_before_ns
        self._last_ns, self._counts = {}, {}
        complaints: list[str] = []
        for topic, kept in self._recent.items():
            for data in tuple(kept):
                try:
                    self._write(topic, data)
                except EpisodeError as error:
                    complaints.append(f"{topic}: {error}")
        return complaints

    def end(self) -> EpisodeWriter | None:
        """Let go of the recording, and return it."""
        writer, self._writer = self._writer, None
        return writer

    def take(self, topic: str, data: bytes) -> bool:
        """Take one serialized message; return whether it went into a recording.

        Raises:
            EpisodeError: it cannot be recorded: damaged, misshapen, of another size than the contract says.
            OSError: the disk takes no more.
        """
        self._recent[topic].append(data)
        return self._write(topic, data)

    def _write(self, topic: str, data: bytes) -> bool:
        if self._writer is None:
            return False
        kind = self.topics[topic] if topic in self._cameras else KINDS[topic]
        message = decode(data, kind, definition(kind))
        stamp_ns = messages.stamp_of(message)
        # several states of a session may have one stamp, where simulated time stands still
        oldest_ns = (
            self._not_before_ns if topic == SESSION_TOPIC else self._last_ns.get(topic, self._not_before_ns - 1) + 1
        )
        if stamp_ns < oldest_ns:
            return False
        if topic in self._cameras:
            self._write_image(self._writer, self._cameras[topic], topic, stamp_ns, message, data)
        else:
            _check(kind, message)
            sequence = int(getattr(message, "sequence", 0))
            self._writer.write(topic, kind, stamp_ns, data, sequence)
        self._last_ns[topic] = stamp_ns
        self._counts[topic] = self._counts.get(topic, 0) + 1
        return True

    def _write_image(
        self, writer: EpisodeWriter, camera: str, topic: str, stamp_ns: int, message: Any, data: bytes
    ) -> None:
        frame = Frame(messages.to_image(message), stamp_ns, self.count(topic))
        if writer.image_format != "raw":
            writer.image(camera, frame)
            return
        writer.check_image(camera, frame)
        writer.write(topic, messages.IMAGE, stamp_ns, data, frame.sequence)


def _check(kind: str, message: Any) -> None:
    """Raise if a decoded message cannot stand in a recording."""
    if kind == messages.EXECUTED and not np.isfinite(message.executed).all():
        raise EpisodeError(f"executed step must be finite, got {np.asarray(message.executed).tolist()}")
    if kind == messages.ARM_STATE:
        joints, speeds = len(message.joint_positions), len(message.joint_velocities)
        if not joints or joints != speeds:
            raise EpisodeError(f"an arm state has {joints} joint positions and {speeds} joint velocities")
    if kind == messages.CHUNK and not len(messages.to_chunk(message).steps):
        raise EpisodeError("a chunk has no steps")
