"""The decoded messages of a recording, topic by topic, and how they are joined with the control periods."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import StreamReader
from numpy.typing import NDArray

from tutelage_core.episodes import messages
from tutelage_core.episodes.chunks import DAMAGE, opened
from tutelage_core.episodes.schemas import decode
from tutelage_core.errors import EpisodeError

IntArray = NDArray[np.int64]

_KINDS = {
    messages.ARM_STATE_TOPIC: messages.ARM_STATE,
    messages.EXECUTED_TOPIC: messages.EXECUTED,
    messages.STATUS_TOPIC: messages.STATUS,
    messages.EXPERT_TOPIC: messages.COMMAND,
    messages.CHUNK_TOPIC: messages.CHUNK,
}


@dataclass(frozen=True)
class Topic:
    """The messages of one topic in the order of their header stamps; of two with one stamp, the later written is later.

    Attributes:
        name: the topic.
        path: the file that it was read from, for error messages.
        stamps_ns: header stamps, shape (M,) [ns].
        messages: the M decoded messages.
        disordered: how many of them were written after one with a later stamp.
    """

    name: str
    path: Path
    stamps_ns: IntArray
    messages: list[Any]
    disordered: int = 0

    def join(self, stamps_ns: IntArray, tolerance_ns: int) -> list[Any]:
        """Return for each stamp the newest message that is not later and at most `tolerance_ns` older, else None."""
        found = np.searchsorted(self.stamps_ns, stamps_ns, side="right") - 1
        age = stamps_ns - self.stamps_ns[np.maximum(found, 0)]
        return [
            self.messages[index] if fits else None
            for index, fits in zip(found, (found >= 0) & (age <= tolerance_ns), strict=True)
        ]

    def at(self, stamp_ns: int) -> Any:
        """Return the message with this very stamp [ns], the one written last if there are several, else None."""
        index = int(np.searchsorted(self.stamps_ns, stamp_ns, side="right")) - 1
        return self.messages[index] if index >= 0 and self.stamps_ns[index] == stamp_ns else None

    def join_all(self, stamps_ns: IntArray, tolerance_ns: int) -> list[Any]:
        """Join as `join` does, but insist.

        Raises:
            EpisodeError: a stamp has no message.
        """
        joined = self.join(stamps_ns, tolerance_ns)
        for period, message in enumerate(joined):
            if message is None:
                raise EpisodeError(
                    f"{self.path}: control period {period} at {stamps_ns[period]} ns has no message on "
                    f"{self.name} that is at most {tolerance_ns} ns older"
                )
        return joined


def read_topics(path: Path, data: bytes, cameras: Iterable[str] | None) -> tuple[dict[str, Topic], tuple[str, ...]]:
    """Decode the MCAP file with content `data`; images only of `cameras`, or of all if None.

    Messages are decoded as the file's own definitions say; topics that are not ours are left alone.

    Returns:
        The topics by name, and the names of all cameras in the file.

    Raises:
        EpisodeError: it is no MCAP file, is damaged, or one of our topics carries something else.
    """
    wanted = None if cameras is None else frozenset(cameras)
    recorded: dict[str, None] = {}
    decoded: dict[str, list[Any]] = {}
    try:
        for schema, channel, message in _messages(data):
            camera = messages.camera_of(channel.topic)
            if camera is not None:
                recorded[camera] = None
                if wanted is not None and camera not in wanted:
                    continue
            kind = _KINDS.get(channel.topic)
            if camera is not None:
                raw = channel.topic == messages.image_topic(camera)
                kind = messages.IMAGE if raw else messages.COMPRESSED_IMAGE
            if kind is not None:
                definition = _definition(path, schema, channel, kind)
                decoded.setdefault(channel.topic, []).append(_decoded(path, message.data, kind, definition))
        return {name: _topic(name, path, found) for name, found in decoded.items()}, tuple(recorded)
    except DAMAGE as error:
        raise EpisodeError(f"{path}: not a readable MCAP file: {type(error).__name__} {error}") from error


def _messages(data: bytes) -> Iterator[tuple[Schema | None, Channel, Message]]:
    """Yield the messages of a file in the order in which they were written; raises one of `DAMAGE`."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in StreamReader(io.BytesIO(data), emit_chunks=True, record_size_limit=max(len(data), 1)).records:
        for part in opened(record) if isinstance(record, Chunk) else [record]:
            if isinstance(part, Schema):
                schemas[part.id] = part
            elif isinstance(part, Channel):
                channels[part.id] = part
            elif isinstance(part, Message):
                channel = channels[part.channel_id]
                yield schemas.get(channel.schema_id), channel, part


def _decoded(path: Path, data: bytes, kind: str, definition: str) -> Any:
    try:
        return decode(data, kind, definition)
    except EpisodeError as error:
        raise EpisodeError(f"{path}: {error}") from error


def _definition(path: Path, schema: Schema | None, channel: Channel, kind: str) -> str:
    found = (schema.name if schema else "no schema", schema.encoding if schema else "", channel.message_encoding)
    if schema is None or found != (kind, "ros2msg", "cdr"):
        raise EpisodeError(
            f"{path}: {channel.topic} carries {found}, expected {(kind, 'ros2msg', 'cdr')}; it was not "
            "recorded by this program"
        )
    return schema.data.decode()


def _topic(name: str, path: Path, found: list[Any]) -> Topic:
    stamps = np.array([messages.stamp_of(message) for message in found], dtype=np.int64)
    order = np.argsort(stamps, kind="stable")
    late = int((stamps[1:] < np.maximum.accumulate(stamps)[:-1]).sum())
    return Topic(name, path, stamps[order], [found[index] for index in order], late)
