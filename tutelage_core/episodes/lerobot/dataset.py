"""A LeRobotDataset v3 on the disk, ours or another's: what it says of itself, and the rows and images of an episode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tutelage_core.config import from_mapping
from tutelage_core.episodes.lerobot import features, layout
from tutelage_core.episodes.lerobot.origin import FORMAT_VERSION, Origin, OriginFile, to_plain_origin
from tutelage_core.episodes.lerobot.video import read_video
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import ImageArray


@dataclass(frozen=True)
class StoredEpisode:
    """Where one episode lies.

    Attributes:
        index: its number in the data set.
        length: its frames.
        first: number of its first frame in the data set.
        task: its instruction.
        data_file: the file with its rows, below the data set's folder.
        videos: camera feature to the file, and to the time in it at which the episode begins [s].
    """

    index: int
    length: int
    first: int
    task: str
    data_file: str
    videos: Mapping[str, tuple[str, float]]


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
        """Return the columns of an episode by feature: numbers of shape (T, size), other columns as lists.

        Raises:
            EpisodeError: the file is damaged, or has not the rows that the episode should have.
        """
        path = self.root / episode.data_file
        table = _table(path, [("episode_index", "=", episode.index)])
        found: dict[str, Any] = {}
        for name in table.column_names:
            feature = self.features.get(name)
            if feature is None:
                continue
            if feature["dtype"] in features.NUMBERS:
                size = int(np.prod(feature["shape"]))
                found[name] = _numbers(path, table[name], name, size, table.num_rows)
            else:
                found[name] = table[name].to_pylist()
        frames = found["frame_index"][:, 0] if "frame_index" in found else np.empty(0)
        if frames.tolist() != list(range(episode.length)):
            raise EpisodeError(
                f"{path}: episode {episode.index} has {len(frames)} rows or rows out of order, "
                f"{layout.EPISODES_FOLDER} says {episode.length}"
            )
        return found

    def images(self, episode: StoredEpisode, key: str, rows: Mapping[str, Any]) -> ImageArray:
        """Return the images of a camera's feature, shape (T, height, width, 3), uint8.

        Raises:
            EpisodeError: a video or image is not readable, or has another size than the feature says.
        """
        feature = self.features[key]
        if feature["dtype"] == "video":
            file, from_s = episode.videos[key]
            images = read_video(self.root / file, from_s, episode.length, self.fps)
        else:
            images = np.stack([_decoded(self.root / episode.data_file, key, row) for row in rows[key]])
        expected = image_size(feature)
        if images.shape[1:3] != expected:
            raise EpisodeError(
                f"{self.root}: episode {episode.index}: images of '{key}' have {images.shape[1:3]} px (height, width), "
                f"{layout.INFO_FILE} says {expected}"
            )
        return images


def image_size(feature: features.Feature) -> tuple[int, int]:
    """Return height and width of a camera's feature [px]; colours may be its first or its last axis."""
    shape = [int(size) for size in feature["shape"]]
    return (shape[1], shape[2]) if shape[0] in (1, 3) and shape[2] not in (1, 3) else (shape[0], shape[1])


def open_dataset(root: Path, *, as_foreign: bool = False) -> Dataset:
    """Open the data set in `root`, and see that all of its files are there.

    Args:
        root: its folder.
        as_foreign: do not look for our own files, even if there are any.

    Raises:
        EpisodeError: a file is missing or damaged, or the layout is of another version.
    """
    info = read_json(root / layout.INFO_FILE)
    version = info.get("codebase_version")
    if version not in layout.READABLE_VERSIONS:
        raise EpisodeError(
            f"{root / layout.INFO_FILE}: codebase_version is {version!r}, this program reads "
            f"{', '.join(layout.READABLE_VERSIONS)}; LeRobot converts older data sets"
        )
    try:
        episodes = _episodes(root, info)
        table = cast("dict[str, features.Feature]", info["features"])
        found = Dataset(root, version, str(info.get("robot_type") or ""), float(info["fps"]), table, episodes)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise EpisodeError(
            f"{root}: its meta files do not say what v3 needs: {type(error).__name__} {error}"
        ) from error
    for episode in found.episodes:
        for file in (episode.data_file, *(video for video, _ in episode.videos.values())):
            if not (root / file).is_file():
                raise EpisodeError(f"{root / file}: no such file; episode {episode.index} of {root} needs it")
    if as_foreign or not (root / layout.ORIGIN_FILE).exists():
        return found
    return replace(found, origins=_origins(root, found))


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        EpisodeError: there is none.
    """
    try:
        data: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EpisodeError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(data, dict):
        raise EpisodeError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return cast("dict[str, Any]", data)


def _episodes(root: Path, info: Mapping[str, Any]) -> tuple[StoredEpisode, ...]:
    videos = [key for key, feature in info["features"].items() if feature["dtype"] == "video"]
    files = sorted((root / layout.EPISODES_FOLDER).glob("*/*.parquet"))
    if not files:
        raise EpisodeError(
            f"{root / layout.EPISODES_FOLDER}: no such file: a data set needs chunk-000/file-000.parquet"
        )
    places = ("chunk_index", "file_index", "from_timestamp")
    names = ["episode_index", "tasks", "length", "dataset_from_index", "data/chunk_index", "data/file_index"]
    names += [f"videos/{key}/{place}" for key in videos for place in places]
    rows = [row for file in files for row in _table(file, None, names).to_pylist()]
    found: list[StoredEpisode] = []
    for row in sorted(rows, key=lambda row: row["episode_index"]):
        data = info["data_path"].format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])
        of_cameras: dict[str, tuple[str, float]] = {}
        for key in videos:
            chunk, file, from_s = (row[f"videos/{key}/{place}"] for place in places)
            path = info["video_path"].format(video_key=key, chunk_index=chunk, file_index=file)
            of_cameras[key] = (path, float(from_s))
        task = str(row["tasks"][0]) if row["tasks"] else ""
        place = (int(row["episode_index"]), int(row["length"]), int(row["dataset_from_index"]))
        found.append(StoredEpisode(*place, task, data, of_cameras))
    if len(found) != int(info["total_episodes"]):
        raise EpisodeError(
            f"{root}: {layout.EPISODES_FOLDER} has {len(found)} episodes, {layout.INFO_FILE} says "
            f"{info['total_episodes']}"
        )
    return tuple(found)


def _origins(root: Path, dataset: Dataset) -> tuple[Origin, ...]:
    path = root / layout.ORIGIN_FILE
    plain = read_json(path)
    if plain.get("format_version") != FORMAT_VERSION:
        raise EpisodeError(
            f"{path}: format_version is {plain.get('format_version')!r}, this program reads {FORMAT_VERSION}"
        )
    try:
        file = from_mapping(plain, OriginFile, str(path))
        origins = tuple(
            from_mapping(to_plain_origin(stored, file.contracts), Origin, f"{path}: episode {number}")
            for number, stored in enumerate(file.episodes)
        )
    except (ConfigurationError, KeyError, IndexError, TypeError, ValueError) as error:
        raise EpisodeError(f"{path}: not readable: {type(error).__name__} {error}") from error
    theirs = [episode.length for episode in dataset.episodes]
    ours = [len(origin.stamps_ns) for origin in origins]
    if theirs != ours:
        raise EpisodeError(
            f"{path}: tells of {len(ours)} episodes with {sum(ours)} frames, the data set has {len(theirs)} with "
            f"{sum(theirs)}; it was changed since it was exported: import it as foreign"
        )
    if not (root / layout.PERIODS_FILE).is_file():
        raise EpisodeError(f"{root / layout.PERIODS_FILE}: no such file; it belongs to {path}")
    return origins


def _table(path: Path, filters: list[tuple[str, str, int]] | None, columns: list[str] | None = None) -> Any:
    try:
        if columns is not None:
            missing = sorted(set(columns) - set(pq.read_schema(path).names))
            if missing:
                raise EpisodeError(f"{path}: has no column {', '.join(missing)}")
        return pq.read_table(path, columns=columns, filters=filters, partitioning=cast("Any", None))
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: not readable: {error}") from error


def _numbers(path: Path, column: Any, name: str, size: int, rows: int) -> NDArray[Any]:
    try:
        return features.to_numbers(column, size).reshape(rows, size)
    except (ValueError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: column '{name}' has not {size} numbers in each of {rows} rows: {error}") from error


def _decoded(path: Path, key: str, row: Mapping[str, Any] | None) -> ImageArray:
    data = None if row is None else row.get("bytes")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise EpisodeError(
            f"{path}: '{key}' has a row without a readable image in it; images in other files are not read"
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)
