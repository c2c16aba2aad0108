"""An actor's steps on its own disk until the learner has them: one file a segment, steps appended as they are made.

::

    <folder>/lock                    held by the actor that has it open
    <folder>/run                     name of the training run whose learner the steps are for
    <folder>/segment-00000012.steps  records: size (4 bytes), CRC-32 (4 bytes), content

A step is handed to the operating system before it is sent, so nothing of it is lost when the actor's process is killed.
A segment's file is synced when it is begun and when it ends: a power failure costs the tail of the segment under way. A
record that was torn by it is cut away when the folder is opened again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tutelage_core.errors import CheckpointError

_LOCK, _RUN = "lock", "run"
_SEGMENT = re.compile(r"segment-(\d{8})\.steps")
_RECORD = struct.Struct("<II")


class StepJournal:
    """Appends records to the file of a segment, and forgets segments that are done."""

    def __init__(self, folder: Path) -> None:
        """Open the journal in `folder`, or begin one; what was torn at the end of a file is cut away.

        Raises:
            CheckpointError: another process has it open, or it cannot be read.
        """
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._segment = -1
        self.torn_bytes = 0
        """Of records that were not whole."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK).open("ab")
        except OSError as error:
            raise CheckpointError(f"{folder}: cannot be opened: {error.strerror or error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise CheckpointError(
                f"{folder}: another actor has this outbox open; end it, or give each actor a name of its own"
            ) from error
        try:
            paths = {int(m[1]): path for path in folder.iterdir() if (m := _SEGMENT.fullmatch(path.name))}
            self.kept: Mapping[int, tuple[bytes, ...]] = {n: self._whole_records(paths[n]) for n in sorted(paths)}
            """Segment to the records that an earlier process left of it."""
            self._numbers = set(paths)
            run = folder / _RUN
            self.run = run.read_text(encoding="utf-8").strip() if run.is_file() else ""
            """Name of the run that the records are for; empty where none has spoken yet."""
        except OSError as error:
            self._lock.close()
            raise CheckpointError(f"{folder}: cannot be read: {error.strerror or error}") from error

    def belong_to(self, run: str) -> None:
        """Note the run that the records are for.

        Raises:
            CheckpointError: the disk is full or not writable.
        """
        fresh = self._folder / f".{_RUN}.new"
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(run)
                _sync(file)
            fresh.replace(self._folder / _RUN)
            self._sync_folder()
            self.run = run
        except OSError as error:
            raise self._unwritable(error) from error

    def append(self, segment: int, record: bytes) -> None:
        """Hand a record of `segment` to the operating system; a segment is begun by its first one.

        Raises:
            CheckpointError: the disk is full or not writable; the record is not kept, those before it are.
        """
        try:
            if self._file is None or segment != self._segment:
                self._begin(segment)
            assert self._file is not None
            place = self._file.tell()
            data = _RECORD.pack(len(record), zlib.crc32(record)) + record
            if self._file.write(data) != len(data):
                self._file.truncate(place)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._unwritable(error) from error

    def end_segment(self) -> None:
        """Sync the segment: from now on it survives a power failure, too.

        Raises:
            CheckpointError: the disk is full or not writable.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                _sync(file)
        except OSError as error:
            raise self._unwritable(error) from error

    def forget_before(self, segment: int) -> None:
        """Remove the files of all segments before this one."""
        for number in sorted(n for n in self._numbers if n < segment):
            self._path(number).unlink(missing_ok=True)
            self._numbers.discard(number)

    def close(self) -> None:
        """Sync what is open, and let go of the folder."""
        if self._lock.closed:
            return
        try:
            self.end_segment()
        finally:
            self._lock.close()

    def _begin(self, segment: int) -> None:
        self.end_segment()
        # Unbuffered: what is written is with the operating system at once.
        self._file = self._path(segment).open("ab", buffering=0)
        self._file.seek(0, os.SEEK_END)
        self._segment = segment
        self._numbers.add(segment)
        _sync(self._file)
        self._sync_folder()  # the number of the newest segment must never be lost, or it would be given twice

    def _whole_records(self, path: Path) -> tuple[bytes, ...]:
        data = path.read_bytes()
        records: list[bytes] = []
        place = 0
        while place + _RECORD.size <= len(data):
            size, checksum = _RECORD.unpack_from(data, place)
            begin = place + _RECORD.size
            record = data[begin : begin + size]
            if len(record) != size or zlib.crc32(record) != checksum:
                break
            records.append(record)
            place = begin + size
        if place < len(data):
            self.torn_bytes += len(data) - place
            with path.open("r+b") as file:
                file.truncate(place)
                _sync(file)
        return tuple(records)

    def _path(self, segment: int) -> Path:
        return self._folder / f"segment-{segment:08d}.steps"

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _unwritable(self, error: OSError) -> CheckpointError:
        return CheckpointError(f"{self._folder}: cannot be written: {error.strerror or error}; make room")


def _sync(file: IO[bytes] | IO[str]) -> None:
    file.flush()
    os.fsync(file.fileno())
