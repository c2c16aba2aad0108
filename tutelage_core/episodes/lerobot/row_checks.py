"""All rows of a data set, looked at once before anything is made of them: each stands where it says it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage_core.episodes.lerobot import layout, paths, tables
from tutelage_core.episodes.lerobot.stored import StoredEpisode
from tutelage_core.errors import EpisodeError

COLUMNS = ("episode_index", "frame_index", "index", "task_index", "timestamp")


def check_rows(root: Path, episodes: Sequence[StoredEpisode], fps: float, tasks: Mapping[int, str]) -> None:
    """See that each data file holds the rows of its episodes, in their order, and nothing else.

    Args:
        root: the data set.
        episodes: where they lie, in their order.
        fps: frames a second; row i of an episode has the time i / fps, within half a period.
        tasks: the instructions by their number.

    Raises:
        EpisodeError: a file is missing or damaged, or a row is of another place, time or task; file and row are named.
    """
    of_files: dict[str, list[StoredEpisode]] = {}
    for episode in episodes:
        of_files.setdefault(episode.data_file, []).append(episode)
    for file, held in of_files.items():
        path = paths.file_in(root, file)
        rows = tables.count_rows(path)
        expected = sum(episode.length for episode in held)
        if rows != expected:
            raise EpisodeError(f"{path}: has {rows} rows, its episodes have {expected} in {layout.EPISODES_FOLDER}")
        _check_file(path, held, fps, tasks)


def _check_file(path: Path, held: Sequence[StoredEpisode], fps: float, tasks: Mapping[int, str]) -> None:
    number = frame = row = 0  # of the next row: its episode's place in `held`, its place in the episode, in the file
    for batch in tables.batches(path, COLUMNS):
        found = {name: tables.numbers(path, name, batch.column(name), 1)[:, 0] for name in COLUMNS}
        start = 0
        while start < batch.num_rows:
            episode = held[number]
            end = min(batch.num_rows, start + episode.length - frame)
            part = {name: values[start:end] for name, values in found.items()}
            _check_places(path, row + start, part, episode, frame)
            _check_times(path, row + start, part["timestamp"].astype(np.float64), frame, fps)
            _check_tasks(path, row + start, part["task_index"], episode, tasks)
            frame += end - start
            if frame == episode.length:
                number, frame = number + 1, 0
            start = end
        row += batch.num_rows


def _check_places(path: Path, row: int, found: Mapping[str, NDArray[Any]], episode: StoredEpisode, frame: int) -> None:
    frames = np.arange(frame, frame + len(found["index"]))
    right = {
        "episode_index": np.full_like(frames, episode.index),
        "frame_index": frames,
        "index": frames + episode.first,
    }
    for name, values in right.items():
        wrong = np.flatnonzero(found[name] != values)
        if wrong.size:
            place = int(wrong[0])
            raise EpisodeError(
                f"{path}, row {row + place}: {name} is {found[name][place]}, by {layout.EPISODES_FOLDER} it must be "
                f"{values[place]}"
            )


def _check_times(path: Path, row: int, times_s: NDArray[Any], frame: int, fps: float) -> None:
    expected = np.arange(frame, frame + len(times_s)) / fps
    is_right = np.abs(times_s - expected) < 0.5 / fps
    if not is_right.all():
        place = int(np.argmin(is_right))
        raise EpisodeError(
            f"{path}, row {row + place}: timestamp is {times_s[place]:.6g} s, expected {expected[place]:.6g} s within "
            f"half a period: times grow by {1 / fps:.6g} s"
        )


def _check_tasks(path: Path, row: int, found: NDArray[Any], episode: StoredEpisode, tasks: Mapping[int, str]) -> None:
    values, places = np.unique(found, return_index=True)
    for value, place in zip(values.tolist(), places.tolist(), strict=True):
        if value not in tasks:
            raise EpisodeError(f"{path}, row {row + place}: task_index is {value}, which is not in {layout.TASKS_FILE}")
        if tasks[value] not in episode.tasks:
            raise EpisodeError(
                f"{path}, row {row + place}: episode {episode.index} has the task {tasks[value][:300]!r} here, by "
                f"{layout.EPISODES_FOLDER} it has {', '.join(map(repr, episode.tasks))[:300] or 'none'}"
            )
