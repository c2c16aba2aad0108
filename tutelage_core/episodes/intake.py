"""Serialized ROS messages, as they come from the wire, on their way into a recording. No ROS is needed.

Each message is decoded once, to look at it; what is written is what came, byte for byte. Only images are made anew, and
only if they shall be kept compressed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from tutelage_core.contract import NS_PER_S, RobotContract
from tutelage_core.episodes import messages, pictures
from tutelage_core.episodes.checks import check_message
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

REMEMBERED = 256
"""So many stamps of a topic are remembered, to know a message that comes again."""

MOST_AHEAD_NS = 10 * NS_PER_S
"""So far may a stamp be ahead of the arm's newest state [ns]; between two scenes of the twin lies one second."""

WATCHDOG = "COMMAND_TIMEOUT"
"""Reason of a step that nobody asked for."""

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

    A message that is older than the episode, or that came before with the same stamp, is left out. Any other is
    written, in whatever order they come; one that cannot be recorded is an error, and the recording goes on.
    """

    def __init__(self, contract: RobotContract) -> None:
        """Take the messages of the robot with this `contract`."""
        self._contract = contract
        self._cameras = {messages.image_topic(camera): camera for camera in contract.cameras}
        self.topics: Mapping[str, str] = {**dict.fromkeys(self._cameras, messages.IMAGE), **KINDS}
        """What it takes: topic to message type."""
        self._recent: dict[str, deque[bytes]] = {
            topic: deque(maxlen=RECENT_IMAGES if topic in self._cameras else RECENT_MESSAGES) for topic in self.topics
        }
        self._writer: EpisodeWriter | None = None
        self._begin(0)

    @property
    def writer(self) -> EpisodeWriter | None:
        """The recording that is open."""
        return self._writer

    def silent(self, topics: Iterable[str]) -> list[str]:
        """Return those of `topics` on which nothing has come yet."""
        return [topic for topic in topics if not self._recent[topic]]

    def count(self, topic: str) -> int:
        """Return how many messages of `topic` are in the open recording, or in the last one."""
        return self._counts.get(topic, 0)

    def last_ns(self, topic: str) -> int:
        """Return the latest stamp of `topic` in the open recording [ns]; -1 if there is none."""
        return self._last_ns.get(topic, -1)

    def begin(self, writer: EpisodeWriter, not_before_ns: int) -> list[str]:
        """Write into `writer` from now on, what came already included; what is older than `not_before_ns` is left out.

        Returns:
            What was kept and cannot be recorded, and why.

        Raises:
            OSError: the disk takes no more; the recording is let go of.
        """
        self._writer = writer
        self._begin(not_before_ns)
        complaints: list[str] = []
        # states first: a picture is looked at beside them
        for topic in sorted(self._recent, key=lambda name: name in self._cameras):
            for data in tuple(self._recent[topic]):
                try:
                    self._write(topic, data)
                except EpisodeError as error:
                    complaints.append(f"{topic}: {error}")
                except OSError:
                    self._writer = None
                    raise
        return complaints

    def end(self) -> EpisodeWriter | None:
        """Let go of the recording, and return it."""
        writer, self._writer = self._writer, None
        return writer

    def take(self, topic: str, data: bytes) -> bool:
        """Take one serialized message; return whether it went into a recording.

        Raises:
            EpisodeError: it cannot be recorded: damaged, misshapen, of another size than the contract says, or far
                ahead of the arm's newest state.
            OSError: the disk takes no more.
        """
        self._recent[topic].append(data)
        return self._write(topic, data)

    def _begin(self, not_before_ns: int) -> None:
        self._not_before_ns = not_before_ns
        self._last_ns: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._stamps: dict[str, deque[int]] = {topic: deque(maxlen=REMEMBERED) for topic in self._recent}

    def _write(self, topic: str, data: bytes) -> bool:
        if self._writer is None:
            return False
        kind = self.topics[topic]
        message = decode(data, kind, definition(kind))
        check_message(kind, message, self._contract)
        stamp_ns = messages.stamp_of(message)
        # several states of a session may have one stamp, where simulated time stands still
        repeated = topic != SESSION_TOPIC and stamp_ns in self._stamps[topic]
        if repeated or stamp_ns < self._not_before_ns:
            return False
        self._check_ahead(topic, stamp_ns)
        if topic == messages.EXECUTED_TOPIC and not self.count(topic) and WATCHDOG in message.reasons:
            return False  # the arm's watchdog, before anybody has driven: no control period of this episode
        if topic in self._cameras:
            self._write_image(self._writer, self._cameras[topic], topic, stamp_ns, message, data)
        else:
            self._writer.write(topic, kind, stamp_ns, data, int(getattr(message, "sequence", 0)))
        self._stamps[topic].append(stamp_ns)
        self._last_ns[topic] = max(stamp_ns, self.last_ns(topic))
        self._counts[topic] = self._counts.get(topic, 0) + 1
        return True

    def _check_ahead(self, topic: str, stamp_ns: int) -> None:
        """Refuse what is stamped far ahead of the arm: joined with it, it would be of another time."""
        newest_ns = self.last_ns(messages.ARM_STATE_TOPIC)
        if newest_ns >= 0 and stamp_ns - newest_ns > MOST_AHEAD_NS:
            raise EpisodeError(
                f"stamped {(stamp_ns - newest_ns) / NS_PER_S:.1f} s after the arm's newest state: look at its clock"
            )

    def _write_image(
        self, writer: EpisodeWriter, camera: str, topic: str, stamp_ns: int, message: Any, data: bytes
    ) -> None:
        frame = Frame(pictures.to_image(message), stamp_ns, self.count(topic))
        if writer.image_format != "raw":
            writer.image(camera, frame)
            return
        writer.check_image(camera, frame)
        writer.write(topic, messages.IMAGE, stamp_ns, data, frame.sequence)
