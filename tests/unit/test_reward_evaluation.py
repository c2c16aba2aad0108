"""The table of reward models, on baselines whose rows are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from reward_models.evaluation.baselines import Oracle, baselines, constant, frame_counter, random_reward
from reward_models.evaluation.table import NOTES, Row, rows_of
from reward_models.evaluation.trials import Order, Trial, scored
from reward_models.reward_model import RewardModel, Score, ScoreStatus
from reward_models.vlm_rm.vlm_rm import VlmRm, VlmRmConfig
from tests.unit.image_text_samples import ColourModel
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit

LENGTH = 8


def trial(name: str, kind: str, success: bool, seed: int = 0) -> Trial:
    """The picture turns into the task's colour as far as the task is done."""
    progress = np.linspace(0.0, 1.0 if success else 0.3, LENGTH)
    if not success:
        progress = progress[[0, 3, 1, 5, 2, 4, 7, 6]]  # a failure goes to and fro
    channel = ("red", "green", "blue").index(kind)
    frames = []
    for number, done in enumerate(progress):
        image = np.full((16, 16, 3), 100, np.uint8)
        image[..., channel] = round(100 + 150 * done)
        frames.append(Observation(1_000 * seed + number, {"front": image}, {}))
    return Trial(name, kind, f"make it {kind}", tuple(frames), (progress > 0.9).astype(float), progress)


TRIALS = [trial(f"{kind} {n}", kind, n % 2 == 0, n) for kind in ("red", "blue") for n in range(4)]


def row(model: RewardModel, kind: str = "red", threshold: float | None = None) -> Row:
    found = rows_of(model, TRIALS, threshold=threshold)
    assert [r.kind for r in found] == ["red", "blue"]
    return next(r for r in found if r.kind == kind)


def test_orders_show_what_they_say_and_stamps_rise() -> None:
    one = TRIALS[0]
    oracle = Oracle(TRIALS)
    forward = scored(oracle, one, Order.FORWARD).values
    np.testing.assert_array_equal(forward, one.progress)
    np.testing.assert_array_equal(scored(oracle, one, Order.REVERSED).values, one.progress[::-1])
    shuffled = scored(oracle, one, Order.SHUFFLED, seed=3).values
    assert sorted(shuffled) == sorted(one.progress)
    assert not np.array_equal(shuffled, forward)
    np.testing.assert_array_equal(scored(oracle, one, Order.FROZEN).values, 0.0)


def test_constant_is_unknown_where_nothing_can_be_said() -> None:
    values = row(constant()).values
    for name in ("voc_success", "voc_failure", "voc_reversed", "voc_frozen", "epic_success", "epic_progress"):
        assert math.isnan(values[name]), name
    assert values["voc_unknown"] == 4
    assert (values["tau_a"], values["auroc"], values["swap_margin"]) == (0.0, 0.5, 0.0)


def test_frame_counter_wins_the_order_and_nothing_else() -> None:
    values = row(frame_counter()).values
    for name in ("voc_success", "voc_failure", "voc_reversed", "voc_shuffled", "voc_frozen"):
        assert values[name] == pytest.approx(1.0), name
    assert values["voc_gap"] == pytest.approx(0.0)
    assert (values["tau_a"], values["auroc"]) == (0.0, 0.5)


def test_oracle_knows() -> None:
    found = row(Oracle(TRIALS), threshold=0.9)
    values = found.values
    assert (found.model, found.successes, found.failures) == ("oracle", 2, 2)
    assert values["voc_success"] == pytest.approx(1.0)
    assert values["voc_reversed"] == pytest.approx(-1.0)
    assert values["voc_gap"] > 0.1
    assert values["voc_frozen"] != values["voc_frozen"]  # NaN: nothing changes
    assert (values["auroc"], values["tau_a"]) == (1.0, 1.0)
    assert (values["precision"], values["recall"], values["balanced_accuracy"]) == (1.0, 1.0, 1.0)
    assert values["epic_progress"] == pytest.approx(0.0, abs=1e-6)
    assert values["progress_error"] == pytest.approx(0.0)
    assert values["swap_margin"] == 0.0, "it does not listen to the words"
    assert values["not_ok"] == 0.0


def test_model_that_looks_and_listens_has_a_margin() -> None:
    values = row(VlmRm(ColourModel(), VlmRmConfig())).values
    assert values["swap_margin"] > 0.1
    assert values["voc_success"] == pytest.approx(1.0)
    assert values["voc_reversed"] == pytest.approx(-1.0)
    assert values["auroc"] == 1.0
    assert math.isnan(values["precision"]), "it has no threshold"
    assert math.isnan(values["progress_error"]), "it says nothing of progress"


class Lame:
    """An oracle that answers every other time only."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle, self.spec = oracle, oracle.spec

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        scores = self._oracle.score(frames, task)
        return [s if n % 2 else Score.failed(ScoreStatus.TIMEOUT, s.stamp_ns, "too late") for n, s in enumerate(scores)]


def test_what_was_not_scored_is_counted_and_left_out() -> None:
    values = row(Lame(Oracle(TRIALS))).values
    assert values["not_ok"] == 0.5
    assert values["voc_success"] == pytest.approx(1.0)
    assert values["epic_progress"] == pytest.approx(0.0, abs=1e-6)


def test_model_that_gives_another_number_of_scores_is_refused() -> None:
    class Short(Lame):
        def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
            return super().score(frames, task)[1:]

    with pytest.raises(ValueError, match="7 scores for 8 frames"):
        rows_of(Short(Oracle(TRIALS)), TRIALS)


def test_trial_without_truth_is_refused() -> None:
    good = TRIALS[0]
    with pytest.raises(ValueError, match="no ground truth"):
        Trial("x", "red", "t", good.frames, good.success, np.full(LENGTH, np.nan))
    with pytest.raises(ValueError, match="one of each for each"):
        Trial("x", "red", "t", good.frames, good.success[1:], good.progress)


def test_all_four_baselines_are_there_and_the_random_one_is_seeded() -> None:
    assert [model.spec.name for model in baselines(TRIALS)] == ["constant", "frame counter", "random", "oracle"]
    assert all(isinstance(model, RewardModel) for model in baselines(TRIALS))
    frames = list(TRIALS[0].frames)
    one, two = (random_reward(5).score(frames, "x") for _ in range(2))
    assert [s.value for s in one] == [s.value for s in two]
    assert not Oracle([]).score(frames, "x")[0].valid
    assert any("tau-a" in note for note in NOTES)
