"""What people and reward models say of an episode, kept beside its recording: lines are added, none is ever changed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX
from tutelage_core.errors import ConfigurationError, EpisodeError

LABELS_FILE = "labels.jsonl"


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


def add_label(root: Path, episode: str, label: Label) -> Path:
    """Add `label` to the episode of this name under `root`, also while it is recorded; return the file.

    Raises:
        EpisodeError: there is no such episode.
        OSError: the file cannot be written.
    """
    folder = _folder_of(root, episode)
    line = json.dumps(to_mapping(label), allow_nan=False) + "\n"
    path = folder / LABELS_FILE
    with path.open("a+b") as file:
        if file.tell():  # a line that a dying process left unfinished must not swallow this one
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
    return path


def read_labels(root: Path, episode: str) -> tuple[Label, ...]:
    """Return what was said of an episode, the oldest first.

    Raises:
        EpisodeError: there is no such episode, or a line is no legal label; the message names the line.
    """
    file = _folder_of(root, episode) / LABELS_FILE
    if not file.exists():
        return ()
    labels: list[Label] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{file}, line {number}"
        try:
            labels.append(from_mapping(json.loads(line), Label, where))
        except (json.JSONDecodeError, ConfigurationError) as error:
            named = str(error) if str(error).startswith(where) else f"{where}: {error}"
            raise EpisodeError(f"{named}; mend or remove this line") from error
    return tuple(labels)


def _folder_of(root: Path, episode: str) -> Path:
    if Path(episode).name != episode or not episode:
        raise EpisodeError(f"'{episode}' is no episode's name: it must be one folder's")
    for folder in (root / episode, root / (episode + PARTIAL_SUFFIX)):
        if folder.is_dir():
            return folder
    raise EpisodeError(f"{root}: no episode '{episode}' was recorded there")
