"""A row for each episode, for lists and totals. It is derived from the manifests, and made again wherever they differ.

The rows are kept in `<root>/.index.json`, because reading ten thousand manifests takes seconds. Losing or damaging
that file loses nothing.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.episodes.labels import LABELS_FILE, judge, read_labels
from tutelage_core.episodes.manifest import EPISODE_FILE, MANIFEST_FILE, Manifest, read_manifest
from tutelage_core.episodes.messages import EXECUTED_TOPIC
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, EpisodeError

INDEX_FILE = ".index.json"
INDEX_VERSION = 2


@dataclass(frozen=True)
class EpisodeRow:
    """What a list of episodes shows of one.

    Attributes:
        name: of the episode.
        robot: robot that it was recorded on.
        task: its task.
        instruction: the task as a sentence.
        seed: its seed.
        room: room of the twin, empty on a robot.
        policy: who drove: kind of policy, `expert`, or `hand`.
        steps: control periods.
        human_steps: those that a person drove.
        success: whether the task was done: as the last label says, else as it was recorded.
        is_labelled: whether somebody has said so.
        termination: why it ended.
        failure: kind of the failure, empty if none.
        bytes: size of the recording.
        start_stamp_ns: when it began, on the recorder's clock [ns].
        fault: why it cannot be read, empty if it can; the other fields are then empty.
    """

    name: str
    robot: str = ""
    task: str = ""
    instruction: str = ""
    seed: int = 0
    room: str = ""
    policy: str = ""
    steps: int = 0
    human_steps: int = 0
    success: bool = False
    is_labelled: bool = False
    termination: str = ""
    failure: str = ""
    bytes: int = 0
    start_stamp_ns: int = 0
    fault: str = ""


def read_index(store: EpisodeStore) -> tuple[EpisodeRow, ...]:
    """Return a row for each finished episode of `store`, in the order of their names; a damaged one says its fault."""
    names = store.names()
    kept = _kept(store.root / INDEX_FILE)
    rows: list[EpisodeRow] = []
    marks: dict[str, list[int]] = {}
    for name in names:
        marks[name] = _mark(store.root / name)
        known = kept.get(name)
        is_known = known is not None and known[0] == marks[name] and not known[1].fault  # a fault may pass by itself
        rows.append(known[1] if known is not None and is_known else _row(store, name))
    if set(kept) != set(names) or any(kept[row.name] != (marks[row.name], row) for row in rows):
        _keep(store.root / INDEX_FILE, marks, rows)
    return tuple(rows)


def _mark(folder: Path) -> list[int]:
    """Return what changes whenever manifest, labels or recording do: their times [ns] and sizes [bytes]."""
    mark: list[int] = []
    for file in (MANIFEST_FILE, LABELS_FILE, EPISODE_FILE):
        try:
            found = (folder / file).stat()
            mark += [found.st_mtime_ns, found.st_size]
        except OSError:
            mark += [0, 0]
    return mark


def _row(store: EpisodeStore, name: str) -> EpisodeRow:
    try:
        manifest: Manifest = read_manifest(store.root / name)
        _check_size(store.root / name, manifest)
        judgement = judge(read_labels(store.root, name))
    except EpisodeError as error:
        return EpisodeRow(name, fault=str(error))
    metadata, result = manifest.metadata, manifest.result
    said = judgement.success is not None
    return EpisodeRow(
        name=name,
        robot=manifest.robot,
        task=metadata.task,
        instruction=metadata.instruction,
        seed=metadata.seed,
        room=metadata.room,
        policy=metadata.policy,
        steps=manifest.messages.get(EXECUTED_TOPIC, 0),
        human_steps=result.human_periods,
        success=bool(judgement.success) if said else result.success,
        is_labelled=said,
        termination=result.termination,
        failure=judgement.failure if said else result.failure,
        bytes=sum(file.bytes for file in manifest.files.values()),
        start_stamp_ns=metadata.start_stamp_ns,
    )


def _check_size(folder: Path, manifest: Manifest) -> None:
    """Refuse a recording that is not there or was cut; its content is not read."""
    path, stored = folder / EPISODE_FILE, manifest.files.get(EPISODE_FILE)
    if stored is None:
        raise EpisodeError(f"{folder / MANIFEST_FILE}: lists no file {EPISODE_FILE}; 'tutelage data repair' mends it")
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise EpisodeError(
            f"{path}: missing; bring it back ('tutelage data repair' cannot), or remove the episode's folder"
        ) from None
    except OSError as error:
        raise EpisodeError(f"{path}: cannot be looked at: {error}") from error
    if size != stored.bytes:
        raise EpisodeError(
            f"{path}: has {size} bytes, the manifest says {stored.bytes}; truncated or changed: 'tutelage data repair' "
            "keeps what can be verified"
        )


def _kept(path: Path) -> dict[str, tuple[list[int], EpisodeRow]]:
    """Return the rows that were kept; none if the file is not there, is damaged, or is another version's."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or cast("dict[str, Any]", data).get("version") != INDEX_VERSION:
            return {}
        rows = cast("list[dict[str, Any]]", data["rows"])
        return {
            str(row["row"]["name"]): (list(row["mark"]), from_mapping(row["row"], EpisodeRow, str(path)))
            for row in rows
        }
    except (OSError, ValueError, KeyError, TypeError, ConfigurationError):
        return {}


def _keep(path: Path, marks: dict[str, list[int]], rows: list[EpisodeRow]) -> None:
    data = {
        "version": INDEX_VERSION,
        "rows": [{"mark": marks[row.name], "row": to_mapping(row)} for row in rows],
    }
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):  # a folder that cannot be written to can be read all the same
        fresh.write_text(json.dumps(data), encoding="utf-8")
        fresh.replace(path)
