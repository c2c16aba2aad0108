"""What people say of an episode, kept beside its recording: lines are added, none is ever changed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.manifest import PARTIAL_SUFFIX
from tutelage_core.errors import EpisodeError

LABELS_FILE = "labels.jsonl"


@dataclass(frozen=True)
class Label:
    """One person's judgement.

    Attributes:
        stamp_ns: when it was given [ns].
        success: whether the task was done.
        failure: kind of the failure, empty if none or unknown.
        phrase: what was said, in the person's own words.
        author: who says so.
    """

    stamp_ns: int
    success: bool
    failure: str = ""
    phrase: str = ""
    author: str = ""


def add_label(root: Path, episode: str, label: Label) -> Path:
    """Add `label` to the episode of this name under `root`, also while it is recorded; return the file.

    Raises:
        EpisodeError: there is no such episode.
        OSError: the file cannot be written.
    """
    folder = _folder_of(root, episode)
    line = json.dumps(to_mapping(label)) + "\n"
    with (folder / LABELS_FILE).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return folder / LABELS_FILE


def read_labels(root: Path, episode: str) -> tuple[Label, ...]:
    """Return what was said of an episode, the oldest first.

    Raises:
        EpisodeError: there is no such episode, or a line is no label; the message names the line.
    """
    file = _folder_of(root, episode) / LABELS_FILE
    if not file.exists():
        return ()
    labels = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            raise EpisodeError(f"{file}, line {number}: {error}") from error
        labels.append(from_mapping(data, Label, f"{file}, line {number}"))
    return tuple(labels)


def _folder_of(root: Path, episode: str) -> Path:
    if Path(episode).name != episode or not episode:
        raise EpisodeError(f"'{episode}' is no episode's name: it must be one folder's")
    for folder in (root / episode, root / (episode + PARTIAL_SUFFIX)):
        if folder.is_dir():
            return folder
    raise EpisodeError(f"{root}: no episode '{episode}' was recorded there")
