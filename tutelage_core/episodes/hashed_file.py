"""A file that is written from its beginning to its end, and hashed on the way: hours of video are not read again."""

from __future__ import annotations

import hashlib
import os
from typing import BinaryIO

from tutelage_core.episodes.manifest import StoredFile


class HashedFile:
    """Passes on what is written, and knows its size and SHA-256."""

    def __init__(self, file: BinaryIO) -> None:
        """Write to `file`, which is new."""
        self._file = file
        self._digest, self._bytes = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        """Write `data` at the end.

        Raises:
            OSError: the disk takes no more.
        """
        self._digest.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Return how much was written [bytes]."""
        return self._bytes

    def flush(self) -> None:
        """Hand all of it to the operating system."""
        self._file.flush()

    def sync(self) -> None:
        """Bring all of it to the disk."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """End it."""
        self._file.close()

    def stored(self) -> StoredFile:
        """Return size and hash of what was written."""
        return StoredFile(self._bytes, self._digest.hexdigest())
