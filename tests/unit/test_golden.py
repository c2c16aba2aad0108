"""A golden picture, whose score is known: another model, or none, is told apart at the start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from image_text_samples import ColourModel
from served_models import Brightness
from tower_samples import small_tower

from reward_models.golden import answer, check_golden, golden_file, golden_frame, write_golden
from reward_models.registry import load_reward_model, load_served, place_of
from reward_models.reward_model import RewardSpec
from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig
from tutelage_core.contract import CameraNeed
from tutelage_core.errors import CheckpointError, ConfigurationError

pytestmark = pytest.mark.unit


def test_same_model_passes_and_another_one_does_not(tmp_path: Path) -> None:
    model = VlmRm(ColourModel(), VlmRmConfig())
    file = write_golden(model, tmp_path)
    assert file == tmp_path / "golden.json"
    check_golden(model, tmp_path)
    with pytest.raises(CheckpointError, match="is not the model that it was"):
        check_golden(VlmRm(ColourModel(), VlmRmConfig(std=0.9)), tmp_path)


def test_picture_fills_every_camera_at_the_size_that_is_needed() -> None:
    model = Brightness()
    model.spec = RewardSpec("two", {"front": CameraNeed(20, 10), "wrist": None})
    images = golden_frame(model).images
    assert images["front"].shape == (10, 20, 3)
    assert images["wrist"].shape == (128, 128, 3)
    assert len({int(value) for value in images["wrist"].ravel()}) > 100


def test_answer_that_is_missing_damaged_or_none_is_told(tmp_path: Path) -> None:
    model = VlmRm(ColourModel(), VlmRmConfig())
    with pytest.raises(ConfigurationError, match="tutelage reward golden"):
        check_golden(model, tmp_path)
    (tmp_path / "golden.json").write_text('{"sentence": "red"}')
    with pytest.raises(CheckpointError, match="no golden answer"):
        check_golden(model, tmp_path)
    (tmp_path / "golden.json").write_text(json.dumps({"sentence": "red", "value": float("nan")}))
    with pytest.raises(CheckpointError, match="is not the model that it was"):
        check_golden(model, tmp_path)
    blind = VlmRm(ColourModel(), VlmRmConfig())
    blind._spec = RewardSpec("looks at the state", {"front": None}, state_keys=("tcp_pose",))
    with pytest.raises(ConfigurationError, match="pictures only"):
        answer(blind)


def test_it_stands_in_a_folder_or_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    assert golden_file(tmp_path / "mine.yaml") == tmp_path / "mine.yaml.golden.json"
    assert golden_file(tmp_path) == tmp_path / "golden.json"


def test_served_model_is_checked_by_its_name(tmp_path: Path) -> None:
    name = f"twin_tower:{small_tower(tmp_path / 't')}"
    with pytest.raises(ConfigurationError, match="is missing"):
        load_served(name, golden=True)
    write_golden(load_reward_model(name).model, place_of(name))
    assert load_served(name, golden=True)[0].spec.name == "vlm_rm"
    small_tower(tmp_path / "t2", seed=3)
    (tmp_path / "t2" / "golden.json").write_bytes((tmp_path / "t" / "golden.json").read_bytes())
    with pytest.raises(CheckpointError):
        load_served(f"twin_tower:{tmp_path / 't2'}", golden=True)


def test_shipped_tower_is_the_one_that_it_was() -> None:
    model, threshold = load_served("twin_tower", golden=True)
    assert set(model.spec.cameras) == {"front", "wrist"}
    assert threshold is not None
    assert 0.0 < threshold < 1.0
