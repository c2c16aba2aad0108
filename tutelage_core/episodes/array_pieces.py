"""Arrays on disk: each a plain `.npy` file with a seal beside it, written whole or not at all, read as a memory map.

::

    frames.npy        the array, as `numpy.load` reads it
    frames.npy.seal   layout version, size and SHA-256 of that file

Both are written under temporary names, synced and renamed, the seal last. There is no pickle in any of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tutelage_core.episodes.manifest import stored_file, sync_folder
from tutelage_core.errors import EpisodeError

PIECE_VERSION = 1
"""To be raised when what is in a piece changes; pieces of another version are made again."""

SEAL_SUFFIX = ".seal"


def write_piece(path: Path, array: NDArray[Any]) -> None:
    """Write `array` to the piece at `path`; one that is there is replaced, and who has it mapped keeps the old one.

    Raises:
        OSError: the disk is full or not writable; nothing but what was there before is left.
        ValueError: the array holds Python objects.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = _fresh(path)
    seal, fresh_seal = _seal(path), _fresh(_seal(path))
    try:
        with fresh.open("wb") as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        stored = stored_file(fresh)
        with fresh_seal.open("w", encoding="utf-8") as file:
            json.dump({"version": PIECE_VERSION, "bytes": stored.bytes, "sha256": stored.sha256}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        fresh_seal.rename(seal)
        sync_folder(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
        fresh_seal.unlink(missing_ok=True)


def open_piece(path: Path) -> NDArray[Any]:
    """Map the array at `path` into memory, read-only, after a look at its size; its content is not hashed.

    Raises:
        EpisodeError: it is missing, of another version, or not of the size that it was written with.
    """
    fault = fault_of(path, hashed=False)
    if fault is None:
        try:
            mapped = cast("NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))
            return mapped.view(np.ndarray)  # plain views of it cost a tenth of a memmap's
        except (OSError, ValueError) as error:
            fault = f"not readable as an array: {error}"
    raise EpisodeError(f"{path}: {fault}; make it again with 'tutelage data cache'")


def fault_of(path: Path, *, hashed: bool) -> str | None:
    """Return what is wrong with the piece at `path`, None if nothing is; `hashed` reads all of it."""
    try:
        seal = cast("object", json.loads(_seal(path).read_text(encoding="utf-8")))
        size = path.stat().st_size
    except FileNotFoundError:
        return "missing or not finished"
    except (OSError, ValueError) as error:
        return f"its seal is not readable: {error}"
    said = cast("Mapping[str, object]", seal) if isinstance(seal, dict) else {}
    if said.get("version") != PIECE_VERSION:
        return f"of layout version {said.get('version')!r}, this program reads {PIECE_VERSION}"
    if size != said.get("bytes"):
        return f"has {size} bytes, its seal says {said.get('bytes')}; truncated or changed"
    if hashed and (digest := stored_file(path).sha256) != said.get("sha256"):
        return f"wrong checksum {digest[:12]}, its seal says {str(said.get('sha256'))[:12]}"
    return None


def exists(path: Path) -> bool:
    """Return whether any part of the piece at `path` is there, whole or not."""
    return path.exists() or _seal(path).exists()


def _seal(path: Path) -> Path:
    return path.with_name(path.name + SEAL_SUFFIX)


def _fresh(path: Path) -> Path:
    return path.with_name(f".{path.name}.new-{os.getpid()}")
