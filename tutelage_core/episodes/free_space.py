"""Room on the disk: an episode is not begun, and not gone on with, when there is too little."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MB = 1_000_000


@dataclass(frozen=True)
class FreeSpace:
    """How much room is asked for.

    Attributes:
        to_begin_mb: below this no episode is begun [MB].
        to_go_on_mb: below this the one that is open ends [MB].
        free_bytes: returns what is free in the file system of a folder that exists [bytes].
    """

    to_begin_mb: float = 2000.0
    to_go_on_mb: float = 500.0
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free

    def why_not_begin(self, folder: Path) -> str:
        """Return why no episode may be begun under `folder`, empty if one may."""
        return self._object(folder, self.to_begin_mb, "to begin an episode")

    def why_not_go_on(self, folder: Path) -> str:
        """Return why the open episode must end, empty if it need not."""
        return self._object(folder, self.to_go_on_mb, "to go on with it")

    def _object(self, folder: Path, needed_mb: float, purpose: str) -> str:
        existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free_mb = self.free_bytes(existing) / MB
        if free_mb >= needed_mb:
            return ""
        return f"{folder}: {free_mb:.0f} MB are free, {needed_mb:.0f} MB are needed {purpose}: make room on this disk"
