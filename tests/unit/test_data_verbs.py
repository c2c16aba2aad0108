"""`tutelage data`: what each verb does to a folder of episodes, and what it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT, executed, frame, record, state
from tutelage.cli import main as command_line
from tutelage.runs.data import (
    InfoConfig,
    LabelConfig,
    ListConfig,
    RepairConfig,
    SplitConfig,
    info,
    label,
    list_episodes,
    repair_episodes,
    split,
)
from tutelage.runs.statistics import StatsConfig, statistics
from tutelage_core.contract import STATE_KEYS
from tutelage_core.episodes.array_pieces import write_piece
from tutelage_core.episodes.frame_cache import FrameCache
from tutelage_core.episodes.labels import judge, read_labels
from tutelage_core.episodes.repair import RepairReport
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError

pytestmark = pytest.mark.unit


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return six episodes of three scenes; the pixels of `wrist` are 100 levels above those of `front`."""
    root = tmp_path / "episodes"
    for number in range(6):
        metadata = replace(METADATA, task="reach" if number < 4 else "push", seed=number // 2, room="test:7")
        record(root, f"e{number}", 3 + number, metadata, offset=10 * number, camera_step=100)
    return root


def test_list_filters_by_task_and_outcome(dataset: Path) -> None:
    label(LabelConfig(dataset / "e1", "failure", "dropped", author="ada"))
    assert len(list_episodes(ListConfig(dataset))) == 6
    assert [row.name for row in list_episodes(ListConfig(dataset, "push"))] == ["e4", "e5"]
    assert [row.name for row in list_episodes(ListConfig(dataset, outcome="failure"))] == ["e1"]
    with pytest.raises(ConfigurationError, match="no such folder"):
        list_episodes(ListConfig(dataset / "nothing"))


def test_damaged_episode_is_listed_whatever_is_asked_for(dataset: Path) -> None:
    (dataset / "e2" / "manifest.json").write_text("nonsense", encoding="utf-8")
    rows = list_episodes(ListConfig(dataset, "push"))
    assert [row.name for row in rows] == ["e2", "e4", "e5"]


def test_info_refuses_what_is_damaged_with_its_name(dataset: Path) -> None:
    manifest, health = info(InfoConfig(dataset / "e0"))
    assert (manifest.metadata.task, health.complaints) == ("reach", ())
    (dataset / "e0" / "episode.mcap").write_bytes(b"short")
    with pytest.raises(EpisodeError, match=r"e0/episode\.mcap: has 5 bytes"):
        info(InfoConfig(dataset / "e0"))


def test_repair_touches_only_what_is_broken(dataset: Path) -> None:
    before = (dataset / "e1" / "episode.mcap").stat().st_mtime_ns
    (dataset / "e0" / "manifest.json").unlink()
    reports: list[RepairReport] = []
    assert repair_episodes(RepairConfig(dataset), reports.append) == 0
    assert [(report.episode, report.outcome) for report in reports] == [("e0", "repaired")]
    assert len(EpisodeStore(dataset).read("e0")) == 3
    assert (dataset / "e1" / "episode.mcap").stat().st_mtime_ns == before


def test_hopeless_repair_is_counted(dataset: Path) -> None:
    (dataset / "e0" / "episode.mcap").write_bytes(b"nothing")
    reports: list[RepairReport] = []
    assert repair_episodes(RepairConfig(dataset), reports.append) == 1
    assert reports[0].outcome == "hopeless"


def test_label_about_a_part_is_kept_as_stamps(dataset: Path) -> None:
    label(LabelConfig(dataset / "e3", phrase="move left", from_s=0.1, to_s=0.3, author="ada"))
    phrase = judge(read_labels(dataset, "e3")).phrases[0]
    assert (phrase.text, phrase.from_ns, phrase.to_ns) == ("move left", 200_000_000, 400_000_000)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "a label says"),
        ({"outcome": "success", "failure": "dropped"}, "no failure kind"),
        ({"phrase": "left", "from_s": 0.1}, "needs both"),
        ({"phrase": "left", "from_s": 0.3, "to_s": 0.1}, "from_s < to_s"),
        ({"phrase": "left", "from_s": 9.0, "to_s": 10.0}, "is 0.5 s long"),
        ({"phrase": "", "from_s": 0.1, "to_s": 0.2}, "needs a phrase"),
    ],
)
def test_label_that_cannot_be_is_refused_and_nothing_is_written(
    dataset: Path, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        label(LabelConfig(dataset / "e3", **settings))  # type: ignore[arg-type]
    assert read_labels(dataset, "e3") == ()


def test_split_keeps_scenes_together_and_moves_nothing_when_episodes_are_added(dataset: Path, tmp_path: Path) -> None:
    parts = (("train", 0.5), ("test", 0.5))
    first = split(SplitConfig(dataset, tmp_path / "first.json", parts))
    assert sorted(name for names in first.values() for name in names) == [f"e{number}" for number in range(6)]
    part_of = {name: part for part, names in first.items() for name in names}
    assert part_of["e0"] == part_of["e1"]
    assert part_of["e2"] == part_of["e3"]
    for number in range(6, 30):
        record(dataset, f"e{number}", 1, replace(METADATA, seed=number, room="test:7"))
    second = split(SplitConfig(dataset, tmp_path / "second.json", parts))
    assert all(name in second[part] for name, part in part_of.items())
    assert min(len(names) for names in second.values()) > 5
    written = json.loads((tmp_path / "second.json").read_text(encoding="utf-8"))
    assert written["parts"] == second
    assert split(SplitConfig(dataset, tmp_path / "third.json", parts, seed=1)) != second


def test_episodes_without_a_room_are_each_a_scene_of_their_own(tmp_path: Path) -> None:
    for number in range(30):
        record(tmp_path / "robot", f"e{number:02}", 1, replace(METADATA, seed=0, room="", policy="hand"))
    found = split(SplitConfig(tmp_path / "robot", tmp_path / "split.json", (("train", 0.5), ("test", 0.5))))
    assert min(len(names) for names in found.values()) > 5


def test_part_that_stays_empty_is_refused_and_what_is_advised_helps(dataset: Path, tmp_path: Path) -> None:
    parts = (("train", 0.98), ("test", 0.02))
    with pytest.raises(ConfigurationError, match=r"part 'test' .*no episode: seed 0 .* 3 scenes") as refusal:
        split(SplitConfig(dataset, tmp_path / "out" / "split.json", parts))
    assert not (tmp_path / "out").exists()
    seed = re.search(r"--seed (\d+)", str(refusal.value))
    assert seed is not None
    assert all(split(SplitConfig(dataset, tmp_path / "split.json", parts, seed=int(seed[1]))).values())


def test_more_parts_than_scenes_are_refused(dataset: Path, tmp_path: Path) -> None:
    parts = tuple((name, 0.25) for name in "abcd")
    with pytest.raises(ConfigurationError, match="3 scenes cannot fill 4 parts; record more scenes") as refusal:
        split(SplitConfig(dataset, tmp_path / "split.json", parts))
    assert "--seed" not in str(refusal.value)
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize("parts", [(), (("train", 0.9),), (("train", 1.2), ("test", -0.2)), (("a", 0.5), ("a", 0.5))])
def test_shares_that_do_not_sum_to_one_are_refused(
    dataset: Path, tmp_path: Path, parts: tuple[tuple[str, float], ...]
) -> None:
    with pytest.raises(ConfigurationError, match="share"):
        split(SplitConfig(dataset, tmp_path / "split.json", parts))
    assert not (tmp_path / "split.json").exists()


def test_split_overwrites_nothing(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="exists"):
        split(SplitConfig(dataset, tmp_path / "split.json"))


def test_statistics_are_those_of_all_values_and_are_counted_once(dataset: Path) -> None:
    found = statistics(StatsConfig(dataset, processes=1))
    episodes = list(EpisodeStore(dataset))
    for key in STATE_KEYS:
        values = np.concatenate([episode.state[key] for episode in episodes])
        np.testing.assert_allclose(found.features[key]["mean"], values.mean(axis=0))
        np.testing.assert_allclose(found.features[key]["std"], values.std(axis=0), atol=1e-12)
    steps = np.concatenate([episode.executed for episode in episodes])
    np.testing.assert_allclose(found.features["executed step"]["max"], steps.max(axis=0))
    for camera in ("front", "wrist"):
        pixels = np.concatenate([episode.images[camera] for episode in episodes]) / 255.0
        np.testing.assert_allclose(np.ravel(found.features[camera]["mean"]), pixels.mean(axis=(0, 1, 2)))
    assert [(row.task, row.episodes, row.steps) for row in found.tasks] == [("push", 2, 15), ("reach", 4, 18)]
    pieces = {path: path.stat().st_mtime_ns for path in dataset.rglob("*.npy")}
    assert len(pieces) == 18
    assert statistics(StatsConfig(dataset, processes=1)) == found
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*.npy")} == pieces


def record_cameras(root: Path, name: str, levels: dict[str, int]) -> None:
    """Record an episode of the twin in which only the cameras of `levels` gave images, each of one level."""
    with EpisodeWriter(root, name, METADATA) as writer:
        for stamp in (PERIOD_NS, 2 * PERIOD_NS):
            for camera, level in levels.items():
                writer.image(camera, frame(stamp, level))
            writer.state(state(stamp))
            writer.executed(executed(stamp))
        writer.close(RESULT)


def test_statistics_of_a_camera_stand_under_its_own_name(tmp_path: Path) -> None:
    record_cameras(tmp_path, "a", {"wrist": 200})
    features = statistics(StatsConfig(tmp_path, processes=1)).features
    assert "front" not in features
    np.testing.assert_allclose(np.ravel(features["wrist"]["mean"]), 200 / 255)


def test_statistics_of_other_cameras_are_refused_by_name(tmp_path: Path) -> None:
    record_cameras(tmp_path, "a", {"front": 10})
    record_cameras(tmp_path, "b", {"wrist": 200})
    with pytest.raises(ContractMismatchError, match="recorded cameras: front in 'a', wrist in 'b'"):
        statistics(StatsConfig(tmp_path, processes=1))
    assert list(tmp_path.rglob("*.npy")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "franka"}, "robot: 'twin' in 'a', 'franka' in 'b'"),
        ({"arm": replace(CONTRACT.arm, joints=tuple("abcdefg"))}, r"joints: joint0, .* in 'a', a, b, .* in 'b'"),
    ],
)
def test_statistics_of_two_robots_are_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    record(tmp_path, "a", 1)
    record(tmp_path, "b", 1, replace(METADATA, contract=replace(CONTRACT, **change)))
    with pytest.raises(ContractMismatchError, match=said):
        statistics(StatsConfig(tmp_path, processes=1))


def test_statistics_of_joints_that_the_contract_denies_are_refused(tmp_path: Path) -> None:
    contract = replace(CONTRACT, arm=replace(CONTRACT.arm, joints=("j",), home_joint_positions=(0.0,)))
    record(tmp_path, "a", 1, replace(METADATA, contract=contract))
    with pytest.raises(ContractMismatchError, match="'joint_positions': 1 values needed, 7 recorded"):
        statistics(StatsConfig(tmp_path, processes=1))


def test_pieces_of_the_old_layout_are_not_misread(dataset: Path) -> None:
    found = statistics(StatsConfig(dataset, processes=1))
    frames = FrameCache(dataset / ".cache")
    for name in EpisodeStore(dataset).names():
        folder = frames.folder(EpisodeStore(dataset).manifest(name))
        write_piece(folder / "histograms.npy", np.zeros((1, 3, 256), dtype=np.int64))
        for piece in folder.rglob("histogram.npy"):
            piece.unlink()
    assert statistics(StatsConfig(dataset, processes=1)) == found


def test_numbers_of_another_width_are_refused_by_name(dataset: Path) -> None:
    statistics(StatsConfig(dataset, processes=1))
    folder = FrameCache(dataset / ".cache").folder(EpisodeStore(dataset).manifest("e1"))
    write_piece(folder / "numbers.npy", np.zeros((4, 12)))
    with pytest.raises(EpisodeError, match=r"episode 'e1': .*numbers\.npy holds 12 numbers .* 43 needed; remove"):
        statistics(StatsConfig(dataset, processes=1))


def test_damaged_label_stops_neither_list_nor_the_naming_of_the_episode(dataset: Path, tmp_path: Path) -> None:
    file = label(LabelConfig(dataset / "e1", "success", author="ada"))
    file.write_bytes(b"\xff" + file.read_bytes())
    rows = list_episodes(ListConfig(dataset))
    assert [row.name for row in rows if row.fault] == ["e1"]
    for refused in (
        lambda: statistics(StatsConfig(dataset, processes=1)),
        lambda: split(SplitConfig(dataset, tmp_path / "split.json")),
    ):
        with pytest.raises(EpisodeError, match=r"e1/labels\.jsonl, line 1: .*tutelage data repair"):
            refused()


def test_command_line_speaks_and_exits_as_it_should(
    dataset: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["tutelage", "data", *arguments])
        with pytest.raises(SystemExit) as left:
            command_line.main()
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out + captured.err

    code, said = run("list", str(dataset))
    assert code == 0
    assert "6 episodes, 6 successes" in said
    code, said = run("label", str(dataset / "e0"), "--outcome", "failure", "--failure", "dropped", "--author", "ada")
    assert (code, "labels.jsonl" in said) == (0, True)
    code, said = run("info", str(dataset / "e0"))
    assert (code, "reach the red cube" in said) == (0, True)
    code, said = run("info", str(dataset / "absent"))
    assert (code, "no such file" in said) == (1, True)
    (dataset / "e5" / "manifest.json").write_text("{", encoding="utf-8")
    code, said = run("list", str(dataset))
    assert (code, "1 damaged" in said) == (1, True)
