"""Import of a LeRobot data set: ours comes back as it was, another's as far as it fits; what does not is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.episode_samples import METADATA, record
from tests.unit.lerobot_samples import FAST, LENGTHS, ROBOT, bring, change_json, export_all, record_all, record_rich
from tutelage.runs.lerobot import ExportConfig, ImportConfig, export, import_
from tutelage_core.config import to_mapping
from tutelage_core.episodes.labels import read_labels
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import EpisodeError

pytestmark = pytest.mark.unit

MEAN_LEVELS, WORST_LEVELS = 3.0, 60
"""How far AV1 at crf 30 may take smooth pictures: mean over an image, and any single level, of 255."""

KEPT = ("stamps_ns", "requested", "executed", "expert", "sources", "success", "progress")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    return record_all(tmp_path_factory.mktemp("episodes"))


@pytest.fixture(scope="module")
def exported(store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("lerobot") / "cubes"
    export_all(store, output, replace(FAST, reward_model="kagi"))
    return output


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def assert_same_numbers(store: EpisodeStore, back: EpisodeStore) -> None:
    assert back.names() == store.names()
    for name in store.names():
        ours, theirs = store.read(name), back.read(name)
        for field in KEPT:
            np.testing.assert_array_equal(getattr(theirs, field), getattr(ours, field), err_msg=field)
        for key, values in ours.state.items():
            np.testing.assert_array_equal(theirs.state[key], values, err_msg=key)
        assert (theirs.reasons, theirs.phrases) == (ours.reasons, ours.phrases)
        assert (theirs.metadata, theirs.result) == (ours.metadata, ours.result)
        assert read_labels(back.root, name) == read_labels(store.root, name)


def test_episode_of_ours_comes_back_bit_for_bit_but_for_its_images(
    exported: Path, store: EpisodeStore, tmp_path: Path
) -> None:
    back = bring(exported, tmp_path / "back")
    assert_same_numbers(store, back)
    for name in store.names():
        for camera, images in store.read(name).images.items():
            errors = np.abs(images.astype(int) - back.read(name).images[camera])
            assert errors.mean(axis=(1, 2, 3)).max() < MEAN_LEVELS
            assert errors.max() < WORST_LEVELS
    assert sorted(p.name for p in (tmp_path / "back").iterdir() if p.name != ".importing") == sorted(LENGTHS)


def test_pictures_as_images_come_back_bit_for_bit(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "out", replace(FAST, pictures="image"))
    assert not (tmp_path / "out" / "videos").exists()
    back = bring(tmp_path / "out", tmp_path / "back")
    assert_same_numbers(store, back)
    for name in store.names():
        for camera, images in store.read(name).images.items():
            np.testing.assert_array_equal(back.read(name).images[camera], images)


def test_episodes_of_many_files_come_back(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "out", replace(FAST, data_file_mb=1e-4, video_file_mb=1e-4, files_per_chunk=2))
    assert_same_numbers(store, bring(tmp_path / "out", tmp_path / "back"))


def test_phrases_survive_an_export_without_their_column(store: EpisodeStore, tmp_path: Path) -> None:
    export_all(store, tmp_path / "out", replace(FAST, language=False))
    assert bring(tmp_path / "out", tmp_path / "back").read("lift-0").phrases == ("down", "down", "left", "", "", "", "")


def test_runs_export_and_import_in_processes_and_skip_what_is_there(store: EpisodeStore, tmp_path: Path) -> None:
    totals = export(ExportConfig(store.root, tmp_path / "out", ("place-0", "lift-0"), 2, FAST))
    assert (totals.episodes, totals.frames, totals.has_language) == (2, 16, True)
    config = ImportConfig(tmp_path / "out", tmp_path / "back", processes=1)
    assert (import_(config).imported, import_(config).skipped) == (2, 2)
    assert [p.name for p in sorted((tmp_path / "back").iterdir())] == ["lift-0", "place-0"]
    assert read_labels(tmp_path / "back", "place-0") == read_labels(store.root, "place-0")


def test_import_goes_on_after_a_kill_in_the_middle_of_an_episode(
    exported: Path, store: EpisodeStore, tmp_path: Path
) -> None:
    half = tmp_path / "back" / ".importing" / "lift-0.partial"
    half.mkdir(parents=True)
    (half / "episode.mcap").write_bytes(b"half of it")
    assert_same_numbers(store, bring(exported, tmp_path / "back"))


def test_another_episode_of_the_same_name_is_refused_and_left_alone(exported: Path, tmp_path: Path) -> None:
    folder = record(tmp_path / "back", "lift-1", 2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(EpisodeError, match=r"lift-1: another episode has this name .*nothing is overwritten"):
        bring(exported, tmp_path / "back")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["lift-1"]


def test_unfinished_episode_of_the_same_name_is_refused(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "back" / "lift-1.partial").mkdir(parents=True)
    with pytest.raises(EpisodeError, match="unfinished"):
        bring(exported, tmp_path / "back")


def test_another_codebase_version_is_refused(copy: Path, tmp_path: Path) -> None:
    change_json(copy / "meta" / "info.json", lambda info: info.update(codebase_version="v2.1"))
    with pytest.raises(EpisodeError, match=r"codebase_version is 'v2\.1', this program reads v3\.0"):
        bring(copy, tmp_path / "back")


@pytest.mark.parametrize(
    "file",
    [
        "meta/info.json",
        "meta/episodes/chunk-000/file-000.parquet",
        "meta/tutelage_periods.parquet",
        "data/chunk-000/file-000.parquet",
        "videos/observation.images.wrist/chunk-000/file-000.mp4",
    ],
)
def test_missing_or_broken_file_is_named(copy: Path, tmp_path: Path, file: str) -> None:
    whole = (copy / file).read_bytes()
    (copy / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EpisodeError):
        bring(copy, tmp_path / "back")
    (copy / file).unlink()
    with pytest.raises(EpisodeError, match=file if file.count("episodes") == 0 else "meta/episodes"):
        bring(copy, tmp_path / "back")
    assert EpisodeStore(tmp_path / "back").names() == ()


def test_data_set_that_was_changed_since_is_refused_as_ours(copy: Path, tmp_path: Path) -> None:
    data = copy / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(data)
    values = np.array(table["action"].to_pylist(), dtype=np.float32)
    values[8, 0] += 0.5
    changed = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 7)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", changed), data)
    with pytest.raises(EpisodeError, match=r"episode 1: 'action' .*import it as foreign"):
        bring(copy, tmp_path / "back")
    shutil.rmtree(tmp_path / "back")
    back = bring(copy, tmp_path / "back", ROBOT, as_foreign=True)
    np.testing.assert_array_equal(back.read("lerobot-000001").executed[1], values[8])


def test_data_set_with_another_number_of_episodes_is_refused_as_ours(copy: Path, tmp_path: Path) -> None:
    change_json(copy / "meta" / "tutelage.json", lambda ours: ours["episodes"].pop())
    with pytest.raises(EpisodeError, match="tells of 2 episodes with 11 frames, the data set has 3 with 20"):
        bring(copy, tmp_path / "back")


def test_robots_of_one_layout_keep_their_own_contracts(tmp_path: Path) -> None:
    record_rich(tmp_path / "store", "a", 2)
    limits = replace(ROBOT, safety=replace(ROBOT.safety, workspace_min_m=(0.2, -0.35, 0.01)))
    record_rich(tmp_path / "store", "b", 2, replace(METADATA, contract=limits))
    export_all(EpisodeStore(tmp_path / "store"), tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "meta" / "tutelage.json").read_text())
    assert [to_mapping(ROBOT)["safety"] == contract["safety"] for contract in stored["contracts"]] == [True, False]
    assert_same_numbers(EpisodeStore(tmp_path / "store"), bring(tmp_path / "out", tmp_path / "back"))
