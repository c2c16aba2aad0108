"""Puts the pieces of an export together: one data set that appears under its name only when it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tutelage_core.contract import RobotContract
from tutelage_core.episodes.lerobot import features, language, layout, meta_files, video
from tutelage_core.episodes.lerobot.meta_files import EpisodeRow, Features
from tutelage_core.episodes.lerobot.piece import (
    DATASET_FOLDER,
    LOCK_FILE,
    PIECES_FOLDER,
    ROWS_FILE,
    Piece,
    partial_folder,
    piece_folder,
    read_piece,
    sync_files,
    video_file,
)
from tutelage_core.episodes.manifest import sync_folder
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError

_NO_NUMBERS = ("video", "image", "language")


@dataclass(frozen=True)
class ExportTotals:
    """What a data set holds: episodes, control periods, tasks, files, their size; and whether it has phrases."""

    episodes: int
    frames: int
    tasks: int
    files: int
    bytes: int
    has_language: bool


def check_output(output: Path) -> None:
    """Refuse to write where something is.

    Raises:
        ConfigurationError: `output` exists, or its partial folder holds what no export has put there.
    """
    if output.exists():
        raise ConfigurationError(f"{output}: exists; nothing is overwritten, choose another folder or move it away")
    partial = partial_folder(output)
    ours = {PIECES_FOLDER, DATASET_FOLDER, LOCK_FILE}
    foreign = sorted(p.name for p in partial.iterdir() if p.name not in ours) if partial.is_dir() else []
    if foreign:
        raise ConfigurationError(f"{partial}: holds {', '.join(foreign[:5])}, which no export made; move it away")


def check_contracts(contracts: Mapping[str, RobotContract]) -> None:
    """Refuse episodes that do not fit into one data set.

    Args:
        contracts: episode to the contract of its robot.

    Raises:
        ContractMismatchError: one differs from the first in robot, rate, action, cameras or state.
    """
    first_name, first = next(iter(contracts.items()))
    for name, contract in contracts.items():
        pairs = [
            ("robot", first.name, contract.name),
            ("control rate [Hz]", first.control_rate_hz, contract.control_rate_hz),
            ("action", first.action, contract.action),
            ("cameras", _camera_sizes(first), _camera_sizes(contract)),
            ("state", features.state_names(first), features.state_names(contract)),
        ]
        differences = [f"{what}: {a} in '{first_name}', {b} in '{name}'" for what, a, b in pairs if a != b]
        if differences:
            raise ContractMismatchError(f"episode '{name}'", f"a data set with episode '{first_name}'", differences)


def assemble(output: Path, names: Sequence[str], settings: layout.ExportSettings) -> ExportTotals:
    """Join the pieces of the episodes `names`, in this order, rename the result to `output`, and remove the pieces.

    Raises:
        ConfigurationError: `output` exists, or no episode has a reward of the model that was asked for.
        ContractMismatchError: the episodes do not fit into one data set.
        EpisodeError: a piece is missing or damaged.
    """
    check_output(output)
    partial = partial_folder(output)
    pieces = [_read(output, name) for name in names]
    if not pieces:
        raise EpisodeError(f"{output}: no episode to export")
    check_contracts({piece.origin.name: piece.origin.metadata.contract for piece in pieces})
    if settings.reward_model and not any(piece.rewards for piece in pieces):
        raise ConfigurationError(
            f"no episode has rewards of model '{settings.reward_model}'; score them, or leave it out"
        )
    work = partial / DATASET_FOLDER
    shutil.rmtree(work, ignore_errors=True)
    has_language = settings.language and any(piece.language for piece in pieces)
    contract = pieces[0].origin.metadata.contract
    table = features.dataset_features(contract, settings, language=has_language)
    tasks = {task: number for number, task in enumerate(dict.fromkeys(piece.task for piece in pieces))}
    folders = [piece_folder(output, name) for name in names]

    rows = _episode_rows(pieces, tasks)
    numbers = _write_data(work, pieces, folders, rows, tasks, table, settings)
    if settings.pictures == "video":
        _write_videos(work, pieces, folders, rows, table, settings)
    meta_files.write_statistics(work, pieces, rows, numbers, table)
    meta_files.write_episodes(work, rows, settings)
    meta_files.write_info(work, pieces, tasks, table, settings)
    meta_files.write_tasks(work, tasks)
    meta_files.write_origin(work, pieces, folders)
    files = [path for path in work.rglob("*") if path.is_file()]
    totals = ExportTotals(
        len(pieces),
        sum(piece.periods for piece in pieces),
        len(tasks),
        len(files),
        sum(path.stat().st_size for path in files),
        has_language,
    )
    sync_files(work)
    check_output(output)
    work.rename(output)
    sync_folder(output.parent)
    shutil.rmtree(partial)
    return totals


def _read(output: Path, name: str) -> Piece:
    piece = read_piece(piece_folder(output, name))
    if piece is None:
        raise EpisodeError(f"{piece_folder(output, name)}: this piece is missing; export the episode first")
    return piece


def _camera_sizes(contract: RobotContract) -> dict[str, tuple[int, int]]:
    return {name: (camera.width, camera.height) for name, camera in contract.cameras.items()}


def _episode_rows(pieces: Sequence[Piece], tasks: Mapping[str, int]) -> list[EpisodeRow]:
    rows: list[EpisodeRow] = []
    first = 0
    for number, piece in enumerate(pieces):
        end = first + piece.periods
        rows.append(
            {
                "episode_index": number,
                "tasks": [piece.task],
                "length": piece.periods,
                "dataset_from_index": first,
                "dataset_to_index": end,
            }
        )
        first = end
    return rows


def _write_data(
    work: Path,
    pieces: Sequence[Piece],
    folders: Sequence[Path],
    rows: Sequence[EpisodeRow],
    tasks: Mapping[str, int],
    table: Features,
    settings: layout.ExportSettings,
) -> dict[str, list[NDArray[Any]]]:
    """Write the data files; return each feature's numbers, episode by episode, for the statistics."""
    schema = pa.schema([(key, kind) for key, f in table.items() if (kind := features.column_type(f)) is not None])
    numbers: dict[str, list[NDArray[Any]]] = {k: [] for k, f in table.items() if f["dtype"] not in _NO_NUMBERS}
    sizes = [piece.bytes[ROWS_FILE] for piece in pieces]
    for shard in layout.plan_shards(sizes, settings.data_file_mb * layout.MB, settings.files_per_chunk):
        path = work / layout.DATA_PATH.format(chunk_index=shard.chunk, file_index=shard.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, schema, compression="snappy") as writer:
            for number in range(shard.first, shard.end):
                piece, row = pieces[number], rows[number]
                row |= {"data/chunk_index": shard.chunk, "data/file_index": shard.file}
                columns = _data_columns(folders[number], piece, row, tasks[piece.task], schema)
                writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
                for key, found in numbers.items():
                    found.append(features.to_numbers(pa.chunked_array([columns[key]]), int(table[key]["shape"][0])))
    return numbers


def _data_columns(folder: Path, piece: Piece, row: EpisodeRow, task: int, schema: Any) -> dict[str, Any]:
    path = folder / ROWS_FILE
    try:
        stored = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: not readable: {error}; remove this piece") from error
    if stored.num_rows != piece.periods:
        raise EpisodeError(f"{path}: {stored.num_rows} rows, {piece.periods} expected; remove this piece")
    columns: dict[str, pa.Array] = {name: stored[name].combine_chunks() for name in stored.column_names}
    periods = piece.periods
    columns["episode_index"] = pa.array(np.full(periods, row["episode_index"]), pa.int64())
    columns["index"] = pa.array(np.arange(row["dataset_from_index"], row["dataset_to_index"]), pa.int64())
    columns["task_index"] = pa.array(np.full(periods, task), pa.int64())
    if layout.LANGUAGE in schema.names:
        records = language.to_records(piece.language, piece.fps)
        columns[layout.LANGUAGE] = pa.array([records] * periods, schema.field(layout.LANGUAGE).type)
    return columns


def _write_videos(
    work: Path,
    pieces: Sequence[Piece],
    folders: Sequence[Path],
    rows: Sequence[EpisodeRow],
    table: Features,
    settings: layout.ExportSettings,
) -> None:
    for key in (key for key, feature in table.items() if feature["dtype"] == "video"):
        sizes = [piece.bytes[key] for piece in pieces]
        for shard in layout.plan_shards(sizes, settings.video_file_mb * layout.MB, settings.files_per_chunk):
            file = layout.VIDEO_PATH.format(video_key=key, chunk_index=shard.chunk, file_index=shard.file)
            (work / file).parent.mkdir(parents=True, exist_ok=True)
            numbers = range(shard.first, shard.end)
            parts = [(folders[number] / video_file(key), pieces[number].periods) for number in numbers]
            video.join_videos(parts, work / file, pieces[0].fps)
            frames = 0
            for number in numbers:
                end = frames + pieces[number].periods
                rows[number].update(
                    {
                        f"videos/{key}/chunk_index": shard.chunk,
                        f"videos/{key}/file_index": shard.file,
                        f"videos/{key}/from_timestamp": frames / pieces[0].fps,
                        f"videos/{key}/to_timestamp": end / pieces[0].fps,
                    }
                )
                frames = end
