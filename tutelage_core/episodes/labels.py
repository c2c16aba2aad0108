"""What people and reward models say of an episode, kept beside its recording: lines are added, none is ever changed."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import BinaryIO

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.manifest import EPISODE_FILE, MANIFEST_FILE, PARTIAL_SUFFIX, check_name, sync_folder
from tutelage_core.errors import ConfigurationError, EpisodeError

LABELS_FILE = "labels.jsonl"

BROKEN_LABELS_FILE = "labels.broken.jsonl"
"""Lines that were found damaged and set aside, byte for byte."""


@dataclass(frozen=True)
class RewardScores:
    """What one reward model gives to an episode.

    Attributes:
        model: name of the reward model.
        values: a number for each control period; None where it gave none.
    """

    model: str
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        """Refuse numbers that are none: a missing one is None."""
        if not self.model:
            raise ConfigurationError("reward scores need the name of their model")
        for period, value in enumerate(self.values):
            if value is not None and not math.isfinite(value):
                raise ConfigurationError(
                    f"rewards of {self.model}: control period {period} has {value}: a missing one is written as None"
                )


@dataclass(frozen=True)
class Label:
    """One judgement: who, when, and what.

    Attributes:
        stamp_ns: when it was given [ns].
        success: whether the task was done; None if the label does not say.
        failure: kind of the failure, empty if none or unknown.
        phrase: what was said, in the person's own words; or what the arm does in `phrase_span_ns`.
        author: who says so: a person's name, or that of a program and its version.
        phrase_span_ns: stamps of the first control period that the phrase is about and of the first one that it is not
            [ns]; None for the whole episode.
        rewards: what a reward model gave; None if the label gives none.
    """

    stamp_ns: int
    success: bool | None = None
    failure: str = ""
    phrase: str = ""
    author: str = ""
    phrase_span_ns: tuple[int, int] | None = None
    rewards: RewardScores | None = None

    def __post_init__(self) -> None:
        """Refuse a label that contradicts itself or says nothing."""
        if self.success and self.failure:
            raise ConfigurationError(f"a success has no failure kind, got {self.failure!r}")
        if self.phrase_span_ns is not None and (not self.phrase or self.phrase_span_ns[0] >= self.phrase_span_ns[1]):
            raise ConfigurationError(
                f"a span needs a phrase and must begin before it ends, got {self.phrase!r} in {self.phrase_span_ns} ns"
            )
        if self.success is None and not self.failure and not self.phrase and self.rewards is None:
            raise ConfigurationError("a label says whether the task was done, or has a failure, a phrase or rewards")


@dataclass(frozen=True)
class Phrase:
    """What the arm does from `from_ns` on, until just before `to_ns` [ns]."""

    text: str
    from_ns: int
    to_ns: int


@dataclass(frozen=True)
class Judgement:
    """All labels of an episode taken together; of two that contradict each other, the later one counts.

    Attributes:
        success: whether the task was done; None if nobody says.
        failure: kind of the failure, empty if none or unknown.
        remarks: phrases about the whole episode, the oldest first.
        phrases: phrases about a part of it, in the order of their beginnings.
        rewards: reward model to its numbers, one for each control period, None where there is none.
    """

    success: bool | None = None
    failure: str = ""
    remarks: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    rewards: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict[str, tuple[float | None, ...]])


def judge(labels: Iterable[Label]) -> Judgement:
    """Return what the labels of an episode, the oldest first, say together."""
    success: bool | None = None
    failure = ""
    remarks: list[str] = []
    phrases: dict[tuple[int, int], Phrase] = {}
    rewards: dict[str, tuple[float | None, ...]] = {}
    for label in labels:
        if label.success is not None:
            success, failure = label.success, label.failure
        elif label.failure:
            success, failure = False, label.failure
        if label.phrase and label.phrase_span_ns is None:
            remarks.append(label.phrase)
        elif label.phrase_span_ns is not None:
            phrases[label.phrase_span_ns] = Phrase(label.phrase, *label.phrase_span_ns)
        if label.rewards is not None:
            rewards[label.rewards.model] = label.rewards.values
    ordered = tuple(sorted(phrases.values(), key=lambda phrase: (phrase.from_ns, phrase.to_ns)))
    return Judgement(success, failure, tuple(remarks), ordered, rewards)


def shortened(label: Label, stamps_kept_mask: Iterable[bool]) -> Label:
    """Return `label` for an episode of which only some control periods were kept.

    Args:
        label: of the whole episode.
        stamps_kept_mask: for each control period of the whole episode, in time's order, whether it was kept.

    Raises:
        EpisodeError: the rewards are not one for each control period of the whole episode.
    """
    if label.rewards is None:
        return label
    kept, values = tuple(stamps_kept_mask), label.rewards.values
    if len(kept) != len(values):
        raise EpisodeError(
            f"the rewards of '{label.rewards.model}' are of {len(values)} control periods, and the episode's recording "
            f"is of {len(kept)}; let the model judge it again"
        )
    return replace(label, rewards=replace(label.rewards, values=tuple(compress(values, kept))))


def add_label(root: Path, episode: str, label: Label) -> Path:
    """Add `label` to the episode of this name under `root`, also while it is recorded; return the file.

    Raises:
        EpisodeError: there is no such episode.
        OSError: the file cannot be written.
    """
    path = _folder_of(root, episode) / LABELS_FILE
    line = _line(label)
    with _held(path) as file:
        if file.seek(0, os.SEEK_END):  # a line that a dying process left unfinished must not swallow this one
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)
    return path


def read_labels(root: Path, episode: str) -> tuple[Label, ...]:
    """Return what was said of an episode, the oldest first.

    Raises:
        EpisodeError: there is no such episode, or a line is no legal label; the message names the line.
    """
    file = _folder_of(root, episode) / LABELS_FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise EpisodeError(f"{file}: cannot be read: {error}") from error
    return tuple(_label(line, f"{file}, line {number}") for number, line in _lines(data))


def set_aside_broken_lines(folder: Path) -> int:
    """Move the lines that are no legal labels to `labels.broken.jsonl` in the episode's folder; return how many.

    A label that is added meanwhile is kept. Whenever this is cut off, each line is in one of the two files, or in both;
    the next call sorts that out.

    Raises:
        OSError: the disk does not take it.
    """
    path, aside = folder / LABELS_FILE, folder / BROKEN_LABELS_FILE
    if not path.exists():
        return 0
    with _held(path) as file:
        file.seek(0)
        lines = [line for _, line in _lines(file.read())]
        broken = [line for line in lines if not _is_legal(line)]
        if not broken:
            return 0
        known = [line for _, line in _lines(aside.read_bytes())] if aside.exists() else []
        _put(aside, [*known, *(line for line in broken if line not in known)])
        _put(path, [line for line in lines if _is_legal(line)])
    return len(broken)


def _line(label: Label) -> str:
    return json.dumps(to_mapping(label), allow_nan=False) + "\n"


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not empty, with their numbers."""
    return ((number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip())


def _label(line: bytes, where: str) -> Label:
    try:
        return from_mapping(json.loads(line.decode()), Label, where)
    except (ValueError, OverflowError, RecursionError, ConfigurationError) as error:
        named = str(error) if str(error).startswith(where) else f"{where}: {error}"
        raise EpisodeError(f"{named}; 'tutelage data repair' sets broken lines aside") from error


def _is_legal(line: bytes) -> bool:
    try:
        _label(line, "")
    except EpisodeError:
        return False
    return True


@contextmanager
def _held(path: Path) -> Generator[BinaryIO]:
    """Open a file of labels to add to it, held against all others who write; never one that was replaced meanwhile."""
    while True:
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:
                yield file
                return


def _put(path: Path, lines: list[bytes]) -> None:
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.writelines(line + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)


def _folder_of(root: Path, episode: str) -> Path:
    check_name(episode)
    for folder in (root / episode, root / (episode + PARTIAL_SUFFIX)):
        if any((folder / file).is_file() for file in (EPISODE_FILE, MANIFEST_FILE)):
            return folder
    raise EpisodeError(f"{root}: no episode '{episode}' was recorded there")
