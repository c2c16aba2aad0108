"""A learner's log on disk: every step that it was given, in sealed blocks, so that a killed learner can be made again.

::

    <root>/block-00000000/   steps.safetensors  block.json  manifest.json (SHA-256 of both)
    <root>/block-00000001/   ...

A block is written beside the others under a hidden name, synced and renamed: after a kill at any instant the blocks are
a prefix of what was appended, none of them torn. Each names the seal of the one before. What is not sealed yet was not
acknowledged: the actor keeps it, and sends it again. There is no pickle in any of it.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from policies.hil_serl.layout import ReplayIdentity
from policies.hil_serl.replay_block import FACTS, STEPS, BlockFacts, decode_events, decode_facts, encode_block
from policies.hil_serl.segments import Progress, Segments
from policies.hil_serl.transition import Relabel, ReplayError, Step, step_name
from tutelage_core.errors import CheckpointError
from tutelage_core.sealed_folder import read_sealed, seal_of, write_sealed

KIND = "replay block"
_LOCK = "lock"
_BLOCK = re.compile(r"block-(\d{8})")
_LEFT_OVER = re.compile(r"\.block-\d{8}\.(new|old)-\d+")


class ReplayStore:
    """Appends steps and relabels to a log; one process at a time may have it open."""

    def __init__(self, root: Path, identity: ReplayIdentity, *, created_by: str, block_steps: int = 256) -> None:
        """Open the log at `root`, or begin one.

        Args:
            root: folder of the blocks; made if it is not there.
            identity: whose data this is.
            created_by: program that writes.
            block_steps: steps after which a block is sealed by itself.

        Raises:
            CheckpointError: another process has it open, or its newest block is damaged.
            ContractMismatchError: its blocks hold data of another identity; every difference is named.
        """
        self._root = root
        self._identity = identity
        self._created_by = created_by
        self._block_steps = max(1, block_steps)
        root.mkdir(parents=True, exist_ok=True)
        self._lock = (root / _LOCK).open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise CheckpointError(
                f"{root}: another process has this replay open; end it, or take another folder"
            ) from error
        try:
            self._number, self._seal, self._sealed = self._newest()
        except BaseException:
            self._lock.close()
            raise
        self._segments = Segments(progress=self._sealed)
        self._events: list[Step | Relabel] = []
        self._steps = 0
        self.duplicates = 0
        """Steps that came again and were ignored."""

    @property
    def sealed_progress(self) -> Mapping[str, Progress]:
        """How far each actor has come on the disk: what may be acknowledged."""
        return dict(self._sealed)

    @property
    def unsealed(self) -> int:
        """Steps and relabels that wait in memory."""
        return len(self._events)

    def append(self, event: Step | Relabel) -> bool:
        """Take a step or relabel; return False, and change nothing, for a step that was there already.

        A block is sealed by itself when it is full; until then, see `flush`, nothing is on the disk.

        Raises:
            ReplayError: the step does not fit, or is not the next one of its actor; the relabelled one is unknown.
            CheckpointError: a full block could not be written; see `flush`.
        """
        if isinstance(event, Relabel):
            for index in event.rewards:
                if not self._segments.has_seen(event.actor, event.segment, index):
                    raise ReplayError(f"{step_name(event.actor, event.segment, index)} is unknown; not relabelled")
            self._events.append(event)
            return True
        self._identity.layout.check(event.observation, event.name)
        if event.final_observation is not None:
            self._identity.layout.check(event.final_observation, f"{event.name}, final observation")
        if not self._segments.is_new(event):
            self.duplicates += 1
            return False
        self._segments.take(event)
        self._events.append(event)
        self._steps += 1
        if self._steps >= self._block_steps:
            self.flush()
        return True

    def flush(self) -> None:
        """Seal what waits into a block; afterwards it survives the end of this process and of the power.

        Raises:
            CheckpointError: the disk is full or not writable; nothing is lost, and flushing can be tried again.
        """
        if not self._events:
            return
        progress = self._segments.progress
        folder = self._root / _name(self._number)
        if folder.exists():
            raise CheckpointError(f"{folder}: appeared while this replay was open; nothing is overwritten, look at it")
        files = encode_block(self._events, self._number, self._seal, self._identity, progress)
        try:
            write_sealed(folder, files, kind=KIND, created_by=self._created_by)
        except OSError as error:
            raise CheckpointError(
                f"{folder}: cannot be written: {error.strerror or error}; {len(self._events)} steps and relabels wait "
                "in memory: make room, and flush again"
            ) from error
        self._seal = seal_of(folder)
        self._number += 1
        self._sealed = progress
        self._events = []
        self._steps = 0

    def events(self) -> Iterator[Step | Relabel]:
        """Yield all that is on the disk, in the order in which it came; see `read_events`."""
        return read_events(self._root, self._identity)

    def close(self) -> None:
        """Seal what waits, and let go of the log."""
        if self._lock.closed:
            return
        try:
            self.flush()
        finally:
            self._lock.close()

    def __enter__(self) -> ReplayStore:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _newest(self) -> tuple[int, str, Mapping[str, Progress]]:
        """Return number and seal of what the next block follows, and how far each actor has come."""
        for path in self._root.iterdir():
            if _LEFT_OVER.fullmatch(path.name):  # of a process that was killed: the lock says that none lives
                shutil.rmtree(path)
        numbers = _numbers(self._root)
        if not numbers:
            return 0, "", {}
        folder = self._root / _name(numbers[-1])
        facts, _ = _read(folder)
        self._identity.check_same(facts.identity, "this run", str(folder))
        return facts.number + 1, seal_of(folder), facts.progress


def read_events(root: Path, identity: ReplayIdentity) -> Iterator[Step | Relabel]:
    """Yield every step and relabel of the log at `root`, in order, each block checked before any of it is given out.

    Raises:
        CheckpointError: a block is missing, damaged or from elsewhere; says from where on to move blocks away.
        ContractMismatchError: a block holds data of another identity; both sides are named.
    """
    seal = ""
    for number in _numbers(root):
        folder = root / _name(number)
        facts, steps = _read(folder)
        identity.check_same(facts.identity, "this run", str(folder))
        if facts.previous != seal:
            raise CheckpointError(
                f"{folder}: does not follow {_name(number - 1) if number else 'nothing'} as it is here (seal "
                f"{seal[:12] or 'none'}, it says {facts.previous[:12] or 'none'}); move it and all later ones away to "
                "go on from there"
            )
        yield from decode_events(steps, facts, folder / STEPS)
        seal = seal_of(folder)


def _read(folder: Path) -> tuple[BlockFacts, bytes]:
    files = read_sealed(folder, kind=KIND, required=(STEPS, FACTS))
    facts = decode_facts(files[FACTS], folder / FACTS)
    if _name(facts.number) != folder.name:
        raise CheckpointError(f"{folder}: holds block {facts.number}; it was renamed, give it its name back")
    return facts, files[STEPS]


def _numbers(root: Path) -> list[int]:
    if not root.is_dir():
        raise CheckpointError(f"{root}: no such folder")
    numbers = sorted(int(match[1]) for path in root.iterdir() if (match := _BLOCK.fullmatch(path.name)))
    if numbers != list(range(len(numbers))):
        missing = next(i for i, number in enumerate(numbers) if i != number)
        raise CheckpointError(
            f"{root}: {_name(missing)} is missing; put it back, or move all later ones away to go on from there"
        )
    return numbers


def _name(number: int) -> str:
    return f"block-{number:08d}"
