"""A LeRobotDataset v3 on the disk, ours or another's: what it says of itself, and the rows and images of an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tutelage_core.episodes.lerobot import features, layout, paths, tables
from tutelage_core.episodes.lerobot.info import read_info, read_json
from tutelage_core.episodes.lerobot.origin import Origin, read_origins
from tutelage_core.episodes.lerobot.row_checks import check_rows
from tutelage_core.episodes.lerobot.stored import StoredEpisode, read_episodes, read_tasks
from tutelage_core.episodes.lerobot.stored_image import decode_image
from tutelage_core.episodes.lerobot.video import read_video
from tutelage_core.errors import EpisodeError
from tutelage_core.types import ImageArray

READ = (
    layout.ACTION,
    layout.STATE,
    layout.SOURCE,
    layout.REWARD,
    layout.REWARD_GIVEN,
    layout.LANGUAGE,
    "next.success",
    "frame_index",
)
"""Columns that an import looks at."""


@dataclass(frozen=True)
class Dataset:
    """A data set that was opened.

    Attributes:
        root: its folder.
        version: its codebase version.
        robot_type: what it says of the robot; empty if nothing.
        fps: frames a second.
        features: its features by name.
        episodes: where its episodes lie, in their order.
        origins: what makes the episodes again, in the same order; empty for a data set that is not ours.
    """

    root: Path
    version: str
    robot_type: str
    fps: float
    features: Mapping[str, features.Feature]
    episodes: tuple[StoredEpisode, ...]
    origins: tuple[Origin, ...] = ()

    def rows(self, episode: StoredEpisode) -> Mapping[str, Any]:
        """Return the columns of `READ` of an episode by feature: numbers of shape (T, size), phrases as a list.

        Raises:
            EpisodeError: the file is damaged, or has not the rows that the episode should have.
        """
        path = paths.file_in(self.root, episode.data_file)
        names = [name for name in READ if name in self.features]
        table = tables.read_table(path, names, episode.index)
        if table.num_rows != episode.length:
            raise EpisodeError(
                f"{path}: episode {episode.index} has {table.num_rows} rows, {layout.EPISODES_FOLDER} says "
                f"{episode.length}"
            )
        found: dict[str, Any] = {}
        for name in names:
            feature = self.features[name]
            if feature["dtype"] in features.NUMBERS:
                found[name] = tables.numbers(path, name, table[name], math.prod(feature["shape"]))
            else:
                found[name] = table[name].to_pylist()
        if found["frame_index"][:, 0].tolist() != list(range(episode.length)):
            raise EpisodeError(f"{path}: episode {episode.index} has rows out of order")
        return found

    def images(self, episode: StoredEpisode, key: str) -> ImageArray:
        """Return the images of a camera's feature, shape (T, height, width, 3), uint8.

        Raises:
            EpisodeError: a video or image is not readable, or has another size than the feature says.
        """
        feature = self.features[key]
        size = image_size(feature)
        if feature["dtype"] == "video":
            file, from_s = episode.videos[key]
            return read_video(paths.file_in(self.root, file), from_s, episode.length, self.fps, size)
        path = paths.file_in(self.root, episode.data_file)
        column = tables.read_table(path, [key], episode.index)[key]
        return np.stack([decode_image(value.as_py(), size, f"{path}: '{key}'") for value in column])


def image_size(feature: features.Feature) -> tuple[int, int]:
    """Return height and width of a camera's feature [px]; colours may be its first or its last axis."""
    shape = [int(size) for size in feature["shape"]]
    return (shape[1], shape[2]) if shape[0] in (1, 3) and shape[2] not in (1, 3) else (shape[0], shape[1])


def open_dataset(root: Path, *, as_foreign: bool = False) -> Dataset:
    """Open the data set in `root`, and see that all of its files are there and that its rows are in order.

    Args:
        root: its folder.
        as_foreign: do not look for our own files, even if there are any.

    Raises:
        EpisodeError: a file is missing, damaged or outside the folder, the layout is of another version, or the parts
            of the data set contradict each other.
    """
    info = read_info(root)
    tasks = read_tasks(root)
    episodes = read_episodes(root, info, tasks)
    for file in sorted({video for episode in episodes for video, _ in episode.videos.values()}):
        paths.file_in(root, file)
    check_rows(root, episodes, info.fps, tasks)
    found = Dataset(root, info.version, info.robot_type, info.fps, info.features, episodes)
    if as_foreign or not (root / layout.ORIGIN_FILE).exists():
        return found
    return replace(found, origins=_origins(root, found))


def _origins(root: Path, dataset: Dataset) -> tuple[Origin, ...]:
    path = paths.file_in(root, layout.ORIGIN_FILE)
    origins = read_origins(path, read_json(path))
    theirs = [episode.length for episode in dataset.episodes]
    ours = [len(origin.stamps_ns) for origin in origins]
    if theirs != ours:
        raise EpisodeError(
            f"{path}: tells of {len(ours)} episodes with {sum(ours)} frames, the data set has {len(theirs)} with "
            f"{sum(theirs)}; it was changed since it was exported: import it as foreign"
        )
    paths.file_in(root, layout.PERIODS_FILE)
    return origins
