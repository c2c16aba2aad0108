"""Reward models handed to LeRobot and taken from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reward_models.lerobot_adapter import ForLeRobot, FromLeRobot
from reward_models.reward_model import ScoreStatus
from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig
from tests.unit.image_text_samples import ColourModel, plain
from tutelage_core.contract import CameraNeed
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit

RED, BLUE = plain(255, 0, 0), plain(0, 0, 255)


def batch(*images: np.ndarray, tasks: list[str]) -> dict[str, Any]:
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255.0
    return {"observation.images.front": pixels, "task": tasks}


def test_each_row_is_scored_for_its_own_sentence() -> None:
    ours = VlmRm(ColourModel(), VlmRmConfig())
    asked = batch(RED, BLUE, RED, tasks=["red", "red", "blue"])
    found = ForLeRobot(ours).compute_reward(asked)
    assert found.shape == (3,)
    expected = [
        ours.score([Observation(0, {"front": image}, {})], task)[0].value
        for image, task in ((RED, "red"), (BLUE, "red"), (RED, "blue"))
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"observation.images.front": torch.zeros(2, 3, 4, 4) + 200.0}, "divided by 255"),
        ({"observation.images.front": torch.full((2, 3, 4, 4), float("nan"))}, "divided by 255"),
        ({"observation.images.front": torch.zeros(2, 4, 4, 3)}, "shape"),
        ({"observation.images.front": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)}, "floats"),
        ({"observation.images.front": None}, "got none"),
        ({"task": ["red"]}, "a sentence"),
        ({"task": "red"}, "a sentence"),
    ],
)
def test_batch_in_another_form_is_refused(change: dict[str, Any], complaint: str) -> None:
    asked = {**batch(RED, BLUE, tasks=["red", "red"]), **change}
    with pytest.raises(ValueError, match=complaint):
        ForLeRobot(VlmRm(ColourModel(), VlmRmConfig())).compute_reward(asked)


class Theirs:
    def __init__(self, rewards: Tensor) -> None:
        self.rewards = rewards
        self.asked: list[dict[str, Any]] = []

    def compute_reward(self, batch: dict[str, Any]) -> Tensor:
        self.asked.append(batch)
        return self.rewards


def test_their_rewards_come_with_a_status() -> None:
    theirs = Theirs(torch.tensor([0.25, float("nan"), float("inf")]))
    model = FromLeRobot(theirs, "theirs", {"front": CameraNeed(32, 32)}, "abc")
    frames = [Observation(i, {"front": RED}, {}) for i in range(3)]
    scores = model.score(frames, "red")
    assert [score.status for score in scores] == [ScoreStatus.OK, ScoreStatus.OUT_OF_RANGE, ScoreStatus.OUT_OF_RANGE]
    assert scores[0].value == 0.25
    assert all(np.isnan(score.value) for score in scores[1:])
    (asked,) = theirs.asked
    assert asked["task"] == ["red"] * 3
    torch.testing.assert_close(asked["observation.images.front"][0, :, 0, 0], torch.tensor([1.0, 0.0, 0.0]))
    with pytest.raises(ValueError, match=r"rewards of shape \(2,\), 3 were asked for"):
        FromLeRobot(Theirs(torch.zeros(2)), "theirs", {"front": CameraNeed(32, 32)}).score(frames, "red")
    with pytest.raises(ValueError, match="camera 'front'"):
        model.score([Observation(0, {"front": plain(1, 2, 3, side=16)}, {})], "red")
