"""The files under `meta/`: what the data set is, its episodes, tasks and statistics, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tutelage_core.config import to_mapping
from tutelage_core.episodes import statistics
from tutelage_core.episodes.lerobot import features, layout, video
from tutelage_core.episodes.lerobot.origin import to_file
from tutelage_core.episodes.lerobot.piece import EXACT_FILE, Piece

Features = Mapping[str, features.Feature]
EpisodeRow = dict[str, Any]
"""A row of `meta/episodes`, which grows while the files are written."""

TASK_COLUMN = "__index_level_0__"
"""What pandas calls an index that has no name."""


def write_statistics(
    work: Path,
    pieces: Sequence[Piece],
    rows: Sequence[EpisodeRow],
    numbers: Mapping[str, Sequence[NDArray[Any]]],
    table: Features,
) -> None:
    """Write the statistics of the whole, and add those of each episode to its row.

    Args:
        work: the data set.
        pieces: what it is made of.
        rows: the rows of its episodes.
        numbers: each feature's numbers, episode by episode, shape (T, size).
        table: its features.
    """
    whole: dict[str, statistics.Statistics] = {}
    for key, feature in table.items():
        if key in numbers:
            of_episodes = [statistics.number_statistics(values) for values in numbers[key]]
            whole[key] = statistics.number_statistics(np.concatenate(numbers[key]))
        elif feature["dtype"] in ("video", "image"):
            counts = [np.array(piece.histograms[key], dtype=np.int64) for piece in pieces]
            of_episodes = [
                statistics.image_statistics(count, piece.periods) for count, piece in zip(counts, pieces, strict=True)
            ]
            whole[key] = statistics.image_statistics(np.sum(counts, axis=0), sum(piece.periods for piece in pieces))
        else:
            continue
        for row, found in zip(rows, of_episodes, strict=True):
            row |= {f"stats/{key}/{name}": value for name, value in found.items()}
    _write_json(work / layout.STATS_FILE, whole)


def write_episodes(work: Path, rows: Sequence[EpisodeRow], settings: layout.ExportSettings) -> None:
    """Write the rows of the episodes, which must be complete."""
    size = max(1, pa.Table.from_pylist([rows[0]]).nbytes)
    limit = settings.data_file_mb * layout.MB
    for shard in layout.plan_shards([size] * len(rows), limit, settings.files_per_chunk):
        held = rows[shard.first : shard.end]
        for row in held:
            row |= {"meta/episodes/chunk_index": shard.chunk, "meta/episodes/file_index": shard.file}
        path = work / layout.EPISODES_PATH.format(chunk_index=shard.chunk, file_index=shard.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(held)), path, compression="snappy")


def write_info(
    work: Path, pieces: Sequence[Piece], tasks: Mapping[str, int], table: Features, settings: layout.ExportSettings
) -> None:
    """Write `info.json`."""
    described = {key: dict(feature) for key, feature in table.items()}
    for feature in described.values():
        if feature["dtype"] == "video":
            feature["info"] = {
                "video.height": feature["shape"][0],
                "video.width": feature["shape"][1],
                "video.codec": video.CODEC_NAMES[settings.codec],
                "video.pix_fmt": video.PIXEL_FORMAT,
                "video.is_depth_map": False,
                "video.fps": pieces[0].fps,
                "video.channels": 3,
                "has_audio": False,
            }
    has_video = any(feature["dtype"] == "video" for feature in table.values())
    info = {
        "codebase_version": layout.CODEBASE_VERSION,
        "robot_type": pieces[0].origin.metadata.robot,
        "total_episodes": len(pieces),
        "total_frames": sum(piece.periods for piece in pieces),
        "total_tasks": len(tasks),
        "chunks_size": settings.files_per_chunk,
        "data_files_size_in_mb": max(1, round(settings.data_file_mb)),
        "video_files_size_in_mb": max(1, round(settings.video_file_mb)),
        "fps": pieces[0].fps,
        "splits": {"train": f"0:{len(pieces)}"},
        "data_path": layout.DATA_PATH,
        "video_path": layout.VIDEO_PATH if has_video else None,
        "features": described,
    }
    _write_json(work / layout.INFO_FILE, info)


def write_tasks(work: Path, tasks: Mapping[str, int]) -> None:
    """Write the instructions as pandas would: LeRobot looks them up in the index of a data frame."""
    column = {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    index = {"name": None, "field_name": TASK_COLUMN, "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": [TASK_COLUMN],
        "column_indexes": [],
        "columns": [{**column, "metadata": None}, {**index, "metadata": None}],
    }
    table = pa.table({"task_index": pa.array(tasks.values(), pa.int64()), TASK_COLUMN: pa.array(tasks, pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), work / layout.TASKS_FILE)


def write_origin(work: Path, pieces: Sequence[Piece], folders: Sequence[Path]) -> None:
    """Write what makes the episodes again, from the pieces in `folders`."""
    plain = to_mapping(to_file([piece.origin for piece in pieces]))
    (work / layout.ORIGIN_FILE).write_text(json.dumps(plain, allow_nan=False), encoding="utf-8")
    schema = pq.read_schema(folders[0] / EXACT_FILE)
    with pq.ParquetWriter(work / layout.PERIODS_FILE, schema, compression="zstd") as writer:
        for folder in folders:
            writer.write_table(pq.read_table(folder / EXACT_FILE).cast(schema))


def _write_json(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=4, ensure_ascii=False, allow_nan=False), encoding="utf-8")
