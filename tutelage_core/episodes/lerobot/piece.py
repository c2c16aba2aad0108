"""A piece: what one episode adds to a data set, in a folder of its own that appears only when it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import pyarrow as pa

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.labels import LABELS_FILE
from tutelage_core.episodes.lerobot.language import LanguageRow
from tutelage_core.episodes.lerobot.layout import ExportSettings
from tutelage_core.episodes.lerobot.origin import Origin
from tutelage_core.episodes.manifest import MANIFEST_FILE, PARTIAL_SUFFIX, sync_folder, to_json, write_synced
from tutelage_core.errors import ConfigurationError, EpisodeError

PIECE_FILE = "piece.json"
ROWS_FILE = "rows.parquet"
EXACT_FILE = "periods.parquet"
PIECES_FOLDER = "pieces"
DATASET_FOLDER = "dataset"
LOCK_FILE = "lock"

PIECE_VERSION = 1
"""Raise it when a piece is made in another way, so that old ones are made again."""


@dataclass(frozen=True)
class Piece:
    """What is known of a piece without opening its files.

    Attributes:
        key: hash of all that it was made from; see `piece_key`.
        periods: its rows.
        fps: control rate [Hz].
        task: the instruction.
        origin: what makes the episode again.
        language: changes of phrase, with its text.
        rewards: whether the reward model that was asked for gave any.
        histograms: camera feature to how often each level occurs in each channel, shape (3, 256).
        bytes: size of `rows.parquet`, and of each camera's video by its feature.
    """

    key: str
    periods: int
    fps: int
    task: str
    origin: Origin
    language: tuple[LanguageRow, ...]
    rewards: bool
    histograms: Mapping[str, tuple[tuple[int, ...], ...]]
    bytes: Mapping[str, int]


def partial_folder(output: Path) -> Path:
    """Return where a data set is put together before it is renamed to `output`."""
    return output.with_name(output.name + PARTIAL_SUFFIX)


def piece_folder(output: Path, name: str) -> Path:
    """Return the folder of the piece of episode `name`."""
    return partial_folder(output) / PIECES_FOLDER / name


def video_file(key: str) -> str:
    """Return the name of the video of a camera's feature within a piece."""
    return f"{key}.mp4"


def piece_key(episode: Path, settings: ExportSettings) -> str:
    """Return a hash of what a piece depends on: the episode's manifest, its labels, settings, and the libraries.

    Args:
        episode: folder of the episode.
        settings: how it is exported; the sizes of files do not matter here.

    Raises:
        EpisodeError: the episode has no manifest.
    """
    parts: dict[str, Any] = dict(to_mapping(settings))
    for name in ("language", "data_file_mb", "video_file_mb", "files_per_chunk"):
        del parts[name]
    parts |= {"piece": PIECE_VERSION, "av": av.__version__, "ffmpeg": av.library_versions, "pyarrow": pa.__version__}
    for name in (MANIFEST_FILE, LABELS_FILE):
        path = episode / name
        if path.is_file():
            parts[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif name == MANIFEST_FILE:
            raise EpisodeError(f"{path}: no such file; this folder holds no finished episode")
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_piece(folder: Path) -> Piece | None:
    """Return the piece in `folder`; None if there is none.

    Raises:
        EpisodeError: its `piece.json` is not readable.
    """
    path = folder / PIECE_FILE
    if not path.is_file():
        return None
    try:
        return from_mapping(cast("object", json.loads(path.read_text(encoding="utf-8"))), Piece, str(path))
    except (ValueError, ConfigurationError) as error:
        raise EpisodeError(f"{path}: not a piece of ours: {error}; remove its folder") from error


def publish_piece(work: Path, folder: Path, piece: Piece) -> None:
    """Write `piece.json` into `work`, sync all, and rename `work` to `folder`; an older piece there is replaced."""
    write_synced(work / PIECE_FILE, to_json(piece, f"the piece of {piece.origin.name}"))
    sync_files(work)
    if folder.exists():
        shutil.rmtree(folder)
    work.rename(folder)
    sync_folder(folder.parent)


def sync_files(folder: Path) -> None:
    """Sync every file below `folder`, and the folders themselves, to the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        else:
            sync_folder(path)
    sync_folder(folder)
