"""A folder of episodes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutelage_core.episodes.manifest import (
    ABORT_FILE,
    EPISODE_FILE,
    MANIFEST_FILE,
    PARTIAL_SUFFIX,
    Manifest,
    check_name,
    read_manifest,
)
from tutelage_core.episodes.messages import EXECUTED_TOPIC
from tutelage_core.episodes.reader import Episode, read_episode
from tutelage_core.errors import EpisodeError, UnknownNameError


@dataclass(frozen=True)
class PartialEpisode:
    """An episode that was not finished; it is reported and never read.

    Attributes:
        name: its name.
        folder: where its remains are.
        reason: why it was aborted, or that nobody said so.
    """

    name: str
    folder: Path
    reason: str


@dataclass(frozen=True)
class StoreTotals:
    """What a store holds: finished and unfinished episodes, control periods, successes, size of the recordings."""

    episodes: int
    partial: int
    steps: int
    successes: int
    bytes: int


class EpisodeStore:
    """The finished episodes under one folder, in the order of their names.

    Each folder with a recording or a manifest counts as an episode; a damaged one is an error when it is read and is
    never skipped. A root that does not exist yet is an empty store.
    """

    def __init__(self, root: Path) -> None:
        """Look at the episodes under `root`."""
        self.root = root

    def names(self) -> tuple[str, ...]:
        """Return the names of the finished episodes."""
        return tuple(
            folder.name
            for folder in self._folders()
            if not folder.name.endswith(PARTIAL_SUFFIX)
            and any((folder / file).exists() for file in (MANIFEST_FILE, EPISODE_FILE))
        )

    def partial(self) -> tuple[PartialEpisode, ...]:
        """Return the episodes that were aborted, are being written, or whose writer died."""
        return tuple(
            PartialEpisode(folder.name.removesuffix(PARTIAL_SUFFIX), folder, _reason(folder))
            for folder in self._folders()
            if folder.name.endswith(PARTIAL_SUFFIX)
        )

    def manifest(self, name: str) -> Manifest:
        """Return what is known of an episode without opening its recording."""
        return read_manifest(self._folder(name))

    def read(self, name: str, cameras: tuple[str, ...] | None = None) -> Episode:
        """Read one episode.

        Raises:
            UnknownNameError: there is no finished episode of this name, or it has no such camera.
            EpisodeError: it is damaged.
        """
        return read_episode(self._folder(name), cameras)

    def totals(self) -> StoreTotals:
        """Count what the store holds, from the manifests alone."""
        manifests = [self.manifest(name) for name in self.names()]
        return StoreTotals(
            episodes=len(manifests),
            partial=len(self.partial()),
            steps=sum(m.messages.get(EXECUTED_TOPIC, 0) for m in manifests),
            successes=sum(m.result.success for m in manifests),
            bytes=sum(file.bytes for m in manifests for file in m.files.values()),
        )

    def next_name(self, prefix: str) -> str:
        """Return the next free name `<prefix>-<number>`, one after the highest that any episode, even partial, has."""
        check_name(f"{prefix}-000000")
        pattern = re.compile(re.escape(prefix) + r"-(\d+)")
        taken = (pattern.fullmatch(folder.name.removesuffix(PARTIAL_SUFFIX)) for folder in self._folders())
        highest = max((int(match[1]) for match in taken if match), default=-1)
        return f"{prefix}-{highest + 1:06d}"

    def __len__(self) -> int:
        """Return the number of finished episodes."""
        return len(self.names())

    def __iter__(self) -> Iterator[Episode]:
        """Read the finished episodes one after the other."""
        for name in self.names():
            yield self.read(name)

    def _folders(self) -> list[Path]:
        if not self.root.is_dir():
            return []
        return sorted(p for p in self.root.iterdir() if not p.name.startswith(".") and p.is_dir())

    def _folder(self, name: str) -> Path:
        folder = self.root / name
        if Path(name).name == name and any((folder / file).exists() for file in (MANIFEST_FILE, EPISODE_FILE)):
            return folder
        if (self.root / (name + PARTIAL_SUFFIX)).is_dir():
            raise EpisodeError(
                f"{self.root / (name + PARTIAL_SUFFIX)}: this episode was never finished; tutelage data repair mends it"
            )
        raise UnknownNameError("episode", name, self.names(), str(self.root))


def _reason(folder: Path) -> str:
    path = folder / ABORT_FILE
    if not path.is_file():
        return "still being written, or its writer died"
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
    except (ValueError, KeyError, TypeError) as error:
        return f"aborted, but {ABORT_FILE} is not readable: {error}"
