"""Chunks of MCAP files from anywhere: opened only if their checksum holds and they are no larger than they may be."""

from __future__ import annotations

import struct

import zstandard
from mcap.exceptions import McapError
from mcap.records import Chunk
from mcap.stream_reader import breakup_chunk

MAX_CHUNK_BYTES = 256 * 1024 * 1024
"""So large a chunk may be when it is unpacked; our own have 1 MiB and one message."""

DAMAGE = (
    McapError,
    zstandard.ZstdError,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    ArithmeticError,
    MemoryError,
    LookupError,
    AttributeError,
    RuntimeError,  # lz4's
)
"""What the MCAP reader raises on damaged bytes."""


def opened(chunk: Chunk) -> list[object]:
    """Return the records in `chunk`.

    Raises:
        ValueError: it is too large, or its checksum does not hold.
        Exception: another of `DAMAGE`.
    """
    if chunk.uncompressed_size > MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk of {chunk.uncompressed_size} bytes; {MAX_CHUNK_BYTES} are read at most")
    return list(breakup_chunk(chunk, validate_crc=True))
