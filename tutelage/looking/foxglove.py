"""The layout in which Foxglove shows our recordings and the running graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from tutelage_core.errors import ConfigurationError

LAYOUT_FILE = "foxglove_layout.json"

_PATH_KEYS = ("value", "topicPath", "imageTopic", "topicToRender")
"""Where a panel's settings name a topic, or a topic and what to take of its messages."""


def layout_text() -> str:
    """Return the layout as Foxglove imports it."""
    return files("tutelage.looking").joinpath(LAYOUT_FILE).read_text(encoding="utf-8")


def message_paths() -> tuple[str, ...]:
    """Return all that the layout's panels show, such as `/arm/executed.executed[0]` or `/diagnostics`."""
    return tuple(dict.fromkeys(_paths(json.loads(layout_text())["configById"])))


def write_layout(folder: Path) -> Path:
    """Write the layout beside the recordings in `folder`; return the file. One that is the same is left alone.

    Raises:
        ConfigurationError: there is no such folder, or it holds a file of this name with other content.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; name the one with the recordings")
    path = folder / LAYOUT_FILE
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(layout_text())
    except FileExistsError as error:
        if path.read_bytes() != layout_text().encode():
            raise ConfigurationError(f"{path}: is another layout, and none is overwritten; move it away") from error
    return path


def _paths(settings: Any) -> Iterator[str]:
    if isinstance(settings, list):
        for item in settings:
            yield from _paths(item)
    elif isinstance(settings, dict):
        for key, item in settings.items():
            if key in _PATH_KEYS and isinstance(item, str):
                yield item
            elif key == "topics" and isinstance(item, dict):
                yield from item
            else:
                yield from _paths(item)
