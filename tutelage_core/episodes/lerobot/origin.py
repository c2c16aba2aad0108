"""What only this project knows of an exported episode, and the exact numbers: enough to make the episode again.

A data set of LeRobot holds float32 and nothing of expert, gate or labels. Beside it, in files that other readers do not
look at, `meta/tutelage.json` keeps contract, metadata, result, labels and stamps, and `meta/tutelage_periods.parquet` a
row of float64 for each control period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import STATE_KEYS, RobotContract, state_vectors
from tutelage_core.episodes import messages
from tutelage_core.episodes.labels import Label
from tutelage_core.episodes.manifest import EPISODE_FILE, EpisodeMetadata, check_name, read_checked, read_manifest
from tutelage_core.episodes.reader import Episode
from tutelage_core.episodes.topics import read_topics
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import STEP_SIZE, EpisodeResult, FloatArray, Source

FORMAT_VERSION = 1

LAST_STAMP_NS = 2**31 * 10**9
"""ROS counts the seconds of a stamp in 31 bits."""

_VECTORS = {"executed": STEP_SIZE, "requested": STEP_SIZE, "expert": STEP_SIZE, "tcp_quaternion_xyzw": 4}
_OTHERS: Mapping[str, Any] = {
    "source": pa.int8(),
    "reasons": pa.list_(pa.string()),
    "phrase": pa.string(),
    "success": pa.bool_(),
    "progress": pa.float64(),
}


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


def read_origins(path: Path, plain: Mapping[str, Any]) -> tuple[Origin, ...]:
    """Return the origins in the file at `path`, whose content is `plain`.

    Raises:
        EpisodeError: it is of another version, damaged, or names two episodes alike or not legally.
    """
    if plain.get("format_version") != FORMAT_VERSION:
        raise EpisodeError(
            f"{path}: format_version is {plain.get('format_version')!r}, this program reads {FORMAT_VERSION}"
        )
    try:
        file = from_mapping(plain, OriginFile, str(path))
        origins = tuple(
            from_mapping(
                _whole(stored, file.contracts, f"{path}: episode {number}"), Origin, f"{path}: episode {number}"
            )
            for number, stored in enumerate(file.episodes)
        )
    except (ConfigurationError, TypeError, ValueError, OverflowError) as error:
        raise EpisodeError(f"{path}: not readable: {error}") from error
    names: set[str] = set()
    for number, origin in enumerate(origins):
        if check_name(origin.name) in names:
            raise EpisodeError(f"{path}: names an episode '{origin.name}' twice")
        names.add(origin.name)
        stamps = origin.stamps_ns
        if not all(0 <= a < b for a, b in pairwise((*stamps, LAST_STAMP_NS))):
            raise EpisodeError(f"{path}: episode {number}: its stamps do not grow, or are not 0 to {LAST_STAMP_NS} ns")
    return origins


def _whole(stored: Mapping[str, Any], contracts: Sequence[RobotContract], where: str) -> dict[str, Any]:
    plain = dict(stored)
    place = plain.pop("contract", None)
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < len(contracts):
        raise EpisodeError(f"{where}: contract is {place!r}, expected a place among the {len(contracts)} contracts")
    if not isinstance(plain.get("metadata"), dict):
        raise EpisodeError(f"{where}: metadata is {plain.get('metadata')!r}, expected an object")
    return {**plain, "metadata": {**plain["metadata"], "contract": to_mapping(contracts[place])}}


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


def rows_of(table: Any, contract: RobotContract, where: str) -> Mapping[str, Any]:
    """Return the columns of `periods_table` by name: arrays of numbers, lists of the rest.

    Args:
        table: what was stored.
        contract: of the episode's robot.
        where: the file, for messages.

    Raises:
        EpisodeError: a column is missing, of another type, or has holes; or nobody is known to have driven.
    """
    joints = max(len(contract.arm.joints), 1)
    vectors = _VECTORS | {key: joints if key.startswith("joint_") else size for key, size in STATE_KEYS.items()}
    expected = {name: pa.list_(pa.float64(), size) for name, size in vectors.items()} | dict(_OTHERS)
    found: dict[str, Any] = {}
    for name, kind in expected.items():
        there = table.schema.field(name).type if table.column_names.count(name) == 1 else "none"
        if there != kind:
            raise EpisodeError(f"{where}: column '{name}' is of type {there}, expected {kind}; it was changed")
        column = table[name].combine_chunks()
        if column.null_count or (name in vectors and column.flatten().null_count):
            raise EpisodeError(f"{where}: column '{name}' has rows with nothing in them; it was changed")
        if name in vectors:
            found[name] = np.asarray(column.flatten()).reshape(len(column), -1)
        elif pa.types.is_primitive(kind):
            found[name] = column.to_numpy(zero_copy_only=False)
        else:
            found[name] = column.to_pylist()
    legal = [int(member) for member in Source]
    unknown = np.setdiff1d(found["source"], legal)
    if unknown.size:
        raise EpisodeError(f"{where}: column 'source' holds {unknown[0]}, legal: {legal}; it was changed")
    if any(None in reasons for reasons in found["reasons"]):
        raise EpisodeError(f"{where}: column 'reasons' holds a reason that is none; it was changed")
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
