"""Export to a LeRobot data set: what stands where, that it goes on after a kill, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.unit.episode_samples import METADATA, record
from tests.unit.lerobot_samples import FAST, ROBOT, export_all, record_all, record_rich, rows_of
from tutelage.runs.lerobot import ExportConfig, export
from tutelage_core.episodes.labels import Label, RewardScores, add_label
from tutelage_core.episodes.lerobot.assemble import assemble
from tutelage_core.episodes.lerobot.episode_export import export_episode
from tutelage_core.episodes.lerobot.piece import partial_folder, piece_folder
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    return record_all(tmp_path_factory.mktemp("episodes"))


@pytest.fixture(scope="module")
def exported(store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("lerobot") / "cubes"
    export_all(store, output, replace(FAST, reward_model="kagi"))
    return output


def info_of(output: Path) -> dict[str, Any]:
    return json.loads((output / "meta" / "info.json").read_text())


def test_info_says_what_the_data_set_holds(exported: Path) -> None:
    info = info_of(exported)
    assert info["codebase_version"] == "v3.0"
    assert (info["fps"], info["robot_type"]) == (10, "twin")
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 20, 2)
    assert info["features"]["observation.images.front"]["info"]["video.codec"] == "av1"
    assert not partial_folder(exported).exists()


def test_rows_hold_what_was_executed_seen_and_who_drove(exported: Path, store: EpisodeStore) -> None:
    rows = rows_of(exported / "data")
    assert [row["index"] for row in rows] == list(range(20))
    for number, episode in enumerate(store):
        mine = [row for row in rows if row["episode_index"] == number]
        np.testing.assert_array_equal([row["action"] for row in mine], episode.executed.astype(np.float32))
        state = np.concatenate([episode.state[key] for key in ROBOT.state_keys], axis=1)
        np.testing.assert_array_equal([row["observation.state"] for row in mine], state.astype(np.float32))
        assert [row["complementary_info.source"] for row in mine] == episode.sources.tolist()
        assert [row["frame_index"] for row in mine] == list(range(len(episode)))
        np.testing.assert_array_equal([row["timestamp"] for row in mine], (np.arange(len(episode)) / 10).astype("f4"))
        assert [row["next.done"] for row in mine] == [False] * (len(episode) - 1) + [True]


def test_label_goes_before_the_result_when_success_is_asked(exported: Path) -> None:
    last = [row for row in rows_of(exported / "data") if row["next.done"]]
    assert [row["next.success"] for row in last] == [True, False, True]  # lift-1 ended well, but Ann says it did not


def test_missing_reward_is_zero_and_marked(exported: Path) -> None:
    rows = rows_of(exported / "data")
    assert [row["complementary_info.reward_given"] for row in rows] == [False] * 11 + [True] * 8 + [False]
    np.testing.assert_allclose(
        [row["next.reward"] for row in rows[11:]], [*(0.1 * n for n in range(8)), 0.0], rtol=1e-6
    )
    assert {row["next.reward"] for row in rows[:11]} == {0.0}


def test_episodes_tell_where_their_rows_and_frames_are(exported: Path) -> None:
    episodes = rows_of(exported / "meta" / "episodes")
    assert [(e["dataset_from_index"], e["dataset_to_index"], e["length"]) for e in episodes] == [
        (0, 7, 7),
        (7, 11, 4),
        (11, 20, 9),
    ]
    key = "videos/observation.images.wrist"
    spans = [(e[f"{key}/from_timestamp"], e[f"{key}/to_timestamp"]) for e in episodes]
    np.testing.assert_allclose(spans, [(0.0, 0.7), (0.7, 1.1), (1.1, 2.0)])
    assert [e["tasks"] for e in episodes] == [["lift the cube"], ["lift the cube"], ["place the cube"]]


def test_video_shows_each_frame_at_its_time(exported: Path, store: EpisodeStore) -> None:
    path = exported / "videos" / "observation.images.front" / "chunk-000" / "file-000.mp4"
    with av.open(str(path)) as video:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
    np.testing.assert_allclose([time for time, _ in frames], np.arange(20) / 10)
    ours = np.concatenate([episode.images["front"] for episode in store])
    errors = [np.abs(ours.astype(int) - seen).mean(axis=(1, 2, 3)).argmin() for _, seen in frames]
    assert errors[7:11] == list(range(4))  # the first one of equal pictures: each episode begins with the same
    assert errors[:7] == list(range(7))


def test_statistics_are_those_of_the_written_numbers(exported: Path) -> None:
    rows = rows_of(exported / "data")
    whole = json.loads((exported / "meta" / "stats.json").read_text())
    action = np.array([row["action"] for row in rows])
    np.testing.assert_allclose(whole["action"]["mean"], action.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole["action"]["q10"], np.quantile(action, 0.1, axis=0), rtol=1e-12)
    assert whole["action"]["count"] == [20]
    second = rows_of(exported / "meta" / "episodes")[1]
    np.testing.assert_allclose(second["stats/action/std"], action[7:11].std(axis=0), rtol=1e-12)
    assert second["stats/index/min"] == [7.0]
    assert set(whole) == set(info_of(exported)["features"]) - {"language_persistent"}


def test_statistics_of_images_are_those_of_what_was_recorded(exported: Path, store: EpisodeStore) -> None:
    whole = json.loads((exported / "meta" / "stats.json").read_text())["observation.images.wrist"]
    pixels = np.concatenate([episode.images["wrist"].reshape(-1, 3) for episode in store]) / 255.0
    np.testing.assert_allclose(np.reshape(whole["mean"], 3), pixels.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(np.reshape(whole["q99"], 3), np.quantile(pixels, 0.99, axis=0), rtol=1e-9)
    assert whole["count"] == [20]


def test_phrases_become_motion_rows_on_every_frame_of_their_episode(exported: Path) -> None:
    rows = rows_of(exported / "data")
    said = [[(r["timestamp"], r["content"], r["style"]) for r in row["language_persistent"]] for row in rows]
    times = np.array([0.0, 0.2, 0.3, 0.5], dtype=np.float32).tolist()
    assert said[:7] == [[(times[0], "down", "motion"), (times[1], "left", "motion"), (times[2], None, "motion")]] * 7
    assert said[7:11] == [[]] * 4
    assert said[11:] == [[(times[1], "open the gripper", "motion"), (times[3], None, "motion")]] * 9


def test_no_column_of_phrases_where_there_are_none_or_none_are_wanted(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "none", FAST, ("lift-1",))
    export_all(store, tmp_path / "unwanted", replace(FAST, language=False))
    for output in (tmp_path / "none", tmp_path / "unwanted"):
        assert "language_persistent" not in info_of(output)["features"]
        assert "language_persistent" not in rows_of(output / "data")[0]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_other_codecs_keep_their_frames_in_order(store: EpisodeStore, tmp_path: Path, codec: Any) -> None:
    export_all(store, tmp_path / "out", replace(FAST, codec=codec, crf=20))
    path = tmp_path / "out" / "videos" / "observation.images.front" / "chunk-000" / "file-000.mp4"
    with av.open(str(path)) as video:
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
    np.testing.assert_allclose([time for time, _ in frames], np.arange(20) / 10)
    ours = np.concatenate([episode.images["front"] for episode in store]).astype(int)
    assert max(np.abs(one - seen).mean() for one, (_, seen) in zip(ours, frames, strict=True)) < 5.0


def test_tiny_limits_give_a_file_for_each_episode(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    export_all(store, output, replace(FAST, data_file_mb=1e-4, video_file_mb=1e-4, files_per_chunk=2))
    names = ["chunk-000/file-000", "chunk-000/file-001", "chunk-001/file-000"]
    for folder, suffix in (
        (output / "data", ".parquet"),
        (output / "meta" / "episodes", ".parquet"),
        (output / "videos" / "observation.images.front", ".mp4"),
    ):
        assert sorted(str(p.relative_to(folder)) for p in folder.glob("*/*")) == [name + suffix for name in names]
    episodes = rows_of(output / "meta" / "episodes")
    assert [e["data/file_index"] for e in episodes] == [0, 1, 0]
    assert [e["videos/observation.images.front/from_timestamp"] for e in episodes] == [0.0] * 3
    assert [row["index"] for row in rows_of(output / "data")] == list(range(20))


def test_file_stays_within_its_limit(store: EpisodeStore, tmp_path: Path) -> None:
    key = "observation.images.front"
    for name in store.names():
        export_episode(store.root, name, tmp_path / "out", FAST)
    pieces = [piece_folder(tmp_path / "out", name) / f"{key}.mp4" for name in store.names()]
    limit = pieces[0].stat().st_size + pieces[1].stat().st_size
    assemble(tmp_path / "out", store.names(), replace(FAST, video_file_mb=limit / 1024**2))
    files = sorted((tmp_path / "out" / "videos" / key).glob("*/*"))
    assert len(files) == 2
    assert all(path.stat().st_size <= limit for path in files)
    starts = [e[f"videos/{key}/from_timestamp"] for e in rows_of(tmp_path / "out" / "meta" / "episodes")]
    np.testing.assert_allclose(starts, [0.0, 0.7, 0.0])


def test_robots_that_differ_are_not_mixed(tmp_path: Path) -> None:
    record_rich(tmp_path / "store", "a", 2)
    other = replace(ROBOT, name="franka", state_keys=("tcp_position",))
    record_rich(tmp_path / "store", "b", 2, replace(METADATA, contract=other))
    with pytest.raises(ContractMismatchError, match=r"(?s)robot: twin in 'a', franka in 'b'.*state: "):
        export(ExportConfig(tmp_path / "store", tmp_path / "out"))
    assert not partial_folder(tmp_path / "out").exists()


def test_unknown_episode_reward_model_or_no_episode_is_refused(store: EpisodeStore, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with pytest.raises(UnknownNameError, match="Did you mean 'lift-0'"):
        export(ExportConfig(store.root, output, ("lift-00",)))
    with pytest.raises(ConfigurationError, match="named twice"):
        export(ExportConfig(store.root, output, ("lift-0", "lift-0")))
    with pytest.raises(UnknownNameError, match="legal: kagi"):
        export(ExportConfig(store.root, output, settings=replace(FAST, reward_model="vlm_rm")))
    with pytest.raises(EpisodeError, match="no finished episode"):
        export(ExportConfig(tmp_path / "empty", output))
    with pytest.raises(ConfigurationError, match="processes must be at least 1"):
        export(ExportConfig(store.root, output, processes=0))


def test_rewards_of_another_length_are_refused(tmp_path: Path) -> None:
    record_rich(tmp_path / "store", "a", 3)
    add_label(tmp_path / "store", "a", Label(1, rewards=RewardScores("kagi", (0.1, 0.2))))
    with pytest.raises(EpisodeError, match="gave 2 values, the recording has 3"):
        export_episode(tmp_path / "store", "a", tmp_path / "out", replace(FAST, reward_model="kagi"))


def test_camera_that_was_not_recorded_is_refused(tmp_path: Path) -> None:
    folder = record(tmp_path / "store", "a", 2)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["messages"]["/camera/wrist/image_raw"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EpisodeError, match="no images of camera 'wrist'"):
        export(ExportConfig(tmp_path / "store", tmp_path / "out"))
