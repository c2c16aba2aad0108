"""Parquet files of a data set: columns are looked for by name, and rows are counted before they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tutelage_core.errors import EpisodeError

BATCH_ROWS = 65536


def count_rows(path: Path) -> int:
    """Return how many rows a file says it has.

    Raises:
        EpisodeError: it is not readable.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: not readable: {error}") from error


def check_columns(path: Path, columns: Sequence[str]) -> list[str]:
    """Return the names of all columns of a file.

    Raises:
        EpisodeError: it is not readable, or one of `columns` is missing.
    """
    try:
        names = list(pq.read_schema(path).names)
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: not readable: {error}") from error
    missing = sorted(set(columns) - set(names))
    if missing:
        raise EpisodeError(f"{path}: has no column {', '.join(missing)}")
    return names


def read_table(path: Path, columns: Sequence[str], episode: int | None = None) -> Any:
    """Return columns of a file, of all rows or of those of one episode.

    Raises:
        EpisodeError: the file is not readable, or a column is missing.
    """
    filters = None if episode is None else [("episode_index", "=", episode)]
    check_columns(path, columns)
    try:
        return pq.read_table(path, columns=list(columns), filters=filters, partitioning=cast("Any", None))
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: not readable: {error}") from error


def batches(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """Read columns of a file, some rows at a time.

    Raises:
        EpisodeError: the file is not readable, or a column is missing.
    """
    check_columns(path, columns)
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise EpisodeError(f"{path}: not readable: {error}") from error


def numbers(path: Path, name: str, column: Any, size: int) -> NDArray[Any]:
    """Return a column of numbers as an array, shape (T, size).

    Raises:
        EpisodeError: it has not `size` numbers in each row.
    """
    where = f"{path}: column '{name}' has not {size} numbers in each of {len(column)} rows"
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    is_list = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    value = kind.value_type if is_list else kind
    if not (pa.types.is_integer(value) or pa.types.is_floating(value) or pa.types.is_boolean(value)):
        raise EpisodeError(f"{where}: it is of type {kind}")
    if is_list:
        lengths = cast("Any", pc).list_value_length(array)
        is_whole = cast("Any", pc).all(cast("Any", pc).equal(lengths, size)).as_py()
        if len(array) and (array.null_count or not is_whole):
            raise EpisodeError(f"{where}: it has rows of another length")
        array = array.flatten()
    if array.null_count and not pa.types.is_floating(value):
        raise EpisodeError(f"{where}: {array.null_count} are missing")
    if len(array) != len(column) * size:
        raise EpisodeError(f"{where}: it has {len(array)} in all")
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(len(column), size)
