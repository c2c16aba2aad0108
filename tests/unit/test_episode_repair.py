"""Repair of recordings: what can be verified is kept, the rest is named, and the original stays where it matters."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.episode_samples import METADATA, PERIOD_NS, RESULT, executed, frame, record, state
from tutelage_core.episodes import repair as repairing
from tutelage_core.episodes import writer as writing
from tutelage_core.episodes.labels import Label, add_label, read_labels
from tutelage_core.episodes.reader import read_episode
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
    assert "control periods that do not hang together" in report.left_out[1]
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
    assert "no control period" in str(report)
    assert partial.is_dir()
    assert unfinished(tmp_path) == ()
    assert "no control period" in EpisodeStore(tmp_path).partial()[0].reason


def test_foreign_file_is_hopeless(tmp_path: Path) -> None:
    folder = record(tmp_path, "a", 3)
    (folder / "episode.mcap").write_bytes(b"RIFF, no recording at all" * 100)
    assert repair(tmp_path, "a").outcome == "hopeless"
    assert (folder / "episode.mcap").read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize("moment", ["mid-copy", "closed", "original moved"])
def test_repair_that_was_itself_killed_is_made_good_by_the_next(
    tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_recording(tmp_path, "a", 20, checkpoint=True)
    if moment == "mid-copy":
        EpisodeWriter(tmp_path, "a.repairing", METADATA).abort("killed")
        (tmp_path / "a.repairing.partial" / "abort.json").unlink()
    else:
        with EpisodeWriter(tmp_path, "a.repairing", METADATA, called="a") as writer:
            for number in range(1, 21):
                for camera in METADATA.contract.cameras:
                    writer.image(camera, frame(number * PERIOD_NS))
                writer.state(state(number * PERIOD_NS))
                writer.executed(executed(number * PERIOD_NS))
            writer.close(replace(RESULT, steps=20))
    if moment == "original moved":
        (tmp_path / "a.partial").rename(tmp_path / ".a.replaced")
    assert unfinished(tmp_path) == ("a",)
    repair(tmp_path, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    assert len(EpisodeStore(tmp_path).read("a")) == 20


def test_episode_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no episode 'b'"):
        repair(tmp_path, "b")


def test_repair_of_many_takes_no_longer_than_reading_them(tmp_path: Path) -> None:
    """A guard against a quadratic walk: ten times the chunks, less than thirty times the processor time."""
    costs: list[float] = []
    for number, steps in enumerate((30, 300)):
        killed_recording(tmp_path, f"e{number}", steps, checkpoint=True)
        begun = time.process_time()
        repair(tmp_path, f"e{number}")
        costs.append(time.process_time() - begun)
    assert costs[1] < 30 * costs[0]


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
