"""What an episode's folder says about itself: `manifest.json`."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import RobotContract
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import EpisodeResult

EPISODE_FILE = "episode.mcap"
MANIFEST_FILE = "manifest.json"
ABORT_FILE = "abort.json"
PARTIAL_SUFFIX = ".partial"
FORMAT_VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class EpisodeMetadata:
    """What is known when an episode starts.

    Attributes:
        contract: contract of the robot that it is recorded on.
        task: name of the task.
        instruction: the task as a sentence, in the words that a policy reads.
        seed: seed of the episode.
        start_stamp_ns: time of the start on the caller's clock [ns].
        policy: kind of policy that drives, or `expert`, or empty.
        policy_sha256: hash of its checkpoint, empty if it has none.
        versions: name to version of all that made the episode.
        room: room of the twin such as `test:12`, empty on a robot.
    """

    contract: RobotContract
    task: str
    instruction: str
    seed: int
    start_stamp_ns: int
    policy: str = ""
    policy_sha256: str = ""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    room: str = ""

    @property
    def robot(self) -> str:
        """Name of the robot."""
        return self.contract.name


@dataclass(frozen=True)
class StoredFile:
    """One file of an episode: its size [bytes] and the SHA-256 of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """All that is known of a finished episode without opening its recording.

    Attributes:
        format_version: version of this layout.
        robot: name of the robot, as in the contract.
        metadata: what was known at the start.
        result: how it ended.
        messages: topic to number of messages.
        files: file name to size and hash.
    """

    format_version: int
    robot: str
    metadata: EpisodeMetadata
    result: EpisodeResult
    messages: Mapping[str, int]
    files: Mapping[str, StoredFile]


def check_name(name: str) -> str:
    """Return `name` if an episode may be called so.

    Raises:
        EpisodeError: it could leave its folder, be hidden, or be taken for a partial episode.
    """
    if not _NAME.fullmatch(name) or name.endswith(PARTIAL_SUFFIX):
        raise EpisodeError(
            f"episode name {name!r} is not legal: 1 to 128 of the characters A-Z a-z 0-9 . _ -, the "
            f"first a letter or digit, not ending in '{PARTIAL_SUFFIX}'"
        )
    return name


def to_json(data: object, what: str) -> str:
    """Return a dataclass or plain data as JSON text.

    Raises:
        EpisodeError: `what` holds something that JSON cannot, such as NaN.
    """
    try:
        return json.dumps(to_mapping(data), indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise EpisodeError(f"{what} cannot be stored as JSON: {error}") from error


def write_synced(path: Path, text: str) -> None:
    """Write `text` to a new file and sync it to the disk."""
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries (names, renames) to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stored_file(path: Path) -> StoredFile:
    """Return size and hash of the file at `path`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return StoredFile(bytes=path.stat().st_size, sha256=digest)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the finished episode in `folder`.

    Raises:
        EpisodeError: there is none, the episode is unfinished, or the manifest is not one of ours.
    """
    if folder.name.endswith(PARTIAL_SUFFIX):
        raise EpisodeError(f"{folder}: this episode was never finished")
    return manifest_in(folder)


def manifest_in(folder: Path) -> Manifest:
    """Read the manifest in `folder`, whatever that is called.

    Raises:
        EpisodeError: there is none, or it is not one of ours.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise EpisodeError(f"{path}: no such file; this folder holds no finished episode")
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EpisodeError(f"{path}: not readable as JSON: {error}") from error
    version: object = cast("dict[str, object]", data).get("format_version") if isinstance(data, dict) else None
    if version != FORMAT_VERSION:
        raise EpisodeError(f"{path}: format_version is {version!r}, this program reads {FORMAT_VERSION}")
    try:
        return from_mapping(cast("object", data), Manifest, str(path))
    except ConfigurationError as error:
        raise EpisodeError(f"not a manifest of ours: {error}") from error


def is_as_told(folder: Path, manifest: Manifest, file_name: str) -> bool:
    """Return whether a file of an episode has the size and hash that the manifest tells; it is read piece by piece."""
    expected, path = manifest.files.get(file_name), folder / file_name
    try:
        return expected is not None and path.stat().st_size == expected.bytes and stored_file(path) == expected
    except OSError:
        return False


def read_checked(folder: Path, manifest: Manifest, file_name: str) -> bytes:
    """Return the content of one file of an episode after checking its size and hash.

    Raises:
        EpisodeError: the file is missing, or is not the one that the manifest tells of.
    """
    path = folder / file_name
    expected = manifest.files.get(file_name)
    if expected is None:
        raise EpisodeError(f"{folder / MANIFEST_FILE}: lists no file {file_name}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EpisodeError(f"{path}: cannot be read: {error}") from error
    if len(data) != expected.bytes:
        raise EpisodeError(f"{path}: has {len(data)} bytes, the manifest says {expected.bytes}; truncated or changed")
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected.sha256:
        raise EpisodeError(f"{path}: wrong checksum {digest[:12]}, the manifest says {expected.sha256[:12]}")
    return data
