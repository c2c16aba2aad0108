"""An actor's outbox: bounded, kept on disk, sent until it is acknowledged, and whole after a kill at any instant."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from policies.hil_serl.acknowledgement import Acknowledgement, WeightsVersion
from policies.hil_serl.outbox import Outbox, OutboxConfig, Parcel
from policies.hil_serl.segments import Progress
from policies.hil_serl.step_codec import StepCodec
from policies.hil_serl.transition import ReplayError
from tests.unit.hil_serl_replay_samples import IDENTITY, observed, segment_of, step
from tests.unit.test_hil_serl_replay_store import same
from tutelage_core.errors import CheckpointError, ConfigurationError, ContractMismatchError

pytestmark = pytest.mark.unit

CODEC = StepCodec(IDENTITY)
S = 1_000_000_000
WAITS = OutboxConfig(limit_steps=8, window=4, first_wait_s=1.0, longest_wait_s=4.0)


def said(segment: int = -1, next_index: int = 0, *, is_open: bool = True, start: int = 1, **fields) -> Acknowledgement:
    """Return a word of the learner; without a segment it knows nothing of this actor."""
    progress = {} if segment < 0 else {"a": Progress(segment, next_index, is_open)}
    return Acknowledgement(**{"run": "r", "newest": WeightsVersion(start, 0), "progress": progress, **fields})


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    box = Outbox(tmp_path / "box", "a", CODEC, WAITS)
    box.acknowledge(said(), 0)
    yield box
    box.close()


def places(sent: list[Parcel]) -> list[tuple[int, int]]:
    assert all(CODEC.label(parcel.data) == parcel.label for parcel in sent)
    return [parcel.place for parcel in sent]


def fill(box: Outbox, *steps) -> None:
    for one in steps:
        box.put(one, updates=0)


def test_nothing_is_sent_before_the_learner_has_spoken(tmp_path: Path):
    box = Outbox(tmp_path, "a", CODEC)
    fill(box, step(1))
    assert "no learner has spoken" in box.objection()
    assert box.to_send(0) == []
    box.close()


def test_steps_are_sent_once_in_order_and_no_more_than_the_window_at_once(outbox: Outbox):
    fill(outbox, *segment_of(0, 6, end="open"))
    assert places(outbox.to_send(0)) == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert outbox.to_send(1) == []
    outbox.acknowledge(said(0, 3), 2)
    assert places(outbox.to_send(3)) == [(0, 4), (0, 5)]
    assert len(outbox) == 3


def test_what_is_not_acknowledged_is_sent_again_each_time_after_a_longer_wait(outbox: Outbox):
    fill(outbox, *segment_of(0, 2))
    begun = [at_s / 10 for at_s in range(200) if outbox.to_send(at_s * S // 10)]
    waits = [round(b - a, 1) for a, b in itertools.pairwise(begun)]
    assert waits[:4] == [1.0, 2.0, 4.0, 4.0]
    assert outbox.resent == 2 * (len(begun) - 1)
    outbox.acknowledge(said(0, 1), 20 * S)
    assert outbox.to_send(20 * S + S // 2) == []
    assert places(outbox.to_send(21 * S)) == [(0, 1)], "progress makes the wait short again"


def test_learner_that_was_started_again_is_served_at_once(outbox: Outbox):
    fill(outbox, *segment_of(0, 3))
    assert len(outbox.to_send(0)) == 3
    outbox.acknowledge(said(0, 1), 1)
    assert outbox.to_send(2) == []
    outbox.acknowledge(said(0, 1, start=2), 3)
    assert places(outbox.to_send(4)) == [(0, 1), (0, 2)]


def test_full_outbox_says_so_and_drops_nothing(outbox: Outbox):
    fill(outbox, *segment_of(0, 4))
    assert outbox.objection() == ""
    fill(outbox, *segment_of(10, 2, segment=1, end="open"))
    assert "6 steps" in outbox.objection()
    assert not outbox.is_full
    fill(outbox, *[step(12 + i, segment=1, index=2 + i) for i in range(2)])
    assert outbox.is_full
    outbox.acknowledge(said(0, 4, is_open=False), 0)
    assert outbox.objection() == ""
    assert len(outbox) == 4


def test_large_steps_fill_it_by_their_size(tmp_path: Path):
    size = len(CODEC.encode(step(1), updates=0))
    box = Outbox(tmp_path, "a", CODEC, OutboxConfig(limit_mib=3 * size / 2**20))
    box.acknowledge(said(), 0)
    fill(box, step(0), step(1, index=1))
    assert "wait for the learner" in box.objection()
    assert box.bytes == 2 * size
    box.close()


def test_steps_that_no_learner_takes_never_come_in(outbox: Outbox):
    bad = observed(3)
    bad.state[0] = float("nan")
    for wrong in (
        replace(step(3), observation=bad),
        step(3, actor="b"),
        step(3, index=1),
        step(3, segment=1),
    ):
        with pytest.raises(ReplayError):
            outbox.put(wrong, updates=0)
    assert len(outbox) == 0
    fill(outbox, step(0))
    with pytest.raises(ReplayError, match="next one"):
        outbox.put(step(3, segment=1), updates=0)  # the open segment was cut, and that has to be said
    fill(outbox, step(3, segment=1, after_restart=True))


def test_killed_actor_sends_all_that_it_had_and_goes_on_counting(tmp_path: Path):
    first = Outbox(tmp_path, "a", CODEC, WAITS)
    first.acknowledge(said(), 0)
    sent = [*segment_of(0, 3), *segment_of(10, 2, segment=1, end="open")]
    fill(first, *sent)
    first.to_send(0)
    first._journal._lock.close()  # as the kernel does when the process is killed: nothing else is told
    again = Outbox(tmp_path, "a", CODEC, OutboxConfig())
    assert (len(again), again.next_segment, again.is_cut) == (5, 2, True)
    again.acknowledge(said(0, 2), 1)
    resent = again.to_send(2)
    assert all(same(CODEC.decode(p.data), s) for p, s in zip(resent, sent[2:], strict=True))
    again.close()


def test_actor_whose_folder_was_lost_goes_on_after_what_the_learner_knows(tmp_path: Path):
    box = Outbox(tmp_path, "a", CODEC)
    box.acknowledge(said(7, 3), 0)
    assert (box.next_segment, box.is_cut) == (8, True)
    box.acknowledge(said(7, 4, is_open=False), 0)
    assert (box.next_segment, box.is_cut) == (8, False)
    box.close()


def test_segment_that_never_had_a_step_leaves_no_gap(tmp_path: Path):
    box = Outbox(tmp_path, "a", CODEC)
    box.acknowledge(said(), 0)
    fill(box, *segment_of(0, 2))
    (tmp_path / "segment-00000001.steps").touch()  # killed between the file and its first record
    box.close()
    again = Outbox(tmp_path, "a", CODEC)
    assert (again.next_segment, again.is_cut) == (1, False)
    again.close()


@pytest.mark.parametrize("cut", [1, 7, 40, -1])
def test_torn_record_is_cut_away(tmp_path: Path, cut: int):
    box = Outbox(tmp_path, "a", CODEC)
    fill(box, *segment_of(0, 2, end="open"))
    file = tmp_path / "segment-00000000.steps"
    whole = file.stat().st_size
    fill(box, step(2, index=2))
    box.close()
    torn = file.read_bytes()
    file.write_bytes(torn[: whole + cut] if cut > 0 else torn[:cut])
    again = Outbox(tmp_path, "a", CODEC)
    assert len(again) == 2
    assert file.stat().st_size == whole
    again.close()


def test_bit_that_flipped_in_an_earlier_segment_is_told_not_skipped(tmp_path: Path):
    box = Outbox(tmp_path, "a", CODEC)
    fill(box, *segment_of(0, 3), *segment_of(10, 2, segment=1))
    box.close()
    file = tmp_path / "segment-00000000.steps"
    data = bytearray(file.read_bytes())
    data[-10] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="lacks its end"):
        Outbox(tmp_path, "a", CODEC)


def test_two_actors_cannot_share_a_folder(outbox: Outbox, tmp_path: Path):
    with pytest.raises(CheckpointError, match="another actor has this outbox open"):
        Outbox(tmp_path / "box", "a", CODEC)


def test_outbox_of_another_robot_is_refused_by_name(tmp_path: Path):
    box = Outbox(tmp_path, "a", CODEC)
    fill(box, step(0))
    box.close()
    with pytest.raises(ContractMismatchError, match="robot: franka here, twin there"):
        Outbox(tmp_path, "a", StepCodec(replace(IDENTITY, robot="franka")))
    # and the refusal has let go of it
    Outbox(tmp_path, "a", CODEC).close()


def test_steps_of_one_run_never_go_to_the_learner_of_another(outbox: Outbox):
    fill(outbox, *segment_of(0, 2))
    outbox.acknowledge(said(run="other"), 0)
    assert outbox.to_send(1) == []
    assert "for the learner of run r" in outbox.objection()
    outbox.acknowledge(said(0, 2, is_open=False), 2)
    assert len(outbox) == 0
    outbox.acknowledge(said(run="other"), 3)
    assert outbox.objection() == "", "with nothing left it is free for another run"


def test_refusal_of_the_learner_is_passed_on(outbox: Outbox):
    outbox.acknowledge(said(refusals={"a": "step 0: another robot"}), 0)
    assert "another robot" in outbox.objection()
    outbox.acknowledge(said(refusals={"b": "not ours"}), 0)
    assert outbox.objection() == ""


def test_files_of_acknowledged_segments_go_and_the_newest_stays_for_its_number(outbox: Outbox, tmp_path: Path):
    fill(outbox, *segment_of(0, 2), *segment_of(10, 2, segment=1), *segment_of(20, 2, segment=2))
    assert len(list((tmp_path / "box").glob("*.steps"))) == 3
    outbox.acknowledge(said(1, 1), 0)
    assert sorted(p.name for p in (tmp_path / "box").glob("*.steps")) == [
        "segment-00000001.steps",
        "segment-00000002.steps",
    ]
    outbox.acknowledge(said(2, 2, is_open=False), 0)
    outbox.close()
    again = Outbox(tmp_path / "box", "a", CODEC)
    assert again.next_segment == 3
    again.close()


def _with_full_disk(folder: Path) -> None:
    box = Outbox(folder, "a", CODEC)
    box.acknowledge(said(), 0)
    fill(box, *segment_of(0, 2, end="open"))
    size = (folder / "segment-00000000.steps").stat().st_size
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, size + 10))
    fill(box, step(2, index=2), step(3, index=3, truncated=True))
    assert "make room" in box.objection()
    assert len(box.to_send(0)) == 4, "what the disk did not take is in memory and is sent"


def test_full_disk_is_told_and_loses_nothing_while_the_actor_lives(tmp_path: Path):
    child = multiprocessing.get_context("fork").Process(target=_with_full_disk, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == 0
    again = Outbox(tmp_path, "a", CODEC)
    assert (len(again), again.is_cut) == (2, True)
    again.close()


def _write_for_ever(folder: Path, connection) -> None:
    box = Outbox(folder, "a", CODEC)
    for segment in range(10_000):
        for one in segment_of(segment * 20, 7, segment=segment):
            box.put(one, updates=0)
            connection.send_bytes(one.index.to_bytes(4, "little") + segment.to_bytes(4, "little"))


@pytest.mark.parametrize("turn", range(6))
def test_actor_killed_at_any_instant_leaves_all_that_it_had_put_in(tmp_path: Path, turn: int):
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_write_for_ever, args=(tmp_path, theirs))
    child.start()
    theirs.close()
    mine.recv_bytes()
    time.sleep(0.01 + 0.017 * turn)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    last = (0, 0)
    try:
        while True:
            told = mine.recv_bytes()
            last = (int.from_bytes(told[4:], "little"), int.from_bytes(told[:4], "little"))
    except EOFError:
        pass
    box = Outbox(tmp_path, "a", CODEC, OutboxConfig(limit_steps=100_000, window=100_000))
    box.acknowledge(said(), 0)
    found = places(box.to_send(0))
    assert found == [(n // 7, n % 7) for n in range(len(found))], "without a gap, in order"
    # a step that was told may be the one after which the kill came; one more may have been written and not told
    assert last[0] * 7 + last[1] + 1 <= len(found) <= last[0] * 7 + last[1] + 2
    box.close()


@pytest.mark.parametrize(
    "wrong",
    [{"limit_steps": 1}, {"window": 0}, {"limit_mib": 0.0}, {"first_wait_s": 0.0}, {"first_wait_s": 30.0}],
)
def test_settings_that_keep_or_send_nothing_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="OutboxConfig"):
        OutboxConfig(**wrong)
