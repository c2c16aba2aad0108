"""What only this project knows of an exported episode, and the exact numbers: enough to make the episode again.

A data set of LeRobot holds float32 and nothing of expert, gate or labels. Beside it, in files that other readers do not
look at, `meta/tutelage.json` keeps contract, metadata, result, labels and stamps, and `meta/tutelage_periods.parquet` a
row of float64 for each control period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tutelage_core.config import to_mapping
from tutelage_core.contract import STATE_KEYS, RobotContract, state_vectors
from tutelage_core.episodes import messages
from tutelage_core.episodes.labels import Label
from tutelage_core.episodes.manifest import EPISODE_FILE, EpisodeMetadata, read_checked, read_manifest
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.topics import read_topics
from tutelage_core.errors import EpisodeError
from tutelage_core.types import EpisodeResult, FloatArray

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Origin:
    """Where an episode of a data set comes from.

    Attributes:
        name: its name in the store.
        metadata: what was known at the start.
        result: how it ended.
        labels: all that was said of it, the oldest first.
        stamps_ns: stamps of its control periods, shape (T,) [ns].
    """

    name: str
    metadata: EpisodeMetadata
    result: EpisodeResult
    labels: tuple[Label, ...]
    stamps_ns: tuple[int, ...]


@dataclass(frozen=True)
class OriginFile:
    """The content of `meta/tutelage.json`.

    Attributes:
        format_version: version of this file and of the periods beside it.
        contracts: each contract once.
        episodes: the episodes in the order of the data set; `contract` is a place in `contracts`.
    """

    format_version: int
    contracts: tuple[RobotContract, ...]
    episodes: tuple[Mapping[str, Any], ...]


def to_file(origins: Sequence[Origin]) -> OriginFile:
    """Return the origins as they are stored."""
    contracts: list[RobotContract] = []
    episodes: list[Mapping[str, Any]] = []
    for origin in origins:
        contract = origin.metadata.contract
        if contract not in contracts:
            contracts.append(contract)
        plain = to_mapping(origin)
        del plain["metadata"]["contract"]
        episodes.append({**plain, "contract": contracts.index(contract)})
    return OriginFile(FORMAT_VERSION, tuple(contracts), tuple(episodes))


def to_plain_origin(stored: Mapping[str, Any], contracts: Sequence[RobotContract]) -> dict[str, Any]:
    """Return a stored episode with its contract put back, as plain data of an `Origin`."""
    plain = dict(stored)
    contract = contracts[int(plain.pop("contract"))]
    return {**plain, "metadata": {**plain["metadata"], "contract": to_mapping(contract)}}


def periods_table(episode: Episode, folder: Path) -> Any:
    """Return the exact numbers of an episode, a row for each control period.

    Args:
        episode: the episode.
        folder: where it lies; the TCP's quaternion is not part of an `Episode` and is read again.

    Raises:
        EpisodeError: the recording does not hold the state that was read of it.
    """
    columns: dict[str, pa.Array] = {
        "executed": _vectors(episode.executed),
        "requested": _vectors(episode.requested),
        "expert": _vectors(episode.expert),
        "tcp_quaternion_xyzw": _vectors(_quaternions(episode, folder)),
        **{key: _vectors(episode.state[key]) for key in STATE_KEYS},
        "source": pa.array(episode.sources, pa.int8()),
        "reasons": pa.array([list(reasons) for reasons in episode.reasons], pa.list_(pa.string())),
        "phrase": pa.array(episode.phrases, pa.string()),
        "success": pa.array(episode.success, pa.bool_()),
        "progress": pa.array(episode.progress, pa.float64()),
    }
    return pa.table(columns)


def rows_of(table: Any) -> Mapping[str, Any]:
    """Return the columns of `periods_table` by name: arrays of numbers, lists of the rest."""
    found: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            found[name] = np.asarray(column.flatten()).reshape(len(column), -1)
        elif pa.types.is_primitive(column.type):
            found[name] = column.to_numpy(zero_copy_only=False)
        else:
            found[name] = column.to_pylist()
    return found


def _vectors(values: FloatArray) -> Any:
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float64).reshape(-1), pa.float64())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _quaternions(episode: Episode, folder: Path) -> FloatArray:
    path = folder / EPISODE_FILE
    topics, _ = read_topics(path, read_checked(folder, read_manifest(folder), EPISODE_FILE), cameras=())
    keys = tuple(STATE_KEYS)
    by_value: dict[bytes, FloatArray] = {}
    for message in topics[messages.ARM_STATE_TOPIC].messages:
        state = messages.to_state(message)
        vectors = state_vectors(state, keys)
        by_value[np.concatenate([vectors[key] for key in keys]).tobytes()] = state.T_base_tcp.quaternion_xyzw
    rows = np.concatenate([episode.state[key] for key in keys], axis=1)
    found = [by_value.get(row.tobytes()) for row in rows]
    if any(quaternion is None for quaternion in found):
        raise EpisodeError(f"{path}: the arm state of a control period is not in the recording; it changed while read")
    return np.stack([quaternion for quaternion in found if quaternion is not None])
