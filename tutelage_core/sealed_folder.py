"""Folders that are written all at once and read only as a whole: each file's SHA-256 stands in a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tutelage_core.errors import CheckpointError

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


def write_sealed(folder: Path, files: Mapping[str, bytes], *, kind: str, created_by: str) -> None:
    """Write `files` and their manifest to a hidden sibling folder, sync, and rename it to `folder`.

    A folder of that name is replaced; a crash leaves the old or the new one, or both under hidden names, never a mix.

    Args:
        folder: where the folder shall stand; its parents are made.
        files: file name to content.
        kind: what the folder is, for example `policy checkpoint`.
        created_by: program that wrote it.
    """
    manifest = {
        "schema": SCHEMA_VERSION,
        "kind": kind,
        "created_by": created_by,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
    }
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    stale = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    for leftover in (fresh, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir()
    for name, data in {**files, MANIFEST: json.dumps(manifest, indent=2).encode()}.items():
        with (fresh / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    _sync_folder(fresh)
    if folder.exists():
        folder.rename(stale)
    fresh.rename(folder)
    _sync_folder(folder.parent)
    shutil.rmtree(stale, ignore_errors=True)


def read_sealed(folder: Path, *, kind: str, required: Iterable[str]) -> dict[str, bytes]:
    """Return the content of every file of a sealed folder, after comparing it with the manifest.

    What is returned is what was hashed: nothing is read twice.

    Raises:
        CheckpointError: the folder, its manifest or a file is missing, is of another kind or schema, or differs.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    manifest = parse_json_object(_read(folder / MANIFEST), folder / MANIFEST)
    if manifest.get("schema") != SCHEMA_VERSION:
        raise CheckpointError(
            f"{folder / MANIFEST}: schema {manifest.get('schema')!r}, this program reads {SCHEMA_VERSION}"
        )
    if manifest.get("kind") != kind:
        raise CheckpointError(f"{folder / MANIFEST}: is a {manifest.get('kind')!r}, expected a {kind!r}")
    listed = manifest.get("files")
    if not isinstance(listed, dict):
        raise CheckpointError(f"{folder / MANIFEST}: 'files' is missing or not a mapping")
    for name in required:
        if name not in listed:
            raise CheckpointError(f"{folder / MANIFEST}: does not list '{name}'")
    content: dict[str, bytes] = {}
    for name, entry in listed.items():
        if Path(name).name != name or not isinstance(entry, dict):
            raise CheckpointError(f"{folder / MANIFEST}: illegal entry '{name}'")
        data = _read(folder / name)
        if len(data) != entry.get("bytes"):
            raise CheckpointError(f"{folder / name}: {len(data)} bytes, the manifest says {entry.get('bytes')}")
        digest = hashlib.sha256(data).hexdigest()
        if digest != entry.get("sha256"):
            raise CheckpointError(
                f"{folder / name}: SHA-256 {digest[:12]}..., the manifest says "
                f"{str(entry.get('sha256'))[:12]}...; the file was changed or damaged"
            )
        content[name] = data
    return content


def seal_of(folder: Path) -> str:
    """Return the SHA-256 of a sealed folder's manifest, which stands for all that is in it.

    Raises:
        CheckpointError: there is no manifest.
    """
    return hashlib.sha256(_read(folder / MANIFEST)).hexdigest()


def parse_json_object(data: bytes, path: Path) -> dict[str, Any]:
    """Return the JSON object in `data`; `path` names it in errors.

    Raises:
        CheckpointError: it is not a JSON object.
    """
    try:
        parsed = json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(parsed).__name__}")
    return parsed


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
