"""Makes an episode again of what a dead writer or a damaged disk left: what can be verified, and a word on the rest.

The original is moved to `<root>/.damaged/<name>` if anything of it was left out, and removed only if nothing was.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tutelage_core.config import from_mapping
from tutelage_core.episodes.labels import LABELS_FILE
from tutelage_core.episodes.manifest import (
    ABORT_FILE,
    EPISODE_FILE,
    PARTIAL_SUFFIX,
    REPAIRING_SUFFIX,
    EpisodeMetadata,
    read_checked,
    read_manifest,
    sync_folder,
    to_json,
    write_synced,
)
from tutelage_core.episodes.runs import Run, Runs
from tutelage_core.episodes.salvage import Salvage
from tutelage_core.episodes.writer import METADATA_RECORD, EpisodeWriter
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import EpisodeResult

DAMAGED_FOLDER = ".damaged"
REPAIR_FILE = "repair.json"

INTERRUPTED = "interrupted"
"""Termination of an episode whose end was never recorded."""


@dataclass(frozen=True)
class RepairReport:
    """What became of one recording.

    Attributes:
        episode: its name.
        outcome: sound (nothing was to be done), repaired, or hopeless.
        control_periods: of the episode that is there now.
        messages: that were kept.
        left_out: what was not kept, a sentence each.
        original: where the original is now; empty if it was not moved.
    """

    episode: str
    outcome: str
    control_periods: int = 0
    messages: int = 0
    left_out: tuple[str, ...] = ()
    original: str = ""

    def __str__(self) -> str:
        """Return it as one line."""
        kept = f", {self.control_periods} control periods kept" if self.outcome == "repaired" else ""
        rest = f"; left out: {'; '.join(self.left_out)}" if self.left_out else ""
        moved = f"; the original is in {self.original}" if self.original else ""
        return f"{self.episode}: {self.outcome}{kept}{rest}{moved}"


def unfinished(root: Path) -> tuple[str, ...]:
    """Return the names of the episodes under `root` whose writer died: neither aborted nor being written."""
    if not root.is_dir():
        return ()
    found: list[str] = []
    for folder in sorted([*root.glob(f"*{PARTIAL_SUFFIX}"), *root.glob(f"*{REPAIRING_SUFFIX}")]):
        if folder.is_dir() and not (folder / ABORT_FILE).exists() and not _is_being_written(folder):
            found.append(folder.name.removesuffix(PARTIAL_SUFFIX).removesuffix(REPAIRING_SUFFIX))
    return tuple(dict.fromkeys(found))


def repair(root: Path, name: str) -> RepairReport:
    """Repair the episode `name` under `root`, finished or not.

    What is kept is the longest run of control periods that is whole: in chunks whose checksums hold, with no damaged
    chunk between them, each with its images and its arm state. An episode whose end is not recorded ends as
    `interrupted`.

    Raises:
        EpisodeError: there is no such episode, or it is being written.
        OSError: the disk does not take it.
    """
    finished, partial = root / name, root / (name + PARTIAL_SUFFIX)
    _finish_interrupted_repair(root, name)
    source = finished if finished.is_dir() else partial
    if not source.is_dir():
        raise EpisodeError(f"{root}: no episode '{name}' was recorded there")
    if _is_being_written(source):
        raise EpisodeError(f"{source}: is being written; end the recorder first")
    if source is finished and _is_sound(source):
        return RepairReport(name, "sound")
    if not (source / EPISODE_FILE).is_file():
        return _give_up(source, name, "there is no recording in it")
    salvage = Salvage(source / EPISODE_FILE)
    runs = Runs()
    for message in salvage.messages():
        runs.note(message)
    metadata = _metadata(source, salvage)
    if metadata is None:
        return _give_up(source, name, "its beginning is damaged: which robot and task it is of is not known")
    run = runs.longest(metadata.contract)
    if run is None:
        return _give_up(source, name, "no control period in it is whole")
    with EpisodeWriter(root, name + REPAIRING_SUFFIX, metadata, called=name) as writer:
        kept = 0
        for message in Salvage(source / EPISODE_FILE).messages():
            if run.holds(message):
                writer.write(
                    message.topic, message.kind, message.stamp_ns, message.data, message.sequence, message.definition
                )
                kept += 1
        lost = _lost(salvage, runs, run)
        in_memory = () if salvage.is_whole or lost else ("what was in memory when its writer died",)
        result = replace(_result(source), steps=len(run.steps_ns))
        report = RepairReport(name, "repaired", len(run.steps_ns), kept, lost or in_memory)
        return _put_in_place(root, source, writer, result, report, keep_original=bool(lost))


def _lost(salvage: Salvage, runs: Runs, run: Run) -> tuple[str, ...]:
    said: list[str] = []
    if salvage.damaged_chunks:
        said.append(f"{salvage.damaged_chunks} chunks whose checksum does not hold")
    if salvage.tail_bytes:
        said.append(f"{salvage.tail_bytes} bytes at the end ({salvage.why or 'not a whole record'})")
    if runs.unreadable:
        said.append(f"{runs.unreadable} messages that are not as they are defined")
    if rest := runs.steps - len(run.steps_ns):
        said.append(f"{rest} control periods that do not hang together with the others or lack a picture or a state")
    return tuple(said)


def _metadata(source: Path, salvage: Salvage) -> EpisodeMetadata | None:
    with suppress(EpisodeError):
        return read_manifest(source).metadata
    record = salvage.metadata.get(METADATA_RECORD)
    if record is None:
        return None
    try:
        return from_mapping(json.loads(record["metadata"]), EpisodeMetadata, str(salvage.path))
    except (KeyError, ValueError, ConfigurationError):
        return None


def _result(source: Path) -> EpisodeResult:
    with suppress(EpisodeError):
        return read_manifest(source).result
    return EpisodeResult(success=False, steps=0, termination=INTERRUPTED)


def _put_in_place(
    root: Path,
    source: Path,
    writer: EpisodeWriter,
    result: EpisodeResult,
    report: RepairReport,
    *,
    keep_original: bool,
) -> RepairReport:
    """Finish the new recording beside the old one, then change places: whenever this ends, one of them is there."""
    name = report.episode
    kept_in = _free_name(root / DAMAGED_FOLDER, name) if keep_original else None
    report = replace(report, original=str(kept_in.relative_to(root)) if kept_in is not None else "")
    fresh = writer.close(result)
    write_synced(fresh / REPAIR_FILE, to_json(report, "the report"))
    if (source / LABELS_FILE).is_file():
        shutil.copy2(source / LABELS_FILE, fresh / LABELS_FILE)
    sync_folder(fresh)
    if kept_in is not None:
        kept_in.parent.mkdir(exist_ok=True)
        source.rename(kept_in)
    else:
        source.rename(root / f".{name}.replaced")
    fresh.rename(root / name)
    sync_folder(root)
    shutil.rmtree(root / f".{name}.replaced", ignore_errors=True)
    return report


def _finish_interrupted_repair(root: Path, name: str) -> None:
    """Go on where a repair was itself interrupted: a finished new recording takes its place, an unfinished one goes."""
    fresh, unfinished_fresh = root / (name + REPAIRING_SUFFIX), root / (name + REPAIRING_SUFFIX + PARTIAL_SUFFIX)
    if unfinished_fresh.is_dir() and not _is_being_written(unfinished_fresh):
        shutil.rmtree(unfinished_fresh)
    if fresh.is_dir():
        if (root / name).is_dir() or (root / (name + PARTIAL_SUFFIX)).is_dir():
            shutil.rmtree(fresh)  # the original has not moved yet: it is made again from there
        else:
            fresh.rename(root / name)
    shutil.rmtree(root / f".{name}.replaced", ignore_errors=True)


def _give_up(source: Path, name: str, why: str) -> RepairReport:
    if source.name.endswith(PARTIAL_SUFFIX) and not (source / ABORT_FILE).exists():
        write_synced(source / ABORT_FILE, to_json({"reason": f"its writer died; {why}"}, "the reason"))
        sync_folder(source)
    return RepairReport(name, "hopeless", left_out=(why,))


def _is_sound(folder: Path) -> bool:
    try:
        read_checked(folder, read_manifest(folder), EPISODE_FILE)
    except EpisodeError:
        return False
    return True


def _is_being_written(folder: Path) -> bool:
    path = folder / EPISODE_FILE
    if not path.is_file():
        return False
    with path.open("rb") as file, _lock(file.fileno()) as free:
        return not free


@contextmanager
def _lock(descriptor: int) -> Generator[bool]:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _free_name(folder: Path, name: str) -> Path:
    number = 1
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"
