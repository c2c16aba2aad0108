"""The contract of `reward_models.reward_model.RewardModel`: every implementation passes this suite.

To add one, give `IMPLEMENTATIONS` a function that builds a small one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reward_models.image_text.open_clip_model import OpenClipModel
from reward_models.image_text.twin_tower import TwinTower
from reward_models.lerobot_adapter import FromLeRobot
from reward_models.reward_model import RewardModel, Score
from reward_models.success_classifier.classifier import SuccessClassifier, SuccessSpec, trunk_digest
from reward_models.success_classifier.config import ModelConfig
from reward_models.success_classifier.detector import DetectionRule
from reward_models.success_classifier.model import SuccessEnsemble, SuccessNetwork, frozen_trunk, map_shape
from reward_models.success_classifier.reward import SuccessReward
from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig
from tests.unit.image_text_samples import ColourModel, small_open_clip
from tests.unit.tower_samples import small_tower
from tutelage_core.contract import CameraNeed
from tutelage_core.types import Observation

SIDE = 128
TASK = "make it red"
FRAMES = 6


def success_classifier(_: Path) -> RewardModel:
    cameras = {"front": CameraNeed(SIDE, SIDE), "wrist": CameraNeed(SIDE, SIDE)}
    model = ModelConfig("lite0", (4, 4), keypoints=4, keypoint_features=4, hidden=16, dropout=0.0)
    trunk = frozen_trunk(model, cameras)
    spec = SuccessSpec(("any",), cameras, 10.0, model, trunk_digest(trunk), 2, DetectionRule(0.5, 0.4, consecutive=2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = SuccessEnsemble(SuccessNetwork(model, map_shape(model, cameras, trunk)) for _ in range(2))
    return SuccessReward(SuccessClassifier(spec, networks.state_dict()), "digest")


class Redness:
    """What LeRobot calls a reward model."""

    def compute_reward(self, batch: dict[str, Any]) -> Tensor:
        return batch["observation.images.front"][:, 0].mean(dim=(1, 2))


IMPLEMENTATIONS: dict[str, Callable[[Path], RewardModel]] = {
    "vlm_rm": lambda _: VlmRm(ColourModel(), VlmRmConfig()),
    "vlm_rm of open_clip": lambda folder: VlmRm(
        OpenClipModel(small_open_clip(folder)),
        VlmRmConfig(goals=("a red cube",), baselines=("a table",), alpha=0.2),
    ),
    "vlm_rm of a twin tower": lambda folder: VlmRm(
        TwinTower.load(small_tower(folder / "tower")), VlmRmConfig(cameras=("front", "wrist"))
    ),
    "success_classifier": success_classifier,
    "of LeRobot": lambda _: FromLeRobot(Redness(), "redness", {"front": CameraNeed(SIDE, SIDE)}),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    torch.set_num_threads(1)
    return IMPLEMENTATIONS[request.param](tmp_path_factory.mktemp("reward model"))


def frames_for(model: RewardModel, count: int = FRAMES) -> list[Observation]:
    rng = np.random.default_rng(0)
    return [
        Observation(
            1_000 + i, {name: rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for name in model.spec.cameras}, {}
        )
        for i in range(count)
    ]


def same(here: list[Score], there: list[Score]) -> bool:
    return len(here) == len(there) and all(
        replace(a, value=0.0, further={}) == replace(b, value=0.0, further={})
        and math.isclose(a.value, b.value, abs_tol=1e-5)
        for a, b in zip(here, there, strict=True)
    )


def test_it_says_what_it_needs_and_gives(model: RewardModel) -> None:
    assert isinstance(model, RewardModel)
    assert model.spec.name
    assert model.spec.cameras
    assert model.spec.low < model.spec.high


def test_each_frame_has_a_score_with_its_own_stamp_inside_the_bounds(model: RewardModel) -> None:
    frames = frames_for(model)
    scores = model.score(frames, TASK)
    assert [score.stamp_ns for score in scores] == [frame.stamp_ns for frame in frames]
    assert all(score.valid and model.spec.low <= score.value <= model.spec.high for score in scores)
    assert all((score.success is not None) == model.spec.has_success for score in scores)
    assert all((score.progress is not None) == model.spec.has_progress for score in scores)
    assert model.score([], TASK) == []


def test_same_frames_have_the_same_scores_and_are_left_as_they_were(model: RewardModel) -> None:
    frames = frames_for(model)
    before = [{name: image.copy() for name, image in frame.images.items()} for frame in frames]
    assert same(model.score(frames, TASK), model.score(frames, TASK))
    for frame, images in zip(frames, before, strict=True):
        for name, image in images.items():
            np.testing.assert_array_equal(frame.images[name], image)


def test_moments_that_stand_for_themselves_may_be_asked_for_one_by_one(model: RewardModel) -> None:
    if model.spec.whole_episodes:
        pytest.skip("it must see an episode from its beginning")
    frames = frames_for(model)
    assert same(model.score(frames, TASK), [model.score([frame], TASK)[0] for frame in frames])


def test_picture_that_lacks_is_never_a_number(model: RewardModel) -> None:
    frames = frames_for(model)
    blind = Observation(frames[2].stamp_ns, {}, {})
    scores = model.score([*frames[:2], blind, *frames[3:]], TASK)
    assert [score.valid for score in scores] == [True, True, False, True, True, True]
    assert math.isnan(scores[2].value)
    assert "camera" in scores[2].message


def test_empty_task_and_misshapen_pictures_are_refused(model: RewardModel) -> None:
    with pytest.raises(ValueError, match="empty"):
        model.score(frames_for(model, 1), "")
    sideways = [
        Observation(f.stamp_ns, {name: image.transpose(2, 0, 1) for name, image in f.images.items()}, {})
        for f in frames_for(model, 1)
    ]
    with pytest.raises(ValueError, match=r"shape|image"):
        model.score(sideways, TASK)
