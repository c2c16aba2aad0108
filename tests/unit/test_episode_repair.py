"""Repair of recordings: what can be verified is kept, the rest is named, and the original stays where it matters."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, executed, frame, record, state
from tutelage_core.episodes import repair as repairing
from tutelage_core.episodes import writer as writing
from tutelage_core.episodes.claim import Claim
from tutelage_core.episodes.labels import Label, RewardScores, add_label, read_labels
from tutelage_core.episodes.reader import read_episode
from tutelage_core.episodes.relabel import carry_labels
from tutelage_core.episodes.repair import INTERRUPTED, repair, unfinished
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import EpisodeError

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let some four control periods make a chunk, so that small files have many."""
    monkeypatch.setattr(writing, "CHUNK_BYTES", 4_000)


def killed_recording(root: Path, name: str, steps: int, *, checkpoint: bool) -> Path:
    """Return the folder of an episode whose writer was killed after `steps` control periods."""
    child = os.fork()
    if child == 0:
        writer = EpisodeWriter(root, name, METADATA)
        for number in range(1, steps + 1):
            for camera in METADATA.contract.cameras:
                writer.image(camera, frame(number * PERIOD_NS))
            writer.state(state(number * PERIOD_NS, float(number)))
            writer.executed(executed(number * PERIOD_NS, float(number)))
        if checkpoint:
            writer.checkpoint()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    return root / f"{name}.partial"


def test_what_a_killed_writer_had_on_the_disk_becomes_an_episode(tmp_path: Path) -> None:
    partial = killed_recording(tmp_path, "a", 20, checkpoint=True)
    add_label(tmp_path, "a", Label(1, success=True, author="ada"))
    assert unfinished(tmp_path) == ("a",)
    report = repair(tmp_path, "a")
    assert (report.outcome, report.control_periods, report.original) == ("repaired", 20, "")
    assert report.left_out == ("what was in memory when its writer died",)
    episode = EpisodeStore(tmp_path).read("a")
    assert len(episode) == 20
    np.testing.assert_array_equal(episode.executed[:, 0], np.arange(1.0, 21.0))
    assert (episode.result.termination, episode.result.steps, episode.result.success) == (INTERRUPTED, 20, False)
    assert episode.metadata == METADATA
    assert read_labels(tmp_path, "a")[0].author == "ada"
    assert not partial.exists()
    assert unfinished(tmp_path) == ()
    assert repair(tmp_path, "a").outcome == "sound"


def test_only_the_open_chunk_is_lost_without_a_checkpoint(tmp_path: Path) -> None:
    killed_recording(tmp_path, "a", 50, checkpoint=False)
    report = repair(tmp_path, "a")
    assert 35 <= report.control_periods < 50
    assert len(EpisodeStore(tmp_path).read("a")) == report.control_periods


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6])
def test_truncated_recording_keeps_all_that_is_before_the_cut(tmp_path: Path, share: float) -> None:
    folder = record(tmp_path, "a", 30)
    data = (folder / "episode.mcap").read_bytes()
    (folder / "episode.mcap").write_bytes(data[: int(share * len(data))])
    report = repair(tmp_path, "a")
    assert report.outcome == "repaired"
    assert report.original == ".damaged/a-1"
    episode = EpisodeStore(tmp_path).read("a")
    assert len(episode) == report.control_periods > 20 * (share - 0.2)
    np.testing.assert_array_equal(episode.executed[:, 6], np.arange(float(len(episode))))
    assert episode.result.termination == "success"  # as the manifest of the original says
    kept = tmp_path / ".damaged" / "a-1" / "episode.mcap"
    assert kept.read_bytes() == data[: int(share * len(data))]
    assert EpisodeStore(tmp_path).names() == ("a",)


def test_flipped_bit_costs_one_chunk_and_the_shorter_side_of_it(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 60)
    path = folder / "episode.mcap"
    data = bytearray(path.read_bytes())
    middle = data.index(b"\x28\xb5\x2f\xfd", len(data) // 4)  # where a compressed chunk begins
    data[middle + 200] ^= 0x10
    path.write_bytes(bytes(data))
    with pytest.raises(EpisodeError, match="wrong checksum"):
        read_episode(folder)
    report = repair(tmp_path, "a")
    assert report.left_out[0] == "1 chunks whose checksum does not hold"
    assert "messages outside of the longest run" in report.left_out[1]
    assert 30 <= report.control_periods < 50
    steps = EpisodeStore(tmp_path).read("a").executed[:, 6]
    assert steps[-1] == 59.0, "what is behind the damage is longer than what is before"
    assert (np.diff(steps) == 1).all()


def test_no_damage_makes_a_repair_invent_or_crash(tmp_path: Path) -> None:
    """Whatever is damaged: the episode is made again from what is sound, or declared hopeless and left alone."""
    sound = (record(tmp_path / "original", "a", 30) / "episode.mcap").read_bytes()
    true_steps = np.arange(30.0)
    rng = np.random.default_rng(3)
    outcomes: list[str] = []
    for number in range(60):
        root = tmp_path / str(number)
        folder = record(root, "a", 30)
        data = bytearray(sound)
        if number % 3 == 0:
            data = data[: int(rng.integers(len(data)))]
        for _ in range(number % 3):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        (folder / "episode.mcap").write_bytes(bytes(data))
        report = repair(root, "a")
        outcomes.append(report.outcome)
        if report.outcome == "hopeless":
            assert (folder / "episode.mcap").read_bytes() == bytes(data)
            continue
        episode = EpisodeStore(root).read("a")
        assert set(episode.executed[:, 6]) <= set(true_steps)
        assert (np.diff(episode.executed[:, 6]) == 1).all(), "no gap: a window across it would teach what never was"
        np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 0], episode.executed[:, 6])
        np.testing.assert_array_equal(episode.state["tcp_position"][:, 0], episode.executed[:, 6])
    assert outcomes.count("repaired") > 30


def test_aborted_and_living_recordings_are_left_alone(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, "given-up", METADATA) as writer:
        writer.state(state(1))
        writer.executed(executed(1))
    living = EpisodeWriter(tmp_path, "living", METADATA)
    assert unfinished(tmp_path) == ()
    with pytest.raises(EpisodeError, match="is being written"):
        repair(tmp_path, "living")
    living.abort("end of the test")
    assert repair(tmp_path, "given-up").outcome == "repaired"  # if somebody asks for it by name


def test_recording_without_a_single_step_is_hopeless_and_says_so_once(tmp_path: Path) -> None:
    partial = killed_recording(tmp_path, "a", 0, checkpoint=True)
    assert unfinished(tmp_path) == ("a",)
    report = repair(tmp_path, "a")
    assert report.outcome == "hopeless"
    assert "hopeless" in str(report)
    assert partial.is_dir()
    assert unfinished(tmp_path) == ()
    assert "its writer died" in EpisodeStore(tmp_path).partial()[0].reason


def test_foreign_file_is_hopeless(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 3)
    (folder / "episode.mcap").write_bytes(b"RIFF, no recording at all" * 100)
    assert repair(tmp_path, "a").outcome == "hopeless"
    assert (folder / "episode.mcap").read_bytes().startswith(b"RIFF")


MOMENTS = ("while it copies", "before the original moves", "between the two moves", "before the original goes")


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("moment", MOMENTS)
def test_repair_that_is_killed_at_any_moment_is_made_good_by_the_next(tmp_path: Path, moment: str, kept: bool) -> None:
    """A child repairs and is killed at that moment; `kept`: the original has a damage, so it must be kept."""
    partial = killed_recording(tmp_path, "a", 40, checkpoint=True)
    if kept:
        with (partial / "episode.mcap").open("ab") as file:
            file.write(b"torn record")
    child = os.fork()
    if child == 0:
        die_at(moment)
        repair(tmp_path, "a")
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the moment never came"
    if moment != "before the original goes":
        assert unfinished(tmp_path) == ("a",)
    assert set(EpisodeStore(tmp_path).names()) <= {"a"}
    repair(tmp_path, "a")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == ({"a", ".damaged"} if kept else {"a"})
    assert len(EpisodeStore(tmp_path).read("a")) == 40


def die_at(moment: str) -> None:
    """Let this process end without a word at that moment of the next repair."""

    def killing(function: Callable[..., Any], count: int) -> Callable[..., Any]:
        calls = 0

        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    if moment == "while it copies":
        EpisodeWriter.write = killing(EpisodeWriter.write, 50)  # type: ignore[method-assign]
    elif moment == "before the original goes":
        shutil.rmtree = killing(shutil.rmtree, 4)
    else:
        # the new recording's own rename is the first
        Path.rename = killing(Path.rename, 2 if moment == "before the original moves" else 3)  # type: ignore[method-assign]


def test_two_repairs_at_once_do_not_meet(tmp_path: Path) -> None:
    killed_recording(tmp_path, "a", 20, checkpoint=True)
    other = Claim(tmp_path)
    with pytest.raises(EpisodeError, match="another repair is at work"):
        repair(tmp_path, "a")
    other.end()
    assert repair(tmp_path, "a").outcome == "repaired"


def test_recorder_killed_between_manifest_and_rename_keeps_its_result(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 5)
    before = (folder / "episode.mcap").read_bytes()
    folder.rename(tmp_path / "a.partial")
    assert unfinished(tmp_path) == ("a",)
    report = repair(tmp_path, "a")
    assert (report.outcome, report.control_periods, report.left_out) == ("repaired", 5, ())
    episode = EpisodeStore(tmp_path).read("a")
    assert episode.result == replace(RESULT, steps=5)
    assert (tmp_path / "a" / "episode.mcap").read_bytes() == before


def test_folder_that_a_writer_has_just_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    assert unfinished(tmp_path) == ()


def test_everything_before_the_first_step_stays_in_the_recording(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, "a", METADATA) as writer:
        for number in range(1, 100):
            writer.state(state(number * PERIOD_NS))
        writer.image("front", frame(100 * PERIOD_NS))
        writer.executed(executed(100 * PERIOD_NS))
        folder = writer.close(RESULT)
    with (folder / "episode.mcap").open("r+b") as file:
        file.truncate((folder / "episode.mcap").stat().st_size - 5)
    report = repair(tmp_path, "a")
    assert report.messages == 101
    assert not any("outside" in said for said in report.left_out)


def test_steps_that_come_twice_or_late_are_left_out_and_counted(tmp_path: Path) -> None:
    with EpisodeWriter(tmp_path, "a", METADATA) as writer:
        for stamp in (1, 2, 3, 3, 2, 4, 5, 6):
            writer.state(state(stamp * PERIOD_NS))
            writer._last_executed_ns = -1  # another program's writer
            writer.executed(executed(stamp * PERIOD_NS, float(stamp)))
        folder = writer.close(RESULT)
    with pytest.raises(EpisodeError, match="same stamp"):
        read_episode(folder)
    (folder / "manifest.json").unlink()
    report = repair(tmp_path, "a")
    assert report.outcome == "repaired"
    assert report.original == ".damaged/a-1"
    steps = EpisodeStore(tmp_path).read("a").executed[:, 0]
    assert (np.diff(steps) == 1).all()


@pytest.mark.parametrize("what", ["state of another arm", "step of nobody"])
def test_message_that_no_reader_could_use_does_not_spoil_the_repaired_episode(tmp_path: Path, what: str) -> None:
    with EpisodeWriter(tmp_path, "a", METADATA) as writer:
        for number in range(1, 20):
            for camera in METADATA.contract.cameras:
                writer.image(camera, frame(number * PERIOD_NS))
            writer.state(state(number * PERIOD_NS))
            writer.executed(executed(number * PERIOD_NS))
        odd_ns = 20 * PERIOD_NS
        if what == "state of another arm":
            other = replace(state(odd_ns), joint_positions=np.zeros(3), joint_velocities=np.zeros(3))
            writer.state(other)
            writer.executed(executed(odd_ns))
        else:
            writer.executed(replace(executed(odd_ns), source=77))  # type: ignore[arg-type]
        folder = writer.close(RESULT)
    with pytest.raises(EpisodeError):
        read_episode(folder)
    (folder / "manifest.json").unlink()
    report = repair(tmp_path, "a")
    assert "1 messages that are damaged or that no reader could use" in report.left_out
    assert len(EpisodeStore(tmp_path).read("a")) == (20 if what == "state of another arm" else 19)


def test_labels_go_with_the_episode_and_rewards_with_their_control_periods(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 30)
    add_label(tmp_path, "a", Label(1, success=True, author="ada"))
    add_label(tmp_path, "a", Label(2, author="kagi", rewards=RewardScores("kagi", tuple(float(n) for n in range(30)))))
    data = (folder / "episode.mcap").read_bytes()
    (folder / "episode.mcap").write_bytes(data[: len(data) // 2])
    report = repair(tmp_path, "a")
    labels = read_labels(tmp_path, "a")
    assert labels[0].success is True
    # the lost half's periods are not known any more, so nobody knows which reward is whose
    assert len(labels) == 1
    assert any("rewards of kagi" in said for said in report.left_out)


def test_rewards_are_cut_where_their_periods_are_known(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 30)
    values = tuple(float(number) for number in range(30))
    add_label(tmp_path, "a", Label(2, author="kagi", rewards=RewardScores("kagi", values)))
    fresh = tmp_path / "b"
    fresh.mkdir()
    stamps = read_episode(folder, cameras=()).stamps_ns.tolist()
    assert carry_labels(folder, fresh, stamps, stamps[10:20]) == ()
    (fresh / "manifest.json").write_text("{}", encoding="utf-8")
    rewards = read_labels(tmp_path, "b")[0].rewards
    assert rewards is not None
    assert rewards.values == values[10:20]


def test_repair_without_room_is_refused_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_recording(tmp_path, "a", 20, checkpoint=True)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1_000_000))
    with pytest.raises(EpisodeError, match="1 MB are free, to repair 'a' takes 200 MB"):
        repair(tmp_path, "a")
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial"]


@pytest.mark.parametrize("name", ["..", "../other", "", ".hidden", "a/b"])
def test_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EpisodeError, match="not legal"):
        repair(tmp_path, name)


def test_episode_whose_name_sounds_like_a_repair_is_an_episode(tmp_path: Path) -> None:
    record(tmp_path, "x", 3)
    record(tmp_path, "x.repairing", 3)
    assert unfinished(tmp_path) == ()
    assert repair(tmp_path, "x").outcome == repair(tmp_path, "x.repairing").outcome == "sound"
    assert EpisodeStore(tmp_path).names() == ("x", "x.repairing")


def test_episode_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no episode 'b'"):
        repair(tmp_path, "b")


def test_cost_of_a_repair_grows_with_its_length_and_no_faster(tmp_path: Path) -> None:
    """A guard against a quadratic walk: eight times the steps, less than sixteen times the processor time."""
    costs: list[float] = []
    for number, steps in enumerate((250, 2000)):
        killed_recording(tmp_path, f"e{number}", steps, checkpoint=True)
        begun = time.process_time()
        repair(tmp_path, f"e{number}")
        costs.append(time.process_time() - begun)
    assert costs[1] < 16 * costs[0]


def test_damaged_folder_names_never_collide(tmp_path: Path) -> None:
    for round_number in (1, 2):
        folder = record(tmp_path, f"a{round_number}", 30)
        target = tmp_path / "a"
        if target.exists():
            target.rename(tmp_path / f"kept-{round_number}")
        folder.rename(target)
        data = (target / "episode.mcap").read_bytes()
        (target / "episode.mcap").write_bytes(data[: len(data) // 2])
        assert repair(tmp_path, "a").original == f"{repairing.DAMAGED_FOLDER}/a-{round_number}"
