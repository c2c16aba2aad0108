"""Paths that a data set names: they are filled in, and lead to files within its folder only."""

from __future__ import annotations

import re
import string
from pathlib import Path

from tutelage_core.errors import EpisodeError

FIELDS = ("chunk_index", "file_index", "video_key")
LONGEST = 1024
"""Characters of a pattern."""

_WIDTH = re.compile(r"(0[1-9]d)?")


def check_pattern(pattern: object, name: str, fields: tuple[str, ...], where: Path) -> str:
    """Return the pattern if it is one.

    Args:
        pattern: such as `data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet`.
        name: its key in the file.
        fields: what it may name, of `FIELDS`.
        where: the file that it stands in.

    Raises:
        EpisodeError: it is no text, too long, or names anything else.
    """
    if not isinstance(pattern, str):
        raise EpisodeError(f"{where}: {name} is {pattern!r}, expected a text with {_legal(fields)}")
    if len(pattern) > LONGEST:
        raise EpisodeError(f"{where}: {name} has {len(pattern)} characters, at most {LONGEST} are read")
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise EpisodeError(f"{where}: {name} is {pattern!r}: {error}; legal fields: {_legal(fields)}") from error
    for _, field, width, conversion in parts:
        if field is None:
            continue
        number = field in fields and field != "video_key" and _WIDTH.fullmatch(width or "")
        text = field in fields and field == "video_key" and not width
        if conversion or not (number or text):
            raise EpisodeError(f"{where}: {name} is {pattern!r}; legal fields: {_legal(fields)}")
    return pattern


def check_key(key: str, where: Path) -> None:
    """Refuse a camera's feature whose name is no part of a path.

    Raises:
        EpisodeError: it could leave its folder, or holds characters that cannot be shown.
    """
    if not key.isprintable() or "/" in key or "\\" in key or key in ("", ".", "..") or len(key) > 200:
        raise EpisodeError(
            f"{where}: feature {key[:300]!r} cannot be part of a path; legal: 1 to 200 printable characters without "
            "'/' and '\\'"
        )


def file_in(root: Path, file: str) -> Path:
    """Return the absolute path of a file of the data set in `root`.

    Raises:
        EpisodeError: there is none, it is no file, or it lies elsewhere.
    """
    path = Path(file)
    if path.is_absolute() or ".." in path.parts or not file.isprintable():
        raise EpisodeError(f"{root}: names the file {file!r}; a file of a data set must lie in its folder")
    whole = root.absolute() / path
    try:
        if not whole.resolve().is_relative_to(root.resolve()):
            raise EpisodeError(
                f"{whole}: is a link that leads out of {root}, to {whole.resolve()}; to import from a cache of links, "
                "copy it with cp -rL"
            )
        if not whole.is_file():
            raise EpisodeError(f"{whole}: {'is a folder, not a file' if whole.is_dir() else 'no such file'}")
    except (OSError, RuntimeError, ValueError) as error:
        raise EpisodeError(f"{whole}: not readable: {error}") from error
    return whole


def _legal(fields: tuple[str, ...]) -> str:
    return ", ".join(f"{{{field}}}" if field == "video_key" else f"{{{field}}} or {{{field}:03d}}" for field in fields)
