"""Import of another's LeRobot data set: what fits a robot's contract becomes episodes, what does not is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.lerobot_samples import FAST, ROBOT, bring, change_json, export_all, record_all
from tutelage_core.contract import CameraContract, RobotContract
from tutelage_core.episodes.labels import judge, read_labels
from tutelage_core.episodes.lerobot.importing import ImportSettings
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import ConfigurationError, ContractMismatchError, EpisodeError, UnknownNameError
from tutelage_core.types import Source

pytestmark = pytest.mark.unit


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


def test_action_that_is_not_finite_is_refused(copy: Path, tmp_path: Path) -> None:
    data = copy / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(data)
    values = np.array(table["action"].to_pylist(), dtype=np.float32)
    values[2, 3] = np.nan
    changed = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), 7)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", changed), data)
    with pytest.raises(EpisodeError, match=r"episode 0, frame 2: action .* is not finite"):
        bring(copy, tmp_path / "back", ROBOT, as_foreign=True)
