"""The log of an online learning run: one JSON line for each episode, report of the learner and evaluation.

Lines are added, none is ever changed. A run that goes on from a checkpoint adds a line that says where that was; what
had been written beyond it does not count any more, and is skipped on reading.
"""

from __future__ import annotations

import fcntl
import json
import logging
import math
import os
import typing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tutelage.learning.training_rows import EpisodeRow, EvaluationRow, LearnerRow, Row
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.manifest import sync_folder
from tutelage_core.errors import ConfigurationError, TutelageError

LOG_FILE = "log.jsonl"

_KIND = "kind"
_NOT_JSON = {None: math.nan, "inf": math.inf, "-inf": -math.inf}
"""How numbers are written that JSON does not have."""

_logger = logging.getLogger(__name__)


class TrainingLogError(TutelageError):
    """A training log is missing, damaged, or held by another run."""


@dataclass(frozen=True)
class _Resumption:
    """The run goes on from the checkpoint that was written here."""

    steps: int
    updates: int


_KINDS: dict[str, type[Row | _Resumption]] = {
    "episode": EpisodeRow,
    "learner": LearnerRow,
    "evaluation": EvaluationRow,
    "resume": _Resumption,
}
_NAMES = {cls: name for name, cls in _KINDS.items()}
_FLOATS = {
    cls: frozenset(name for name, hint in typing.get_type_hints(cls).items() if hint is float)
    for cls in _KINDS.values()
}


class TrainingLog:
    """Adds rows to a run's log; one process and one thread may hold it.

    Each row is on its way to the disk when `add` returns, so a process that is killed loses none; the loss of power
    may cost the last ones.
    """

    def __init__(self, folder: Path) -> None:
        """Open `folder/log.jsonl`, or begin it. A last line that a dying process left unfinished is cut away.

        Args:
            folder: the run's folder; it is made.

        Raises:
            TrainingLogError: another process holds the log, or a line is damaged; the message names it.
            OSError: the file cannot be opened.
        """
        self.path = folder / LOG_FILE
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+b", buffering=0)
        try:
            self._claim()
        except BaseException:
            self._file.close()
            raise
        sync_folder(folder)

    def add(self, row: Row) -> None:
        """Add a row: the whole line, or nothing.

        Raises:
            ConfigurationError: it could not be read back: a field is of another type than its class says.
            TrainingLogError: the disk does not take it.
        """
        self._add(row)

    def resume(self, steps: int, updates: int) -> None:
        """Say that the run goes on from a checkpoint; rows from beyond it do not count any more.

        Args:
            steps: control periods of the whole run when the checkpoint was written.
            updates: of the learner.

        Raises:
            TrainingLogError: the disk does not take it.
        """
        self._add(_Resumption(steps, updates))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Wait until all is on the disk, and let go of the log."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _claim(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingLogError(
                f"{self.path}: another run writes to it; stop that one, or choose another folder"
            ) from error
        self._file.seek(0)
        data = self._file.readall()
        whole = data.rfind(b"\n") + 1
        _rows(data[:whole], self.path)
        if whole < len(data):
            _warn_of_torn(self.path, data, "is cut away")
            self._file.truncate(whole)

    def _add(self, row: Row | _Resumption) -> None:
        line = _line(row)
        end = self._file.seek(0, os.SEEK_END)
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except BaseException as error:
            self._file.truncate(end)
            if isinstance(error, OSError):
                raise TrainingLogError(f"{self.path}: a row cannot be written: {error.strerror or error}") from error
            raise


def read_log(path: Path) -> list[Row]:
    """Return the rows that count, in the order of the run. The log may be written meanwhile.

    Rows from beyond a checkpoint that the run went on from are left out. Of two episodes of the same number, and of
    two reports or evaluations after the same number of updates, the newer one counts.

    Raises:
        TrainingLogError: there is no such file, or a line is damaged; the message names it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TrainingLogError(f"{path}: cannot be read: {error.strerror or error}") from error
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        _warn_of_torn(path, data, "is left out")
    counted: dict[tuple[type[Row], int], Row] = {}
    for row in _rows(data[:whole], path):
        if isinstance(row, _Resumption):
            counted = {key: kept for key, kept in counted.items() if _is_within(kept, row)}
        else:
            counted[type(row), row.episode if isinstance(row, EpisodeRow) else row.updates] = row
    return list(counted.values())


def _is_within(row: Row, checkpoint: _Resumption) -> bool:
    learnt = 0 if isinstance(row, EpisodeRow) else row.updates
    return row.steps <= checkpoint.steps and learnt <= checkpoint.updates


def _warn_of_torn(path: Path, data: bytes, what: str) -> None:
    number = data.count(b"\n") + 1
    _logger.warning("%s, line %d: unfinished, the last one; it %s", path, number, what)


def _line(row: Row | _Resumption) -> bytes:
    values = {name: _plain(value) for name, value in to_mapping(row).items()}
    name = _NAMES[type(row)]
    try:
        text = json.dumps({_KIND: name, **values}, allow_nan=False)
    except TypeError as error:
        raise ConfigurationError(f"{name} row: {error}; numbers must be Python's own, got {row}") from error
    _parsed(text.encode(), f"{name} row")
    return text.encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(float(value))
    return value


def _rows(data: bytes, path: Path) -> list[Row | _Resumption]:
    return [_stored(line, f"{path}, line {number}") for number, line in enumerate(data.split(b"\n")[:-1], 1)]


def _stored(line: bytes, where: str) -> Row | _Resumption:
    try:
        return _parsed(line, where)
    except ConfigurationError as error:
        told = str(error) if where in str(error) else f"{where}: {error}"
        raise TrainingLogError(f"{told}; mend or remove that line") from error


def _parsed(line: bytes, where: str) -> Row | _Resumption:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where}: not valid JSON: {error}") from error
    name = values.pop(_KIND, None) if isinstance(values, dict) else None
    if not isinstance(name, str) or name not in _KINDS:
        raise ConfigurationError(f"{where}: expected an object whose '{_KIND}' is one of {', '.join(_KINDS)}")
    cls = _KINDS[name]
    for key in _FLOATS[cls] & values.keys():
        if values[key] is None or isinstance(values[key], str):
            values[key] = _NOT_JSON.get(values[key], values[key])
    return from_mapping(values, cls, where)
