"""What `meta/info.json` says of a data set, checked: nothing else of it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tutelage_core.episodes.lerobot import features, layout, paths
from tutelage_core.errors import EpisodeError

MOST_EPISODES = 10**7
MOST_FRAMES = 10**10
HIGHEST_RATE_HZ = 1000.0
LARGEST_SIDE = 16384
"""Of an image [px]."""

LARGEST_VECTOR = 10**6

ONE_NUMBER = (
    *features.INDEX_COLUMNS,
    "timestamp",
    "next.success",
    layout.SOURCE,
    layout.REWARD,
    layout.REWARD_GIVEN,
)
"""Features that are one number in each row, where there are any."""

NEEDED = ("episode_index", "frame_index", "index", "task_index", "timestamp")
"""Features that every data set of v3 has."""


@dataclass(frozen=True)
class Info:
    """The content of `info.json`, as far as it is read.

    Attributes:
        version: codebase version.
        robot_type: what it says of the robot; empty if nothing.
        fps: frames a second.
        episodes: how many there are.
        frames: how many all of them have.
        features: the features by name.
        data_path: pattern of the data files.
        video_path: pattern of the videos; empty if there are none.
    """

    version: str
    robot_type: str
    fps: float
    episodes: int
    frames: int
    features: Mapping[str, features.Feature]
    data_path: str
    video_path: str

    @property
    def videos(self) -> tuple[str, ...]:
        """Features that lie in videos."""
        return tuple(key for key, feature in self.features.items() if feature["dtype"] == "video")


def read_info(root: Path) -> Info:
    """Return what `info.json` of the data set in `root` says.

    Raises:
        EpisodeError: it is missing or damaged, is of another version, or says what no data set can be.
    """
    path = paths.file_in(root, layout.INFO_FILE)
    info = read_json(path)
    version = info.get("codebase_version")
    if not isinstance(version, str) or version not in layout.READABLE_VERSIONS:
        raise EpisodeError(
            f"{path}: codebase_version is {version!r}, this program reads "
            f"{', '.join(layout.READABLE_VERSIONS)}; LeRobot converts older data sets"
        )
    fps = info.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0.0 < fps <= HIGHEST_RATE_HZ:
        raise EpisodeError(f"{path}: fps is {_short(fps)}, expected a number above 0 and up to {HIGHEST_RATE_HZ:g}")
    table = _features(info.get("features"), path)
    has_video = any(feature["dtype"] == "video" for feature in table.values())
    return Info(
        version=version,
        robot_type=str(info.get("robot_type") or ""),
        fps=float(fps),
        episodes=_count(info, "total_episodes", MOST_EPISODES, path),
        frames=_count(info, "total_frames", MOST_FRAMES, path),
        features=table,
        data_path=paths.check_pattern(info.get("data_path"), "data_path", paths.FIELDS[:2], path),
        video_path=paths.check_pattern(info.get("video_path"), "video_path", paths.FIELDS, path) if has_video else "",
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        EpisodeError: there is none.
    """
    try:
        data: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EpisodeError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(data, dict):
        raise EpisodeError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return cast("dict[str, Any]", data)


def _count(info: Mapping[str, Any], key: str, most: int, path: Path) -> int:
    value = info.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise EpisodeError(f"{path}: {key} is {_short(value)}, expected a whole number from 0 to {most}")
    return value


def _features(table: object, path: Path) -> dict[str, features.Feature]:
    if not isinstance(table, dict):
        raise EpisodeError(f"{path}: features is {_short(table)}, expected an object of features by name")
    found = cast("dict[str, features.Feature]", table)
    for key, feature in found.items():
        _check_feature(key, feature, path)
    missing = [key for key in NEEDED if key not in found]
    if missing:
        raise EpisodeError(f"{path}: has no feature {', '.join(missing)}, which every data set of v3 has")
    return found


def _check_feature(key: str, feature: object, path: Path) -> None:
    where = f"{path}: feature {key[:300]!r}"
    if not isinstance(feature, dict):
        raise EpisodeError(f"{where} is {_short(feature)}, expected an object with dtype, shape and names")
    told = cast("dict[str, Any]", feature)
    dtype, shape, names = told.get("dtype"), told.get("shape"), told.get("names")
    if not isinstance(dtype, str):
        raise EpisodeError(f"{where} has dtype {_short(dtype)}, expected the name of one")
    is_camera = dtype in ("video", "image")
    largest = LARGEST_SIDE if is_camera else LARGEST_VECTOR
    if not isinstance(shape, list) or not all(_is_size(size, largest) for size in cast("list[object]", shape)):
        raise EpisodeError(f"{where} has shape {_short(shape)}, expected a list of whole numbers from 1 to {largest}")
    sizes = cast("list[int]", shape)
    if names is not None and not isinstance(names, list | dict):
        raise EpisodeError(f"{where} has names {_short(names)}, expected a list, an object or null")
    if is_camera:
        paths.check_key(key, path)
        if len(sizes) != 3:
            raise EpisodeError(f"{where} has shape {sizes}, expected height, width and channels")
    if key in (*ONE_NUMBER, layout.ACTION, layout.STATE) and dtype not in features.NUMBERS:
        raise EpisodeError(f"{where} has dtype {dtype!r}; legal: {', '.join(features.NUMBERS)}")
    if key in ONE_NUMBER and sizes not in ([1], []):
        raise EpisodeError(f"{where} has shape {sizes}, expected [1]")
    if key == layout.LANGUAGE and dtype != "language":
        raise EpisodeError(f"{where} has dtype {dtype!r}, expected 'language'")


def _is_size(size: object, largest: int) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= largest


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number with more digits than Python writes
        return "a number without end"
    return text if len(text) <= 80 else text[:77] + "..."
