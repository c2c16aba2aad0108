"""Import of a LeRobot data set: ours comes back as it was, another's as far as it fits; what does not is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.episode_samples import METADATA, record
from tests.unit.lerobot_samples import FAST, LENGTHS, ROBOT, export_all, record_all, record_rich
from tutelage.runs.lerobot import ExportConfig, ImportConfig, export, import_
from tutelage_core.config import to_mapping
from tutelage_core.contract import CameraContract, RobotContract
from tutelage_core.episodes.labels import judge, read_labels
from tutelage_core.episodes.lerobot.dataset import open_dataset
from tutelage_core.episodes.lerobot.importing import ImportSettings, check_fit, contract_of, import_episode, plan_import
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError
from tutelage_core.types import Source

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


def bring(
    root: Path,
    output: Path,
    contract: RobotContract | None = None,
    settings: ImportSettings | None = None,
    *,
    as_foreign: bool = False,
) -> EpisodeStore:
    """Import in this process."""
    settings = settings or ImportSettings()
    dataset = open_dataset(root, as_foreign=as_foreign)
    contract = contract_of(dataset, contract)
    check_fit(dataset, contract, settings)
    for index in plan_import(dataset, output, contract, settings).names:
        import_episode(dataset, index, output, contract, settings)
    return EpisodeStore(output)


def change_json(path: Path, change: Callable[[Any], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


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


def test_foreign_data_set_fits_a_contract_that_is_given(copy: Path, tmp_path: Path) -> None:
    (copy / "meta" / "tutelage.json").unlink()
    (copy / "meta" / "tutelage_periods.parquet").unlink()
    with pytest.raises(ConfigurationError, match="name the robot"):
        bring(copy, tmp_path / "back")
    back = bring(copy, tmp_path / "back", ROBOT)
    assert back.names() == ("lerobot-000000", "lerobot-000001", "lerobot-000002")
    episode = back.read("lerobot-000002")
    rows = pq.read_table(copy / "data", filters=[("episode_index", "=", 2)]).to_pylist()
    np.testing.assert_array_equal(episode.executed, np.array([row["action"] for row in rows], dtype=np.float32))
    np.testing.assert_array_equal(episode.stamps_ns, np.arange(9) * 100_000_000)
    np.testing.assert_array_equal(episode.sources, [1, 2, 4] * 3)
    state = np.concatenate([episode.state[key] for key in ROBOT.state_keys], axis=1)
    np.testing.assert_allclose(state, [row["observation.state"] for row in rows], atol=1e-6)
    assert (episode.metadata.instruction, episode.result.success) == ("place the cube", True)
    assert not back.read("lerobot-000001").result.success
    said = judge(read_labels(back.root, "lerobot-000002"))
    assert [(p.text, p.from_ns, p.to_ns) for p in said.phrases] == [("open the gripper", 200_000_000, 500_000_000)]
    assert said.rewards["lerobot"][-1] is None
    np.testing.assert_allclose(said.rewards["lerobot"][:8], np.arange(8) * 0.1, rtol=1e-6)


def test_what_a_foreign_data_set_does_not_say_is_not_made_up(copy: Path, tmp_path: Path) -> None:
    robot = replace(ROBOT, state_keys=("gripper_opening",), cameras={"top": CameraContract(64, 48, 10.0, "uvc")})
    data = copy / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(data)
    kept = table.drop_columns(["complementary_info.source", "next.success", "next.reward", "observation.state"])
    gripper = pa.array(np.linspace(0.0, 1.0, 20, dtype=np.float32))
    pq.write_table(kept.append_column("observation.state", gripper), data)

    def reduce(info: Any) -> None:
        for key in ("complementary_info.source", "next.success", "next.reward"):
            del info["features"][key]
        info["features"]["observation.state"] = {"dtype": "float32", "shape": [1], "names": ["gripper"]}

    change_json(copy / "meta" / "info.json", reduce)
    settings = ImportSettings({"top": "observation.images.wrist"}, "demo", "expert", success=True, image_format="png")
    episode = bring(copy, tmp_path / "back", robot, settings, as_foreign=True).read("demo-000001")
    assert set(episode.images) == {"top"}
    assert np.isnan(episode.state["tcp_position"]).all()
    assert np.isnan(episode.state["joint_positions"]).all()
    np.testing.assert_allclose(episode.state["gripper_opening"][:, 0], np.linspace(0, 1, 20)[7:11], atol=1e-6)
    assert set(episode.sources.tolist()) == {Source.EXPERT}
    assert episode.result.success
    assert np.isnan(episode.expert).all()


@pytest.mark.parametrize(
    ("robot", "match"),
    [
        (replace(ROBOT, control_rate_hz=20.0), "rate: 10 frames a second, the robot has 20 Hz"),
        (replace(ROBOT, state_keys=("wrench",)), r"observation\.state: shape \[36\], the robot's has \[6\]"),
        (
            replace(ROBOT, cameras={**ROBOT.cameras, "side": ROBOT.cameras["front"]}),
            r"camera 'side': the robot has it, 'observation\.images\.side' is not among observation\.images\.front, ",
        ),
        (
            replace(ROBOT, cameras={"front": CameraContract(128, 96, 10.0, "twin")}),
            r"camera 'front': 64x48 px in 'observation\.images\.front', the robot gives 128x96 px",
        ),
    ],
)
def test_data_set_that_does_not_fit_the_robot_is_refused(
    exported: Path, tmp_path: Path, robot: RobotContract, match: str
) -> None:
    with pytest.raises(ContractMismatchError, match=match) as refusal:
        bring(exported, tmp_path / "back", robot)
    assert "robot 'twin'" in str(refusal.value)
    assert str(exported) in str(refusal.value)
    assert not (tmp_path / "back").exists()


def test_action_of_another_size_is_refused(copy: Path, tmp_path: Path) -> None:
    change_json(copy / "meta" / "info.json", lambda info: info["features"]["action"].update(shape=[6]))
    with pytest.raises(ContractMismatchError, match=r"action: shape \[6\], the robot's has \[7\]"):
        bring(copy, tmp_path / "back", ROBOT, as_foreign=True)


def test_camera_that_the_robot_has_not_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="legal: front, wrist"):
        bring(exported, tmp_path / "back", settings=ImportSettings({"top": "observation.images.front"}))


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


def test_action_that_is_not_finite_is_refused(copy: Path, tmp_path: Path) -> None:
    data = copy / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(data)
    values = np.array(table["action"].to_pylist(), dtype=np.float32)
    values[2, 3] = np.nan
    changed = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 7)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", changed), data)
    with pytest.raises(EpisodeError, match=r"episode 0, frame 2: action .* is not finite"):
        bring(copy, tmp_path / "back", ROBOT, as_foreign=True)


def test_robots_of_one_layout_keep_their_own_contracts(tmp_path: Path) -> None:
    record_rich(tmp_path / "store", "a", 2)
    limits = replace(ROBOT, safety=replace(ROBOT.safety, workspace_min_m=(0.2, -0.35, 0.01)))
    record_rich(tmp_path / "store", "b", 2, replace(METADATA, contract=limits))
    export_all(EpisodeStore(tmp_path / "store"), tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "meta" / "tutelage.json").read_text())
    assert [to_mapping(ROBOT)["safety"] == contract["safety"] for contract in stored["contracts"]] == [True, False]
    assert_same_numbers(EpisodeStore(tmp_path / "store"), bring(tmp_path / "out", tmp_path / "back"))
