"""The layout of a LeRobot data set: which file holds what, what columns are called, and what is not a setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.lerobot_samples import ROBOT
from tutelage_core.episodes import statistics
from tutelage_core.episodes.labels import Phrase
from tutelage_core.episodes.lerobot import features, language, layout
from tutelage_core.episodes.lerobot.layout import ExportSettings, Shard, plan_shards
from tutelage_core.errors import ConfigurationError, UnknownNameError

pytestmark = pytest.mark.unit


def test_items_fill_a_file_up_to_its_limit_and_not_beyond() -> None:
    assert plan_shards([4, 6, 1, 9, 20, 1], 10, 1000) == [
        Shard(0, 0, 0, 2),
        Shard(0, 1, 2, 4),
        Shard(0, 2, 4, 5),
        Shard(0, 3, 5, 6),
    ]


def test_files_go_on_in_the_next_folder_when_one_is_full() -> None:
    assert [(s.chunk, s.file) for s in plan_shards([1] * 5, 1, 2)] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]


def test_each_number_of_state_and_action_has_a_name_of_its_own_with_its_unit() -> None:
    names = features.state_names(ROBOT)
    assert len(names) == len(set(names)) == sum(features.state_sizes(ROBOT).values()) == 36
    assert names[:3] == ("tcp_x_m", "tcp_y_m", "tcp_z_m")
    assert "joint0_rad" in names
    assert "force_z_n" in names
    assert len(features.ACTION_NAMES) == 7


def test_columns_follow_settings_and_labels() -> None:
    plain = features.dataset_features(ROBOT, ExportSettings(), language=False)
    assert "next.reward" not in plain
    assert "language_persistent" not in plain
    assert plain["observation.images.front"] == {
        "dtype": "video",
        "shape": [48, 64, 3],
        "names": ["height", "width", "channels"],
    }
    rich = features.dataset_features(ROBOT, ExportSettings(pictures="image", reward_model="kagi"), language=True)
    assert rich["next.reward"]["dtype"] == "float32"
    assert rich["observation.images.wrist"]["dtype"] == "image"
    assert rich["language_persistent"] == {"dtype": "language", "shape": [1], "names": None}


def test_state_of_one_number_is_a_plain_column() -> None:
    robot = replace(ROBOT, state_keys=("gripper_opening",))
    feature = features.frame_features(robot, ExportSettings())[layout.STATE]
    column = features.to_column(np.array([[0.25], [0.5]]), feature)
    assert column.to_pylist() == [0.25, 0.5]


def test_rate_that_is_no_whole_number_of_frames_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"7\.5 Hz"):
        features.whole_fps(replace(ROBOT, control_rate_hz=7.5))


def test_camera_that_would_leave_its_folder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a/b"):
        features.camera_keys(replace(ROBOT, cameras={"a/b": ROBOT.cameras["front"]}))


@pytest.mark.parametrize(
    "wrong", [{"crf": 64}, {"crf": 52, "codec": "h264"}, {"gop": 0}, {"preset": 14}, {"data_file_mb": 0.0}]
)
def test_setting_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(wrong))} must be"):
        ExportSettings(**wrong)  # type: ignore[arg-type]


def test_unknown_codec_is_refused_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="hevc"):
        ExportSettings(codec="vp9")  # type: ignore[arg-type]


def test_statistics_of_numbers_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(size=(37, 5)).astype(np.float32)
    found = statistics.number_statistics(values)
    exact = values.astype(np.float64)
    np.testing.assert_array_equal(found["min"], exact.min(axis=0))
    np.testing.assert_array_equal(found["std"], exact.std(axis=0))
    np.testing.assert_array_equal(found["q90"], np.quantile(exact, 0.9, axis=0))
    assert found["count"] == [37]


@pytest.mark.parametrize("high", [2, 256])
def test_statistics_of_images_are_those_of_all_their_pixels(high: int) -> None:
    images = np.random.default_rng(1).integers(0, high, (6, 5, 7, 3), dtype=np.uint8)
    found = statistics.image_statistics(statistics.histograms(images), len(images))
    pixels = images.reshape(-1, 3) / 255.0
    expected = {"min": pixels.min(axis=0), "max": pixels.max(axis=0), "mean": pixels.mean(axis=0)}
    expected |= {"std": pixels.std(axis=0)}
    expected |= {name: np.quantile(pixels, share, axis=0) for name, share in statistics.QUANTILES.items()}
    for name, value in expected.items():
        assert np.shape(found[name]) == (3, 1, 1)
        np.testing.assert_allclose(np.reshape(found[name], 3), value, atol=1e-12, err_msg=name)


def test_row_is_written_whenever_the_phrase_changes_and_when_it_ends() -> None:
    rows = language.changes(("", "down", "down", "left", "", ""))
    assert [(row.frame, row.phrase) for row in rows] == [(1, "down"), (3, "left"), (4, "")]
    records = language.to_records(rows, 10)
    assert [(r["timestamp"], r["content"]) for r in records] == [
        (float(np.float32(0.1)), "down"),
        (float(np.float32(0.3)), "left"),
        (float(np.float32(0.4)), None),
    ]
    assert {(r["role"], r["style"], r["camera"], r["tool_calls"]) for r in records} == {
        ("assistant", "motion", None, None)
    }


def test_what_people_said_goes_before_what_the_policy_followed() -> None:
    stamps = np.arange(5) * 100
    labelled = (Phrase("up", 100, 400), Phrase("stop", 200, 300))
    assert language.phrases_of_periods(stamps, ("a", "a", "a", "", ""), labelled) == ("a", "up", "stop", "up", "")


def test_episode_without_phrases_has_no_rows() -> None:
    assert language.changes(("", "", "")) == ()
