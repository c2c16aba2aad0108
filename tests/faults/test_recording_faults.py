"""Faults 10, 11 and 12: a full disk, a recorder that is killed, and checkpoints that are damaged."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from scoreboard import Scoreboard

from policies.registry import load_policy
from tests.unit.episode_samples import METADATA, RESULT, executed, frame, record, state
from tutelage_core.episodes.free_space import FreeSpace
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import CheckpointError

pytestmark = pytest.mark.faults

KILLS = 100
FINISHED = 3
SEED = 5
PERIOD_NS = 100_000_000


def record_for_ever(root: Path) -> None:
    """Record one episode after the other, without a pause; the parent kills this process in the middle of it."""
    number = 0
    while True:
        with EpisodeWriter(root, f"later-{number:04d}", METADATA) as writer:
            for step in range(1, 6):
                for camera in METADATA.contract.cameras:
                    writer.image(camera, frame(step * PERIOD_NS))
                writer.state(state(step * PERIOD_NS))
                writer.executed(executed(step * PERIOD_NS))
            writer.close(RESULT)
        number += 1


def test_killed_recorder_loses_no_finished_episode(scoreboard: Scoreboard, tmp_path: Path) -> None:
    """Each try kills a recorder at another moment, and then reads everything that it left."""
    rng = np.random.default_rng(SEED)
    sound = finished = lost = partial = 0
    for number in range(KILLS):
        root = tmp_path / str(number)
        for earlier in range(FINISHED):
            record(root, f"earlier-{earlier}", 3)
        child = os.fork()
        if child == 0:
            try:
                record_for_ever(root)
            finally:
                os._exit(1)
        time.sleep(float(rng.uniform(0.0, 0.06)))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "it ended by itself: it could not record"
        store = EpisodeStore(root)
        lost += FINISHED - len([name for name in store.names() if name.startswith("earlier")])
        for episode in store:
            assert len(episode) in (3, 5)
            finished += 1
        partial += len(store.partial())
        assert store.totals().episodes == len(store)
        assert len(store.partial()) <= 1
        sound += 1
        shutil.rmtree(root)
    scoreboard.note(
        11,
        "recorder killed while it writes",
        clock="counted",
        tries=KILLS,
        sound=sound,
        lost_steps=3 * lost,
        partial_marked=partial,
        recovery="auto",
    )
    assert lost == 0
    assert sound == KILLS
    assert partial > KILLS // 4, "hardly one was killed in the middle of an episode: nothing was tested"
    assert finished > KILLS * FINISHED, "none was finished by those that were killed"


def test_full_disk_ends_the_episode_and_harms_no_other(scoreboard: Scoreboard, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: it makes the same calls fail, after as many bytes.

    The limit is of the process, so a child records; each time with room for another number of bytes.
    """
    tries = lost = partial = 0
    for room_bytes in range(0, 12_000, 1_000):
        root = tmp_path / str(room_bytes)
        for earlier in range(FINISHED):
            record(root, f"earlier-{earlier}", 3)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, room_bytes))
                code = 0 if fill_disk(root) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "it must end by an OSError, and abort cleanly"
        store = EpisodeStore(root)
        lost += FINISHED - sum(len(episode) == 3 for episode in store)
        partial += len(store.partial())
        record(root, "after", 3)  # room was made: it goes on
        assert "after" in store.names()
        tries += 1
    scoreboard.note(
        10, "disk full after n bytes", clock="counted", tries=tries, lost_steps=3 * lost, partial_marked=partial
    )
    assert lost == 0
    assert partial == tries


def fill_disk(root: Path) -> bool:
    """Record until the disk takes no more; return whether that was an OSError and the writer could be left."""
    try:
        with EpisodeWriter(root, "too-large", METADATA) as writer:
            for step in range(1, 2000):
                for camera in METADATA.contract.cameras:
                    writer.image(camera, frame(step * PERIOD_NS))
                writer.executed(executed(step * PERIOD_NS))
            writer.close(RESULT)
    except OSError:
        return True
    return False


def test_episode_is_not_begun_and_not_gone_on_with_without_room(scoreboard: Scoreboard, tmp_path: Path) -> None:
    said = []
    for free_mb, begins, goes_on in ((3000, True, True), (1000, False, True), (100, False, False)):
        space = FreeSpace(free_bytes=lambda _, free_mb=free_mb: free_mb * 1_000_000)
        assert (not space.why_not_begin(tmp_path / "new" / "folder")) == begins
        assert (not space.why_not_go_on(tmp_path)) == goes_on
        said.append(space.why_not_begin(tmp_path))
    scoreboard.note(10, "little room", clock="counted", message=said[1].replace(str(tmp_path), "folder"))
    assert "1000 MB are free, 2000 MB are needed to begin an episode" in said[1]


def test_no_damaged_checkpoint_is_loaded_and_the_policy_in_use_stays(
    scoreboard: Scoreboard, small_policy: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(SEED)
    in_use = load_policy(small_policy)
    files = sorted(path.name for path in small_policy.iterdir() if path.suffix in (".safetensors", ".json", ".yaml"))
    assert len(files) >= 2
    loads, tries, named, said = 0, 0, 0, set[str]()
    for name in files:
        for damage in ("flip", "flip", "flip", "flip", "flip", "truncate", "empty", "missing", "pickle"):
            folder = tmp_path / f"{tries}"
            shutil.copytree(small_policy, folder)
            data = bytearray((small_policy / name).read_bytes())
            if damage == "flip":
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            elif damage == "truncate":
                data = data[: int(rng.integers(1, len(data)))]
            elif damage == "empty":
                data = bytearray()
            elif damage == "pickle":
                data = bytearray(b"\x80\x04cposix\nsystem\n.")
            (folder / name).write_bytes(bytes(data))
            if damage == "missing":
                (folder / name).unlink()
            tries += 1
            try:
                load_policy(folder)
                loads += 1
                said.add(f"LOADED: {name} {damage}")
            except CheckpointError as error:
                named += str(folder) in str(error) or name in str(error)
    scoreboard.note(12, "damaged checkpoints", clock="counted", tries=tries, loads=loads, recovery="auto")
    assert loads == 0, said
    assert named == tries, "each refusal names the file"
    assert in_use.spec == load_policy(small_policy).spec
