"""`tutelage reward evaluate` on recorded episodes."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from reward_models.evaluation.baselines import BASELINES
from reward_models.evaluation.table import Row
from reward_models.registry import load_reward_model
from tests.unit.episode_samples import CONTRACT, METADATA, PERIOD_NS, RESULT, state
from tests.unit.episode_samples import executed as step
from tests.unit.image_text_samples import small_open_clip
from tutelage.looking.reward_table import FIELDS, draw_reward_table
from tutelage.runs.evaluate_rewards import PICTURE, REPORT, TABLE, EvaluateRewardsConfig, evaluate_rewards
from tutelage_core.episodes.writer import EpisodeWriter
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import Frame, TaskStatus

pytestmark = pytest.mark.unit

LENGTH = 6


def record(root: Path, name: str, success: bool, *, status: bool = True) -> None:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    with EpisodeWriter(root, name, METADATA) as writer:
        for index in range(LENGTH):
            stamp = (index + 1) * PERIOD_NS
            for camera, size in CONTRACT.cameras.items():
                pixels = rng.integers(0, 256, (size.height, size.width, 3), np.uint8)
                writer.image(camera, Frame(pixels, stamp, index))
            if status:
                progress = index / (LENGTH - 1) * (1.0 if success else 0.3)
                writer.status(stamp, TaskStatus(progress >= 1.0, progress, ""))
            writer.state(state(stamp))
            writer.executed(step(stamp))
        writer.close(replace(RESULT, success=success, steps=LENGTH))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("episodes")
    for number in range(4):
        record(root, f"episode-{number}", success=number % 2 == 0)
    return root


def test_baselines_and_models_stand_in_one_table_and_in_the_files(recorded: Path, tmp_path: Path) -> None:
    folder = small_open_clip(tmp_path / "small")
    settings = {"model": "open_clip:small", "threshold": 0.1, "reward": {"goals": ["a cube"], "baselines": ["a table"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**settings, "reward": {**settings["reward"], "alpha": 0.2}}))
    names = (f"open_clip:{folder}", f"vlm_rm:{tmp_path / 'mine.yaml'}")
    rows = evaluate_rewards(EvaluateRewardsConfig((recorded,), names, tmp_path / "out"))
    assert [row.model for row in rows] == [*BASELINES, *names]
    assert {(row.kind, row.successes, row.failures) for row in rows} == {(METADATA.task, 2, 2)}
    oracle = rows[3].values
    assert (oracle["auroc"], oracle["voc_success"]) == (1.0, pytest.approx(1.0))
    assert 0.0 <= rows[5].values["balanced_accuracy"] <= 1.0
    told = json.loads((tmp_path / "out" / REPORT).read_text())
    assert len(told["rows"]) == 6
    assert told["rows"][0]["values"]["voc_success"] is None, "NaN is no number of JSON"
    lines = list(csv.DictReader((tmp_path / "out" / TABLE).open()))
    assert [line["model"] for line in lines] == [row.model for row in rows]
    assert lines[0]["voc_success"] == ""
    assert float(lines[3]["auroc"]) == 1.0
    picture = Image.open(tmp_path / "out" / PICTURE)
    assert 600 < picture.width < 1600
    assert 400 < picture.height < 1600


def test_picture_shows_every_model_in_each_field_that_can_be_said() -> None:
    values = dict.fromkeys(FIELDS, 0.5)
    rows = [Row(model, kind, 1, 1, values) for model in ("oracle", "mine") for kind in ("A", "B")]
    rows.append(Row("silent", "A", 1, 1, dict.fromkeys(FIELDS, math.nan)))
    figure = draw_reward_table(rows)
    assert [axes.get_title() for axes in figure.axes] == [head for head, _ in FIELDS.values()]
    for axes in figure.axes:
        assert len(axes.lines) == 4, "tasks and their mean for two models, nothing for the third"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["oracle", "mine", "silent"]
    with pytest.raises(ValueError, match="without rows"):
        draw_reward_table([])


def test_fewer_episodes_and_none_at_all(recorded: Path, tmp_path: Path) -> None:
    rows = evaluate_rewards(EvaluateRewardsConfig((recorded,), most=1))
    assert {(row.successes, row.failures) for row in rows} == {(1, 0)}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no finished episode"):
        evaluate_rewards(EvaluateRewardsConfig((tmp_path / "empty",)))


def test_episodes_without_truth_are_refused(tmp_path: Path) -> None:
    record(tmp_path, "blind", success=True, status=False)
    with pytest.raises(ConfigurationError, match=r"no ground truth .* take episodes of the twin"):
        evaluate_rewards(EvaluateRewardsConfig((tmp_path,)))


def test_models_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'clip'.*open_clip, open_clip_openvino, python, success_classifier"):
        load_reward_model("clip:somewhere")
    with pytest.raises(ConfigurationError, match="open_clip:PLACE"):
        load_reward_model("open_clip")
    with pytest.raises(ConfigurationError, match="no such folder"):
        load_reward_model(f"open_clip:{tmp_path / 'nowhere'}")
