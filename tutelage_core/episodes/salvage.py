"""What can be read of a damaged MCAP file: every chunk whose checksum holds, as far as the file can be followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.records import Channel, Chunk, DataEnd, Message, Metadata, Schema
from mcap.stream_reader import StreamReader

from tutelage_core.episodes.chunks import DAMAGE, opened


@dataclass(frozen=True)
class SavedMessage:
    """One message of a chunk whose checksum holds.

    Attributes:
        part: counts the damaged chunks before it: between messages of one part nothing is missing.
        topic: where it came from.
        kind: its type, such as `sensor_msgs/msg/Image`.
        definition: how the file defines the type.
        stamp_ns: its header's stamp, as the file has it beside the message [ns].
        data: its CDR bytes.
        sequence: of the message.
    """

    part: int
    topic: str
    kind: str
    definition: str
    stamp_ns: int
    data: bytes
    sequence: int


@dataclass
class Salvage:
    """Reads what is sound in the MCAP file at `path`, in the order in which it was written.

    Attributes:
        path: the file.
        metadata: name to key to value, of the metadata records seen so far.
        damaged_chunks: those whose checksum does not hold, and which were left out.
        tail_bytes: what lies behind the last record that could be read [bytes]; 0 if the file is whole or ends between
            two records.
        is_whole: whether the data section was closed as it should be.
        why: what was wrong where the reading ended, empty if nothing.
    """

    path: Path
    metadata: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    damaged_chunks: int = 0
    tail_bytes: int = 0
    is_whole: bool = False
    why: str = ""

    def messages(self) -> Iterator[SavedMessage]:
        """Yield the sound messages; the other attributes are complete once this has ended."""
        schemas: dict[int, Schema] = {}
        channels: dict[int, Channel] = {}
        with self.path.open("rb") as file:
            for record in self._records(file):
                if isinstance(record, Metadata):
                    self.metadata[record.name] = dict(record.metadata)
                for part in self._opened(record) if isinstance(record, Chunk) else [record]:
                    if isinstance(part, Schema):
                        schemas[part.id] = part
                    elif isinstance(part, Channel):
                        channels[part.id] = part
                    elif isinstance(part, Message) and part.channel_id in channels:
                        channel = channels[part.channel_id]
                        schema = schemas.get(channel.schema_id)
                        if schema is not None and schema.encoding == "ros2msg" and channel.message_encoding == "cdr":
                            yield self._saved(channel, schema, part)

    def _saved(self, channel: Channel, schema: Schema, message: Message) -> SavedMessage:
        text = schema.data.decode("utf-8", errors="replace")
        where = (self.damaged_chunks, channel.topic, schema.name, text)
        return SavedMessage(*where, message.log_time, message.data, message.sequence)

    def _records(self, file: BinaryIO) -> Iterator[object]:
        size = self.path.stat().st_size
        last = 0
        try:
            # a limit on a record's length: a flipped bit there must not ask for terabytes
            for record in StreamReader(file, emit_chunks=True, record_size_limit=max(size, 1)).records:
                last = file.tell()
                if isinstance(record, DataEnd):
                    self.is_whole = True
                    return
                yield record
        except DAMAGE as error:
            self.why = f"{type(error).__name__} {error}".strip()
        self.tail_bytes = size - last

    def _opened(self, chunk: Chunk) -> list[object]:
        try:
            return opened(chunk)
        except DAMAGE:
            self.damaged_chunks += 1
            return []
