"""A LeRobot data set that is damaged or meant to harm is refused by name, and nothing is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.lerobot_samples import (
    FAST,
    ROBOT,
    assert_refused,
    bring,
    change_column,
    change_json,
    export_all,
    record_all,
)
from tutelage.runs.lerobot import ImportConfig, import_
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.errors import EpisodeError

pytestmark = pytest.mark.unit

INFO = "meta/info.json"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
TASKS = "meta/tasks.parquet"
DATA = "data/chunk-000/file-000.parquet"
WRIST = "videos/observation.images.wrist/chunk-000/file-000.mp4"

Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    return record_all(tmp_path_factory.mktemp("episodes"))


@pytest.fixture(scope="module")
def exported(store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("lerobot") / "cubes"
    export_all(store, output, FAST)
    return output


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda info: info.update(video_path=None), "video_path is None"),
        (lambda info: info.update(data_path=7), "data_path is 7"),
        (lambda info: info.update(data_path="{chunk_index.x}"), r"data_path.*'\{chunk_index\.x\}'.*legal fields"),
        (lambda info: info.update(data_path="{chunk_index[0]}"), r"\{chunk_index\[0\]\}"),
        (lambda info: info.update(data_path="{chunk_index!r}"), r"\{chunk_index!r\}"),
        (lambda info: info.update(data_path="{chunk_index:>700000000}"), ">700000000"),
        (lambda info: info.update(data_path="{chunk_index:0700000000d}"), "0700000000d"),
        (lambda info: info.update(data_path="{chunk_index:0{file_index}d}"), "data_path"),
        (lambda info: info.update(data_path="{0}"), r"\{0\}"),
        (lambda info: info.update(data_path="data/{chunk_index"), r"data_path"),
        (lambda info: info.update(data_path="{video_key}.parquet"), "video_key"),
        (lambda info: info.update(data_path="d" * 5000), "5000 characters"),
        (lambda info: info.update(features=[]), r"features is \[\]"),
        (lambda info: info.update(features={"action": 3}), "feature 'action' is 3"),
        (lambda info: info["features"]["action"].update(shape=7), "feature 'action'.*shape 7"),
        (lambda info: info["features"]["action"].update(shape=[-7]), r"feature 'action'.*shape \[-7\]"),
        (lambda info: info["features"]["action"].update(names=3), "feature 'action'.*names 3"),
        (lambda info: info["features"]["action"].update(dtype=None), "feature 'action'.*dtype None"),
        (lambda info: info["features"]["action"].update(dtype="string"), "feature 'action'.*'string'"),
        (lambda info: info["features"]["frame_index"].update(dtype="string"), "feature 'frame_index'.*'string'"),
        (lambda info: info["features"].pop("frame_index"), "frame_index"),
        (lambda info: info["features"]["next.success"].update(shape=[2]), r"feature 'next\.success'.*\[2\]"),
        (lambda info: info["features"]["observation.images.wrist"].update(shape=[48, 64]), r"wrist'.*\[48, 64\]"),
        (lambda info: info["features"]["observation.images.wrist"].update(shape=[10**9, 9, 3]), "wrist'.*1000000000"),
        (lambda info: info.update(fps=float("nan")), "fps is nan"),
        (lambda info: info.update(fps=10**400), "fps is 1000"),
        (lambda info: info.update(fps="10"), "fps is '10'"),
        (lambda info: info.update(total_episodes="3"), "total_episodes is '3'"),
        (lambda info: info.update(total_episodes=2), r"3 episodes.*total_episodes is 2|total_episodes.*2"),
        (lambda info: info.update(total_frames=21), "lengths.*20.*total_frames.*21"),
        (lambda info: info.update(codebase_version=["v3.0"]), "codebase_version"),
    ],
)
def test_info_that_is_not_one_is_refused(copy: Path, change: Change, match: str) -> None:
    change_json(copy / INFO, change)
    assert_refused(copy, match)


def test_json_that_is_nested_without_end_is_refused(copy: Path) -> None:
    (copy / INFO).write_text("[" * 200_000)
    assert_refused(copy, r"info\.json: not readable as JSON")


@pytest.mark.parametrize("outside", ["/absolute", "../outside", "data/../../outside"])
def test_file_outside_the_data_set_is_not_read(copy: Path, outside: str) -> None:
    name = str(copy.parent / "outside.parquet") if outside == "/absolute" else f"{outside}.parquet"
    shutil.move(copy / DATA, copy.parent / "outside.parquet")
    change_json(copy / INFO, lambda info: info.update(data_path=name))
    assert_refused(copy, "outside.parquet.*must lie in its folder")


@pytest.mark.parametrize("file", [INFO, EPISODES, TASKS, DATA, WRIST])
def test_link_that_leads_out_of_the_data_set_is_not_followed(copy: Path, file: str) -> None:
    outside = copy.parent / "elsewhere"
    shutil.move(copy / file, outside)
    (copy / file).symlink_to(outside)
    assert_refused(copy, f"{Path(file).name}.*leads out of.*cp -rL")


def test_folder_that_is_a_link_out_of_the_data_set_is_not_followed(copy: Path) -> None:
    shutil.move(copy / "meta" / "episodes" / "chunk-000", copy.parent / "elsewhere")
    (copy / "meta" / "episodes" / "chunk-000").symlink_to(copy.parent / "elsewhere")
    assert_refused(copy, "leads out of")


def test_link_within_the_data_set_is_followed(copy: Path) -> None:
    shutil.move(copy / DATA, copy / "data" / "elsewhere.parquet")
    (copy / DATA).symlink_to(Path("..") / "elsewhere.parquet")
    assert len(bring(copy, copy.parent / "back", ROBOT, as_foreign=True)) == 3


@pytest.mark.parametrize("file", [INFO, EPISODES, TASKS, DATA, WRIST])
def test_folder_in_place_of_a_file_is_refused(copy: Path, file: str) -> None:
    (copy / file).unlink()
    (copy / file).mkdir()
    assert_refused(copy, f"{Path(file).name}: (is a folder|no such file)")


@pytest.mark.parametrize("key", ["../up", "a/b", "..", "a\0b", "a\nb", "\ud800"])
def test_camera_key_that_is_no_part_of_a_path_is_refused(copy: Path, key: str) -> None:
    change_json(copy / INFO, lambda info: info["features"].update({key: info["features"]["observation.images.wrist"]}))
    assert_refused(copy, "feature .*cannot be part of a path")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda rows: [row.update(episode_index=row["episode_index"] + 1) for row in rows], r"numbers 1, 2, 3.*0 to 2"),
        (lambda rows: rows[2].update(episode_index=1), r"numbers 0, 1, 1.*0 to 2"),
        (lambda rows: rows[1].update(episode_index=None), "episode_index is None"),
        (lambda rows: rows[1].update(length=0), "length is 0"),
        (lambda rows: rows[1].update(length=-4), "length is -4"),
        (lambda rows: rows[1].update(length=10**12), "length is 1000000000000"),
        (lambda rows: rows[1].update(length=5), "dataset_from_index"),
        (lambda rows: rows[1].update(dataset_from_index=5), "episode 1.*dataset_from_index is 5.*7"),
        (lambda rows: rows[1].update({"data/file_index": -1}), "data/file_index is -1"),
        (
            lambda rows: rows[1].update({"videos/observation.images.wrist/from_timestamp": float("nan")}),
            "timestamp is nan",
        ),
        (lambda rows: rows[1].update({"videos/observation.images.wrist/from_timestamp": 1e300}), "timestamp is 1e.300"),
        (lambda rows: [row.update(tasks="lift") for row in rows], "tasks is 'lift'"),
        (lambda rows: rows[1].update(tasks=["fly"]), r"episode 1.*'fly'.*tasks\.parquet"),
        (lambda rows: [row.pop("length") for row in rows], "has no column length"),
        (lambda rows: rows.clear(), "episodes"),
    ],
)
def test_table_of_episodes_that_contradicts_itself_is_refused(copy: Path, change: Change, match: str) -> None:
    rows = pq.read_table(copy / EPISODES).to_pylist()
    empty = pq.read_schema(copy / EPISODES).empty_table()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows) if rows else empty, copy / EPISODES)
    assert_refused(copy, match)


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"task_index": [0, 1]}, r"tasks\.parquet: has no column of instructions"),
        ({"task": ["lift the cube", "place the cube"]}, r"tasks\.parquet: has no column task_index"),
        ({"task_index": [0], "task": ["lift the cube"]}, "place the cube"),
        ({"task_index": [0, 7], "task": ["lift the cube", "place the cube"]}, r"task_index.* 1"),
        ({"task_index": [0, 0], "task": ["lift the cube", "place the cube"]}, "task_index 0 twice"),
        ({"task_index": [0, None], "task": ["lift the cube", "place the cube"]}, "task_index is None"),
        ({"task_index": [1, 0], "task": ["lift the cube", "place the cube"]}, "episode 0.*'place the cube'"),
    ],
)
def test_table_of_tasks_that_does_not_fit_the_episodes_is_refused(copy: Path, table: Any, match: str) -> None:
    pq.write_table(pa.table(table), copy / TASKS)
    assert_refused(copy, match)


@pytest.mark.parametrize(
    ("column", "row", "value", "match"),
    [
        ("timestamp", 3, 0.2, "row 3.*timestamp is 0.2.*0.3"),
        ("timestamp", 3, float("nan"), "row 3.*timestamp is nan"),
        ("frame_index", 8, 0, "row 8.*frame_index is 0.*1"),
        ("episode_index", 8, 0, "row 8.*episode_index is 0.*1"),
        ("index", 8, 0, "row 8.*index is 0.*8"),
        ("task_index", 8, 5, "row 8.*task_index is 5"),
        ("task_index", 8, None, "task_index"),
    ],
)
def test_row_that_stands_elsewhere_than_it_says_is_refused(
    copy: Path, column: str, row: int, value: float | None, match: str
) -> None:
    def change(values: list[Any]) -> None:
        values[row] = value

    change_column(copy / DATA, column, change)
    assert_refused(copy, match)


def test_timestamps_that_do_not_grow_are_refused(copy: Path) -> None:
    change_column(copy / DATA, "timestamp", lambda values: values.__setitem__(slice(1, 3), [0.2, 0.1]))
    assert_refused(copy, "row 1.*timestamp is 0.2 s.*grow")


def test_data_file_with_more_rows_than_its_episodes_is_refused(copy: Path) -> None:
    table = pq.read_table(copy / DATA)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), copy / DATA)
    assert_refused(copy, r"file-000\.parquet: has 21 rows.*20")


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("action", pa.array(["x"] * 20), "column 'action'"),
        ("action", pa.array([[0.0] * 14, []] * 10), "column 'action'"),
        ("action", pa.array([None] * 20, pa.list_(pa.float32())), "column 'action'"),
        ("complementary_info.source", pa.array([None] * 20, pa.int64()), "source"),
        ("observation.state", None, "no column observation.state"),
        ("next.success", None, "no column next.success"),
    ],
)
def test_column_that_is_not_what_info_says_is_refused(copy: Path, column: str, values: Any, match: str) -> None:
    table = pq.read_table(copy / DATA)
    place = table.column_names.index(column)
    table = table.drop_columns([column]) if values is None else table.set_column(place, column, values)
    pq.write_table(table, copy / DATA)
    assert_refused(copy, match)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -float("inf"), None])
def test_phrase_without_a_time_is_refused(copy: Path, time: float | None) -> None:
    row = {"role": "assistant", "content": "down", "style": "motion", "timestamp": time}
    table = pq.read_table(copy / DATA)
    place = table.column_names.index("language_persistent")
    pq.write_table(table.set_column(place, "language_persistent", pa.array([[row]] * 20)), copy / DATA)
    assert_refused(copy, f"episode 0.*timestamp is {time}")


def test_phrases_of_another_type_are_refused(copy: Path) -> None:
    table = pq.read_table(copy / DATA)
    place = table.column_names.index("language_persistent")
    pq.write_table(table.set_column(place, "language_persistent", pa.array([["down"]] * 20)), copy / DATA)
    assert_refused(copy, "episode 0.*language_persistent.*'down'")


def test_rotation_that_is_none_is_refused(copy: Path) -> None:
    def change(values: list[Any]) -> None:
        values[2][3:9] = [0.0] * 6

    change_column(copy / DATA, "observation.state", change)
    assert_refused(copy, "episode 0, frame 2.*rotation")


def test_import_of_a_damaged_data_set_makes_no_folder(copy: Path, tmp_path: Path) -> None:
    change_column(copy / DATA, "timestamp", lambda values: values.__setitem__(12, 0.0))
    with pytest.raises(EpisodeError, match="row 12"):
        import_(ImportConfig(copy, tmp_path / "back", processes=1))
    assert not (tmp_path / "back").exists()
