"""The learner's log on disk: killed at any instant it is a prefix of what was given, never torn, never doubled."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
import signal
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.replay_audit import audit
from policies.hil_serl.replay_store import ReplayStore, read_events
from policies.hil_serl.segments import Progress
from policies.hil_serl.transition import Relabel, ReplayError, Step
from tests.unit.hil_serl_replay_samples import (
    IDENTITY,
    LAYOUT,
    LIMIT,
    drawn,
    number_in_state,
    observed,
    segment_of,
    step,
)
from tutelage_core.errors import CheckpointError, ContractMismatchError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit

SEGMENT = 7
"""Steps in each segment of the endless stream."""


def endless(number: int) -> Step | Relabel:
    """Return what one actor streams as its event of this number: segments with all that can happen to a step."""
    segment, index = divmod(number, SEGMENT + 1)
    if index == SEGMENT:  # the segment is over: its first reward becomes known
        return Relabel("a", segment, {0: float(segment), 1: math.nan})
    last = index == SEGMENT - 1
    return step(
        number,
        segment=segment,
        index=index,
        source=Source.HUMAN if index in (2, 3) else Source.POLICY,
        reward=math.nan if index == 0 else float(number),
        truncated=last and segment % 2 == 0,
        terminated=last and segment % 2 == 1,
    )


def same(a: Step | Relabel, b: Step | Relabel) -> bool:
    """Whether two events are the same to the last bit."""
    if isinstance(a, Relabel) or isinstance(b, Relabel):
        return repr(a) == repr(b)
    for one, two in ((a.observation, b.observation), (a.final_observation, b.final_observation)):
        if one is None or two is None:
            if one is not two:
                return False
        elif not (
            np.array_equal(one.state, two.state)
            and all(np.array_equal(one.maps[c], two.maps[c]) for c in LAYOUT.maps)
            and all(np.array_equal(one.images[c], two.images[c]) for c in LAYOUT.images)
        ):
            return False
    plain = ("actor", "segment", "index", "gripper", "source", "terminated", "truncated", "after_restart")
    return (
        all(getattr(a, name) == getattr(b, name) for name in plain)
        and a.action.tobytes() == b.action.tobytes()
        and a.grasp_penalty == b.grasp_penalty
        and repr(a.reward) == repr(b.reward)
    )


def is_prefix(root: Path, least: int) -> int:
    """Return how many events of the endless stream are on the disk; refuse any that is not the next one."""
    events = list(read_events(root, IDENTITY))
    assert all(same(event, endless(i)) for i, event in enumerate(events))
    assert len(events) >= least
    return len(events)


def opened(root: Path, block_steps: int = 256) -> ReplayStore:
    return ReplayStore(root, IDENTITY, created_by="test", block_steps=block_steps)


def filled(root: Path, events: int, every: int = 5) -> None:
    """Write events of the endless stream, a block after each few."""
    with opened(root) as store:
        for number in range(events):
            store.append(endless(number))
            if number % every == every - 1:
                store.flush()


def test_everything_comes_back_as_it_was_given(tmp_path: Path) -> None:
    filled(tmp_path, 60)
    assert is_prefix(tmp_path, 60) == 60
    names = {p.name for folder in tmp_path.glob("block-*") for p in folder.iterdir()}
    assert names == {"steps.safetensors", "block.json", "manifest.json"}


def test_several_actors_and_a_restart_come_back(tmp_path: Path) -> None:
    given = [
        *segment_of(0, 3, end="open"),
        *segment_of(10, 2, actor="b", segment=4),
        replace(step(20, segment=1), after_restart=True),
        *segment_of(30, 2, actor="b", segment=5, end="terminated"),
    ]
    with opened(tmp_path, block_steps=3) as store:
        for event in given:
            assert store.append(event)
    back = list(read_events(tmp_path, IDENTITY))
    assert len(back) == len(given)
    assert all(same(a, b) for a, b in zip(back, given, strict=True))
    with opened(tmp_path) as store:
        assert store.sealed_progress == {"a": Progress(1, 1, True), "b": Progress(5, 2, False)}


def test_the_replay_made_again_is_the_one_that_was_lost(tmp_path: Path) -> None:
    def mixture() -> Mixture:
        return Mixture.allocate(LAYOUT, 40, 20, limit_bytes=LIMIT)

    lost, again = mixture(), mixture()
    with opened(tmp_path, block_steps=4) as store:
        for number in range(100):
            if lost.apply(endless(number)):
                store.append(endless(number))
    for event in read_events(tmp_path, IDENTITY):
        again.apply(event)
    for one, two in ((lost.online, again.online), (lost.demonstrations, again.demonstrations)):
        assert audit(two).is_clean
        assert one.counts.sampleable == two.counts.sampleable > 5
        np.testing.assert_array_equal(one.arrays.segment, two.arrays.segment)
        np.testing.assert_array_equal(one.arrays.truncated, two.arrays.truncated)
        np.testing.assert_array_equal(one.arrays.terminated, two.arrays.terminated)
        draws = [list(drawn(replay.sample(64, np.random.default_rng(0)))) for replay in (one, two)]
        assert draws[0] == draws[1]


def test_what_was_sealed_is_ignored_when_it_is_sent_again(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    with opened(tmp_path) as store:
        assert [store.append(endless(n)) for n in range(16, 23)] == [False] * 4 + [True] * 3
        assert store.duplicates == 4
    assert is_prefix(tmp_path, 23) == 23


def test_what_is_not_sealed_is_not_acknowledged(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.append(endless(0))
        assert (store.unsealed, store.sealed_progress) == (1, {})
        store.flush()
        assert (store.unsealed, store.sealed_progress) == (0, {"a": Progress(0, 1, True)})
        store.flush()
    assert [p.name for p in tmp_path.glob("block-*")] == ["block-00000000"]


def test_gaps_unknown_relabels_and_foreign_shapes_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.append(endless(0))
        with pytest.raises(ReplayError, match="step 1 of segment 0 of actor 'a' is missing"):
            store.append(endless(2))
        with pytest.raises(ReplayError, match="is unknown; not relabelled"):
            store.append(Relabel("a", 0, {1: 0.0}))
        with pytest.raises(ReplayError, match="state: float32"):
            store.append(replace(step(1, index=1), observation=replace(observed(1), state=np.zeros(1, np.float32))))
    assert is_prefix(tmp_path, 1) == 1


def test_blocks_of_another_robot_or_encoder_are_refused_naming_both(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    other = replace(IDENTITY, robot="franka", encoder="twin_trunk")
    for use in (lambda: ReplayStore(tmp_path, other, created_by="test"), lambda: list(read_events(tmp_path, other))):
        with pytest.raises(ContractMismatchError) as caught:
            use()
        assert set(caught.value.differences) == {
            "encoder: twin_trunk here, lite0 there",
            "robot: franka here, twin there",
        }
        assert "this run does not fit" in str(caught.value)


def test_one_block_of_another_robot_among_ours_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "ours", 20)
    theirs = ReplayStore(tmp_path / "theirs", replace(IDENTITY, robot="franka"), created_by="test", block_steps=2)
    with theirs:
        for number in range(6):
            theirs.append(endless(number))
    shutil.rmtree(tmp_path / "ours" / "block-00000001")
    shutil.copytree(tmp_path / "theirs" / "block-00000001", tmp_path / "ours" / "block-00000001")
    with pytest.raises(ContractMismatchError, match="robot: twin here, franka there"):
        list(read_events(tmp_path / "ours", IDENTITY))


def test_a_block_of_our_own_from_another_log_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "one", 20)
    filled(tmp_path / "two", 20, every=4)
    shutil.rmtree(tmp_path / "one" / "block-00000001")
    shutil.copytree(tmp_path / "two" / "block-00000001", tmp_path / "one" / "block-00000001")
    with pytest.raises(CheckpointError, match="block-00000001: does not follow block-00000000 as it is here"):
        list(read_events(tmp_path / "one", IDENTITY))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda block: flip(block / "steps.safetensors"), "SHA-256 .* changed or damaged"),
        (lambda block: (block / "steps.safetensors").unlink(), "steps.safetensors: cannot be read"),
        (lambda block: os.truncate(block / "block.json", 10), "10 bytes, the manifest says"),
        (shutil.rmtree, "block-00000001 is missing; put it back, or move all later ones away"),
        (lambda block: block.rename(block.with_name("block-00000004")), "block-00000001 is missing"),
    ],
)
def test_damage_is_told_and_never_read_over(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    filled(tmp_path, 20)
    damage(tmp_path / "block-00000001")
    with pytest.raises(CheckpointError, match=message):
        list(read_events(tmp_path, IDENTITY))


def test_a_damaged_newest_block_keeps_the_store_from_going_on(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    flip(tmp_path / "block-00000003" / "steps.safetensors")
    with pytest.raises(CheckpointError, match="changed or damaged"):
        opened(tmp_path)
    (tmp_path / "block-00000003").rename(tmp_path / "away")
    with opened(tmp_path) as store:
        assert store.append(endless(15))
    assert is_prefix(tmp_path, 16) == 16


def test_two_processes_cannot_write_one_log(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(CheckpointError, match="another process has this replay open"):
        opened(tmp_path)
    opened(tmp_path).close()


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        store.append(endless(0))

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(CheckpointError, match=r"No space left on device; 1 steps and relabels wait in memory"):
                store.flush()
        assert is_prefix(tmp_path, 0) == 0
        store.append(endless(1))
    assert is_prefix(tmp_path, 2) == 2


def test_a_folder_that_is_not_there_has_no_events(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        list(read_events(tmp_path / "none", IDENTITY))


def test_a_log_without_maps_keeps_pixels_only(tmp_path: Path) -> None:
    identity = replace(IDENTITY, encoder="", layout=ObservationLayout(2, images=LAYOUT.images))
    seen = [replace(observed(n), maps={}) for n in (1, 2)]
    given = replace(step(1, truncated=True), observation=seen[0], final_observation=seen[1])
    with ReplayStore(tmp_path, identity, created_by="test") as store:
        store.append(given)
    (back,) = read_events(tmp_path, identity)
    assert isinstance(back, Step)
    assert back.final_observation is not None
    assert number_in_state(back.final_observation.state) == 2
    np.testing.assert_array_equal(back.observation.images["wrist"], seen[0].images["wrist"])


# Killed learners.


def stream_until_killed(root: Path, first: int, seed: int, acknowledged: int) -> None:
    """Go on with the endless stream at event `first`, the last few steps before it again; tell what was sealed."""
    rng = np.random.default_rng(seed)
    store = opened(root)
    for number in range(max(0, first - 4), 10**6):
        event = endless(number)
        if number < first:
            assert isinstance(event, Relabel) or not store.append(event)
            continue
        assert store.append(event)
        if rng.random() < 0.3:
            store.flush()
            os.write(acknowledged, struct.pack("q", number + 1))


def stream_until_sync(root: Path, first: int, seed: int, acknowledged: int) -> None:
    """Do the same, and die at the sync or rename of this number."""
    left = seed
    sync, rename = os.fsync, Path.rename

    def counted() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_sync(descriptor: int) -> None:
        counted()
        sync(descriptor)

    def dying_rename(self: Path, target: Path) -> Path:
        counted()
        return rename(self, target)

    os.fsync = dying_sync
    Path.rename = dying_rename  # type: ignore[method-assign,assignment]
    stream_until_killed(root, first, seed, acknowledged)


def killed(
    work: Callable[[Path, int, int, int], None], root: Path, first: int, seed: int, after_s: float | None
) -> int:
    """Run `work` in a forked child and kill it; return how many events it said were sealed."""
    reading, writing = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=work, args=(root, first, seed, writing))
    child.start()
    os.close(writing)
    told = os.read(reading, 8) if after_s is not None else b""
    if after_s is not None:
        time.sleep(after_s)
        child.kill()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    while more := os.read(reading, 1 << 16):
        told += more
    os.close(reading)
    return max((number for (number,) in struct.iter_unpack("q", told)), default=0)


def test_twenty_kills_at_random_instants_lose_nothing_that_was_acknowledged_and_double_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    stored, lengths = 0, [0]
    for kill in range(20):
        acknowledged = killed(stream_until_killed, tmp_path, stored, kill, float(rng.uniform(0.0, 0.05)))
        stored = is_prefix(tmp_path, acknowledged)
        assert stored > lengths[-1]  # the clock ran from its first new block on
        lengths.append(stored)
    again = Mixture.allocate(LAYOUT, 4 * stored, 2 * stored, limit_bytes=LIMIT)
    for event in read_events(tmp_path, IDENTITY):
        again.apply(event)
    steps = sum(isinstance(endless(i), Step) for i in range(stored))
    assert audit(again.online).is_clean
    assert (again.online.counts.added, again.online.counts.duplicates) == (steps, 0)


def test_a_kill_before_each_sync_and_rename_leaves_a_prefix(tmp_path: Path) -> None:
    lengths: list[int] = []
    for instant in range(14):  # a block has six of them
        root = tmp_path / str(instant)
        acknowledged = killed(stream_until_sync, root, 0, instant, None)
        lengths.append(is_prefix(root, acknowledged))
        with opened(root) as store:  # and it goes on
            assert not [p for p in root.iterdir() if p.name.startswith(".")]
            store.append(endless(lengths[-1]))
        assert is_prefix(root, lengths[-1] + 1) == lengths[-1] + 1
    assert lengths[0] == 0
    assert lengths[-1] > 0
