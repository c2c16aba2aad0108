"""Pictures with every sentence that is true of them: what a model of images and text learns from.

On disk, a folder of shards: `<number>.npz`, plain arrays without pickle, each written under a hidden name and renamed.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage_core.errors import ConfigurationError

NOTHING = -1
"""Stands in `captions` where a moment has fewer sentences than others."""

_ARRAYS = ("images", "captions", "wishes", "tasks", "progress", "success", "episodes")


@dataclass(frozen=True)
class CaptionedFrames:
    """N moments, each seen by C cameras; their sentences are rows of one list.

    Attributes:
        cameras: names of the cameras.
        kinds: names of the tasks.
        sentences: every sentence once.
        images: RGB, shape (N, C, height, width, 3), uint8.
        captions: rows in `sentences` that are true of the moment, shape (N, K); `NOTHING` fills up.
        wishes: row in `sentences` of what was asked of the robot, shape (N,).
        tasks: row in `kinds`, shape (N,).
        progress: ground truth, 0..1, shape (N,).
        success: ground truth, shape (N,).
        episodes: number that tells the episode, and with it the room, from others of the same task, shape (N,).
    """

    cameras: tuple[str, ...]
    kinds: tuple[str, ...]
    sentences: tuple[str, ...]
    images: NDArray[np.uint8]
    captions: NDArray[np.int32]
    wishes: NDArray[np.int32]
    tasks: NDArray[np.int32]
    progress: NDArray[np.float32]
    success: NDArray[np.bool_]
    episodes: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other.

        Raises:
            ConfigurationError: names the array.
        """
        count = len(self.images)
        if self.images.ndim != 5 or self.images.shape[1] != len(self.cameras) or self.images.shape[4] != 3:
            raise ConfigurationError(
                f"captioned frames: images have shape {self.images.shape}, of cameras {self.cameras}"
            )
        if self.captions.ndim != 2 or len(self.captions) != count:
            raise ConfigurationError(f"captioned frames: captions have shape {self.captions.shape}, {count} moments")
        for name in _ARRAYS[2:]:
            if getattr(self, name).shape != (count,):
                raise ConfigurationError(f"captioned frames: {name} has shape {getattr(self, name).shape}, not {count}")
        for name, rows, names in (
            ("captions", self.captions, self.sentences),
            ("wishes", self.wishes, self.sentences),
            ("tasks", self.tasks, self.kinds),
        ):
            if rows.size and (rows.max() >= len(names) or rows.min() < (NOTHING if name == "captions" else 0)):
                raise ConfigurationError(f"captioned frames: {name} has rows beyond the {len(names)} that there are")

    def __len__(self) -> int:
        """Return the number of moments."""
        return len(self.images)

    def said_of(self, moment: int) -> tuple[str, ...]:
        """Return the sentences that are true of a moment."""
        return tuple(self.sentences[row] for row in self.captions[moment] if row != NOTHING)

    def chosen(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> CaptionedFrames:
        """Return some of the moments; all sentences stay in the list."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})


def write_shard(path: Path, frames: CaptionedFrames) -> None:
    """Write a shard all at once; its folder must exist."""
    names = {"cameras": frames.cameras, "kinds": frames.kinds, "sentences": frames.sentences}
    header = np.frombuffer(json.dumps(names).encode(), dtype=np.uint8)
    fresh = path.with_name(f".{path.name}.new-{os.getpid()}")
    with fresh.open("wb") as file:
        np.savez(file, allow_pickle=False, header=header, **{name: getattr(frames, name) for name in _ARRAYS})
    fresh.rename(path)


def read_shard(path: Path) -> CaptionedFrames:
    """Read a shard.

    Raises:
        ConfigurationError: the file is missing or damaged; it is named.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = json.loads(stored["header"].tobytes())
            arrays = {name: stored[name] for name in _ARRAYS}
        cameras, kinds, sentences = (tuple(names[name]) for name in ("cameras", "kinds", "sentences"))
        return CaptionedFrames(cameras, kinds, sentences, **arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path}: not a shard of captioned frames: {error}") from error


def joined(parts: Sequence[CaptionedFrames]) -> CaptionedFrames:
    """Return frames of the same cameras as one; what several say is in the lists once.

    Raises:
        ConfigurationError: there is none, or their cameras differ.
    """
    if not parts or len({part.cameras for part in parts}) != 1:
        raise ConfigurationError(f"captioned frames: cannot join {[part.cameras for part in parts]}")
    sentences = {text: row for row, text in enumerate(dict.fromkeys(t for part in parts for t in part.sentences))}
    kinds = {name: row for row, name in enumerate(dict.fromkeys(n for part in parts for n in part.kinds))}
    most = max(part.captions.shape[1] for part in parts)
    captions: list[NDArray[np.int32]] = []
    wishes: list[NDArray[np.int32]] = []
    tasks: list[NDArray[np.int32]] = []
    for part in parts:
        new_rows = np.array([sentences[text] for text in part.sentences] + [NOTHING], np.int32)
        padded = np.full((len(part), most), NOTHING, np.int32)
        padded[:, : part.captions.shape[1]] = new_rows[part.captions]  # the last row stands for `NOTHING`, which is -1
        captions.append(padded)
        wishes.append(new_rows[part.wishes])
        tasks.append(np.array([kinds[name] for name in part.kinds], np.int32)[part.tasks])
    rest = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("images", *_ARRAYS[4:])}
    return CaptionedFrames(
        parts[0].cameras,
        tuple(kinds),
        tuple(sentences),
        captions=np.concatenate(captions),
        wishes=np.concatenate(wishes),
        tasks=np.concatenate(tasks),
        **rest,
    )
