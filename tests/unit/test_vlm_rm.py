"""VLM-RM as a reward model, on a model that knows colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reward_models.reward_model import ScoreStatus
from reward_models.vlm_rm.vlm_rm import COSINE, VlmRm, VlmRmConfig, standardised
from tests.unit.image_text_samples import ColourModel, plain
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit

RED, BLUE = plain(255, 0, 0), plain(0, 0, 255)


def frames(*images: np.ndarray | None) -> list[Observation]:
    return [Observation(i, {} if image is None else {"front": image}, {}) for i, image in enumerate(images)]


def test_picture_that_fits_the_sentence_is_rewarded_more() -> None:
    model = VlmRm(ColourModel(), VlmRmConfig())
    red, blue = model.score(frames(RED, BLUE), "make it red")
    assert red.value == pytest.approx(1.0, abs=0.01)
    assert blue.value == pytest.approx(0.0, abs=0.01)
    assert (red.stamp_ns, blue.stamp_ns) == (0, 1)
    assert (red.model, red.status) == ("colours-1", ScoreStatus.OK)
    red, blue = model.score(frames(RED, BLUE), "make it blue")
    assert blue.value > red.value


def test_cosine_stands_beside_the_regularised_value() -> None:
    model = VlmRm(ColourModel(), VlmRmConfig(goals=("red",), baselines=("green",), alpha=1.0))
    (unrelated,) = model.score(frames(BLUE), "anything")
    assert unrelated.value == pytest.approx(0.75, abs=0.01)
    assert unrelated.further[COSINE] == pytest.approx(0.0, abs=0.01)


def test_prompt_s_hash_tells_what_was_asked() -> None:
    def asked(config: VlmRmConfig, task: str) -> str:
        return VlmRm(ColourModel(), config).score(frames(RED), task)[0].prompt

    plain_config = VlmRmConfig()
    assert asked(plain_config, "red") == asked(plain_config, "red") != asked(plain_config, "blue")
    fixed = VlmRmConfig(goals=("red",), baselines=("green",))
    assert asked(fixed, "x") == asked(fixed, "y")
    assert len({asked(c, "x") for c in (fixed, replace(fixed, alpha=0.5), replace(fixed, renormalise=False))}) == 3


def test_picture_that_lacks_is_nan_and_the_others_are_not_touched() -> None:
    scores = VlmRm(ColourModel(), VlmRmConfig()).score(frames(RED, None, BLUE), "red")
    assert [score.status for score in scores] == [ScoreStatus.OK, ScoreStatus.STALE, ScoreStatus.OK]
    assert np.isnan(scores[1].value)
    assert "camera 'front'" in scores[1].message
    assert [score.stamp_ns for score in scores] == [0, 1, 2]
    assert VlmRm(ColourModel(), VlmRmConfig()).score([], "red") == []


def test_sentences_are_embedded_once() -> None:
    colours = ColourModel()
    model = VlmRm(colours, VlmRmConfig(baselines=("a table",)))
    for _ in range(3):
        model.score(frames(RED), "red")
    assert colours.texts == ["a table", "red"]


def test_standardised_rewards_have_mean_0_and_deviation_1() -> None:
    raw = [s.value for s in VlmRm(ColourModel(), VlmRmConfig()).score(frames(RED, BLUE, plain(90, 90, 90)), "red")]
    mean, std = standardised([*raw, float("nan")])
    model = VlmRm(ColourModel(), VlmRmConfig(mean=mean, std=std))
    again = np.array([s.value for s in model.score(frames(RED, BLUE, plain(90, 90, 90)), "red")])
    assert again.mean() == pytest.approx(0.0, abs=1e-9)
    assert again.std() == pytest.approx(1.0)
    assert model.spec.low <= again.min() <= again.max() <= model.spec.high
    for said in ([], [1.0], [1.0, 1.0], [1.0, float("nan")]):
        with pytest.raises(ConfigurationError, match="cannot be standardised"):
            standardised(said)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"alpha": 2.0}, "alpha must be"),
        ({"alpha": 0.5}, "needs a baseline"),
        ({"goals": ("",)}, "empty"),
        ({"std": 0.0}, "positive std"),
        ({"mean": float("nan")}, "finite mean"),
    ],
)
def test_settings_with_which_nothing_is_compared_are_refused(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        VlmRmConfig(**wrong)  # type: ignore[arg-type]


def test_baseline_that_says_the_same_as_the_goal_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="say the same"):
        VlmRm(ColourModel(), VlmRmConfig(goals=("red",), baselines=("make it red",)))


def test_empty_task_is_refused() -> None:
    for config in (VlmRmConfig(), VlmRmConfig(goals=("red",))):
        with pytest.raises(ValueError, match="empty"):
            VlmRm(ColourModel(), config).score(frames(RED), " ")
