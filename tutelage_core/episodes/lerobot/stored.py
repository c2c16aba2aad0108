"""Where the episodes of a data set lie, and what their instructions are: its tables of episodes and of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tutelage_core.episodes.lerobot import layout, paths, tables
from tutelage_core.episodes.lerobot.info import Info
from tutelage_core.errors import EpisodeError

LONGEST_EPISODE = 10**6
"""Frames of one episode: an import holds it in memory."""

LATEST_S = 1e6
"""Latest beginning of an episode in a video [s]."""

LARGEST_INDEX = 10**9

TASK_INDEX = "task_index"


@dataclass(frozen=True)
class StoredEpisode:
    """Where one episode lies.

    Attributes:
        index: its number in the data set, which is its place among the episodes, too.
        length: its frames.
        first: number of its first frame in the data set.
        tasks: its instructions, the first one first.
        data_file: the file with its rows, below the data set's folder.
        videos: camera feature to the file, and to the time in it at which the episode begins [s].
    """

    index: int
    length: int
    first: int
    tasks: tuple[str, ...]
    data_file: str
    videos: Mapping[str, tuple[str, float]]

    @property
    def task(self) -> str:
        """Its first instruction; empty if it has none."""
        return self.tasks[0] if self.tasks else ""


def read_tasks(root: Path) -> Mapping[int, str]:
    """Return the instructions by their number.

    Raises:
        EpisodeError: the table is missing or damaged, or a number or an instruction is.
    """
    path = paths.file_in(root, layout.TASKS_FILE)
    others = [name for name in tables.check_columns(path, [TASK_INDEX]) if name != TASK_INDEX]
    table = tables.read_table(path, [TASK_INDEX, *others])
    texts = [column for column in (table[name].to_pylist() for name in others) if _are_texts(column)]
    if len(texts) != 1:
        raise EpisodeError(
            f"{path}: has no column of instructions beside {TASK_INDEX}, or several ({', '.join(others) or 'none'})"
        )
    found: dict[int, str] = {}
    for row, task in zip(table.select([TASK_INDEX]).to_pylist(), texts[0], strict=True):
        number = _whole(row, TASK_INDEX, 0, LARGEST_INDEX, path)
        if number in found:
            raise EpisodeError(f"{path}: has {TASK_INDEX} {number} twice")
        found[number] = task
    return found


def read_episodes(root: Path, info: Info, tasks: Mapping[int, str]) -> tuple[StoredEpisode, ...]:
    """Return where the episodes lie, in their order.

    Raises:
        EpisodeError: the table is missing or damaged, or contradicts itself, `info.json` or the tasks.
    """
    folder = root / layout.EPISODES_FOLDER
    files = [paths.file_in(root, str(file.relative_to(root))) for file in sorted(folder.glob("*/*.parquet"))]
    if not files:
        raise EpisodeError(f"{folder}: no such file: a data set needs chunk-000/file-000.parquet")
    number = sum(tables.count_rows(file) for file in files)
    if number != info.episodes:
        raise EpisodeError(f"{folder}: has {number} episodes, in {layout.INFO_FILE} total_episodes is {info.episodes}")
    names = ["episode_index", "tasks", "length", "dataset_from_index", "data/chunk_index", "data/file_index"]
    names += [
        f"videos/{key}/{place}" for key in info.videos for place in ("chunk_index", "file_index", "from_timestamp")
    ]
    known = set(tasks.values())
    found = [_episode(row, info, known, file) for file in files for row in tables.read_table(file, names).to_pylist()]
    found.sort(key=lambda episode: episode.index)
    _check_order(found, folder)
    frames = sum(episode.length for episode in found)
    if frames != info.frames:
        raise EpisodeError(
            f"{folder}: the lengths of its episodes are {frames} frames together, in {layout.INFO_FILE} total_frames "
            f"is {info.frames}"
        )
    return tuple(found)


def _episode(row: Mapping[str, Any], info: Info, known: set[str], path: Path) -> StoredEpisode:
    index = _whole(row, "episode_index", 0, LARGEST_INDEX, path)
    where = f"{path}: episode {index}"
    tasks = row["tasks"]
    if not isinstance(tasks, list | None) or not _are_texts(cast("list[object]", tasks or [])):
        raise EpisodeError(f"{where}: tasks is {tasks!r}, expected a list of instructions")
    texts = cast("list[str]", tasks or [])
    for task in texts:
        if task not in known:
            raise EpisodeError(f"{where}: its task {task[:300]!r} is not in {layout.TASKS_FILE}")
    videos: dict[str, tuple[str, float]] = {}
    for key in info.videos:
        from_s = row[f"videos/{key}/from_timestamp"]
        if not isinstance(from_s, int | float) or not math.isfinite(from_s) or not 0.0 <= from_s <= LATEST_S:
            raise EpisodeError(
                f"{where}: videos/{key}/from_timestamp is {from_s!r}, expected a time from 0 to {LATEST_S:g} s"
            )
        place = _place(row, f"videos/{key}", path)
        videos[key] = (info.video_path.format(video_key=key, **place), float(from_s))
    return StoredEpisode(
        index=index,
        length=_whole(row, "length", 1, LONGEST_EPISODE, path),
        first=_whole(row, "dataset_from_index", 0, info.frames, path),
        tasks=tuple(texts),
        data_file=info.data_path.format(**_place(row, "data", path)),
        videos=videos,
    )


def _place(row: Mapping[str, Any], what: str, path: Path) -> dict[str, int]:
    return {name: _whole(row, f"{what}/{name}", 0, LARGEST_INDEX, path) for name in paths.FIELDS[:2]}


def _check_order(episodes: Sequence[StoredEpisode], folder: Path) -> None:
    first = 0
    for number, episode in enumerate(episodes):
        if episode.index != number:
            some = ", ".join(str(episode.index) for episode in episodes[:10]) + (" ..." if len(episodes) > 10 else "")
            raise EpisodeError(
                f"{folder}: its episodes have the numbers {some}, expected each of 0 to {len(episodes) - 1} once"
            )
        if episode.first != first:
            raise EpisodeError(
                f"{folder}: episode {number}: dataset_from_index is {episode.first}, the episodes before it have "
                f"{first} frames"
            )
        first += episode.length


def _whole(row: Mapping[str, Any], name: str, low: int, high: int, path: Path) -> int:
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise EpisodeError(f"{path}: {name} is {value!r}, expected a whole number from {low} to {high}")
    return value


def _are_texts(values: Sequence[object]) -> bool:
    return all(isinstance(value, str) for value in values)
