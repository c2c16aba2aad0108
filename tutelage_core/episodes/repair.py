"""Makes an episode again of what a dead writer or a damaged disk left: what can be verified, and a word on the rest.

The new recording grows in `<root>/.repairing`, where no list of episodes looks, and changes places with the original
when it is whole. The original is moved to `<root>/.damaged` if anything of it was left out, and removed only if nothing
was. One repair at a time works under a root.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tutelage_core.config import from_mapping
from tutelage_core.episodes.claim import Claim, Holder, holder_of
from tutelage_core.episodes.free_space import MB
from tutelage_core.episodes.labels import LABELS_FILE, set_aside_broken_lines
from tutelage_core.episodes.manifest import (
    ABORT_FILE,
    EPISODE_FILE,
    PARTIAL_SUFFIX,
    EpisodeMetadata,
    check_name,
    is_as_told,
    manifest_in,
    sync_folder,
    to_json,
    write_synced,
)
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.relabel import carry_labels
from tutelage_core.episodes.runs import Run, Runs
from tutelage_core.episodes.salvage import Salvage
from tutelage_core.episodes.writer import METADATA_RECORD, EpisodeWriter
from tutelage_core.errors import ConfigurationError, EpisodeError
from tutelage_core.types import EpisodeResult

DAMAGED_FOLDER = ".damaged"
REPAIRING_FOLDER = ".repairing"
REPAIR_FILE = "repair.json"
_ROOM_TO_SPARE_MB = 200

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
    """Return the names of the episodes under `root` whose writer died: neither aborted nor being written.

    So are those that a repair left between two places. On a file system without locks nobody knows who is writing, and
    none is returned.
    """
    if not root.is_dir():
        return ()
    found = [
        folder.name.removesuffix(PARTIAL_SUFFIX)
        for folder in sorted(root.glob(f"*{PARTIAL_SUFFIX}"))
        if (folder / EPISODE_FILE).is_file()
        and not (folder / ABORT_FILE).exists()
        and holder_of(folder) is Holder.NOBODY
    ]
    between = [folder.name for folder in sorted(_replaced(root).glob("*"))]
    return tuple(dict.fromkeys([*found, *between]))


def repair(root: Path, name: str) -> RepairReport:
    """Repair the episode `name` under `root`, finished or not.

    What is kept is the longest run of control periods that is whole: in chunks whose checksums hold, with no damaged
    chunk between them, each with its images and its arm state. An episode whose end is not recorded ends as
    `interrupted`.

    Raises:
        EpisodeError: there is no such episode, it is being written, or another repair is at work there.
        OSError: the disk does not take it.
    """
    check_name(name)
    if not root.is_dir():
        raise EpisodeError(f"{root}: no such folder")
    try:
        claim = Claim(root)
    except BlockingIOError as error:
        raise EpisodeError(f"{root}: another repair is at work there; wait for it to end") from error
    try:
        return _repair(root, name)
    finally:
        for folder in (_fresh(root), _replaced(root), root / REPAIRING_FOLDER):
            with suppress(OSError):  # it is not there, or not empty because another repair was cut off
                folder.rmdir()
        claim.end()


def _fresh(root: Path) -> Path:
    """Return the folder in which new recordings grow."""
    return root / REPAIRING_FOLDER / "fresh"


def _replaced(root: Path) -> Path:
    """Return the folder with an entry for each episode that is between two places."""
    return root / REPAIRING_FOLDER / "replaced"


def _repair(root: Path, name: str) -> RepairReport:
    _finish_interrupted_repair(root, name)
    finished, partial = root / name, root / (name + PARTIAL_SUFFIX)
    source = finished if finished.is_dir() else partial
    if not source.is_dir():
        raise EpisodeError(f"{root}: no episode '{name}' was recorded there")
    if holder_of(source) is Holder.SOMEBODY:
        raise EpisodeError(f"{source}: is being written; end the recorder first")
    broken_lines = set_aside_broken_lines(source)
    said = (f"{broken_lines} broken lines of {LABELS_FILE}",) if broken_lines else ()
    if _is_whole(source):
        if source is partial:  # all but its name was written
            source.rename(finished)
            sync_folder(root)
        outcome = "repaired" if source is partial or said else "sound"
        return RepairReport(name, outcome, manifest_in(finished).result.steps, left_out=said)
    path = source / EPISODE_FILE
    if not path.is_file():
        return _give_up(source, name, "there is no recording in it")
    needed_mb, free_mb = path.stat().st_size / MB + _ROOM_TO_SPARE_MB, shutil.disk_usage(root).free / MB
    if free_mb < needed_mb:
        raise EpisodeError(f"{root}: {free_mb:.0f} MB are free, to repair '{name}' takes {needed_mb:.0f} MB: make room")
    salvage = Salvage(path)
    metadata: EpisodeMetadata | None = None
    runs: Runs | None = None
    for message in salvage.messages():
        if runs is None:
            metadata = _metadata(source, salvage)
            if metadata is None:
                return _give_up(source, name, "its beginning is damaged: which robot and task it is of is not known")
            runs = Runs(metadata.contract)
        runs.note(message)
    run = None if runs is None else runs.longest()
    if metadata is None or runs is None or run is None:
        return _give_up(source, name, "no control period in it is whole")
    fresh, kept, unlabelled = _copy(_fresh(root), name, source, metadata, run, runs.steps_ns)
    lost = (*said, *_lost(salvage, runs, kept), *unlabelled)
    in_memory = () if salvage.is_whole or lost else ("what was in memory when its writer died",)
    report = RepairReport(name, "repaired", len(run.steps_ns), kept, lost or in_memory)
    return _put_in_place(root, source, fresh, report, keep_original=bool(lost))


def _copy(
    scratch: Path, name: str, source: Path, metadata: EpisodeMetadata, run: Run, all_ns: tuple[int, ...]
) -> tuple[Path, int, tuple[str, ...]]:
    """Write the run to a new recording, and see that it can be read.

    Returns:
        Its folder, how many messages it has, and which labels could not be carried over.
    """
    kept = 0
    try:
        with EpisodeWriter(scratch, name, metadata) as writer:
            for message in run.chosen(Salvage(source / EPISODE_FILE).messages(), metadata.contract):
                place = (message.topic, message.kind, message.stamp_ns)
                writer.write(*place, message.data, message.sequence, message.definition)
                kept += 1
            fresh = writer.close(replace(_result(source), steps=len(run.steps_ns)))
        read_episode(fresh, cameras=())
        unlabelled = carry_labels(source, fresh, all_ns, run.steps_ns)
    except BaseException:
        for folder in (scratch / name, scratch / (name + PARTIAL_SUFFIX)):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return fresh, kept, unlabelled


def _lost(salvage: Salvage, runs: Runs, kept: int) -> tuple[str, ...]:
    said: list[str] = []
    if salvage.damaged_chunks:
        said.append(f"{salvage.damaged_chunks} chunks whose checksum does not hold")
    if salvage.tail_bytes:
        said.append(f"{salvage.tail_bytes} bytes at the end ({salvage.why or 'not a whole record'})")
    if runs.unsound:
        said.append(f"{runs.unsound} messages that are damaged or that no reader could use")
    if rest := runs.sound - kept:
        said.append(f"{rest} messages outside of the longest run of whole control periods")
    return tuple(said)


def _metadata(source: Path, salvage: Salvage) -> EpisodeMetadata | None:
    with suppress(EpisodeError):
        return manifest_in(source).metadata
    record = salvage.metadata.get(METADATA_RECORD)
    if record is None:
        return None
    try:
        return from_mapping(json.loads(record["metadata"]), EpisodeMetadata, str(salvage.path))
    except (KeyError, ValueError, ConfigurationError):
        return None


def _result(source: Path) -> EpisodeResult:
    with suppress(EpisodeError):
        return manifest_in(source).result
    return EpisodeResult(success=False, steps=0, termination=INTERRUPTED)


def _put_in_place(root: Path, source: Path, fresh: Path, report: RepairReport, *, keep_original: bool) -> RepairReport:
    """Let the new recording and the old one change places: whenever this ends, one of them is there."""
    name = report.episode
    mark = _replaced(root) / name  # it outlives this process: what is between two places is found by it
    kept_in = _free_name(root / DAMAGED_FOLDER, name) if keep_original else mark
    if keep_original:
        report = replace(report, original=str(kept_in.relative_to(root)))
    write_synced(fresh / REPAIR_FILE, to_json(report, "the report"))
    sync_folder(fresh)
    for folder in (mark.parent, kept_in.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if keep_original:
        mark.mkdir()
    sync_folder(mark.parent)
    source.rename(kept_in)
    fresh.rename(root / name)
    for folder in (root, fresh.parent, kept_in.parent):
        sync_folder(folder)
    shutil.rmtree(mark)
    return report


def _finish_interrupted_repair(root: Path, name: str) -> None:
    """Go on where a repair was itself cut off: nothing is removed before the episode stands in its place."""
    fresh, mark = _fresh(root) / name, _replaced(root) / name
    shutil.rmtree(_fresh(root) / (name + PARTIAL_SUFFIX), ignore_errors=True)
    if mark.is_dir() and not (root / name).is_dir() and not (root / (name + PARTIAL_SUFFIX)).is_dir():
        fresh.rename(root / name)
        sync_folder(root)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(mark, ignore_errors=True)


def _give_up(source: Path, name: str, why: str) -> RepairReport:
    if source.name.endswith(PARTIAL_SUFFIX) and not (source / ABORT_FILE).exists():
        write_synced(source / ABORT_FILE, to_json({"reason": f"its writer died; {why}"}, "the reason"))
        sync_folder(source)
    return RepairReport(name, "hopeless", left_out=(why,))


def _is_whole(folder: Path) -> bool:
    try:
        return is_as_told(folder, manifest_in(folder), EPISODE_FILE)
    except EpisodeError:
        return False


def _free_name(folder: Path, name: str) -> Path:
    number = 1
    while (folder / f"{name}-{number}").exists():
        number += 1
    return folder / f"{name}-{number}"
