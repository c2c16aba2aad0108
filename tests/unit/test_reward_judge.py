"""A reward model that a policy learns from: success, shaping, and rewards that are not known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import pytest
from served_models import Brightness, frame

from reward_models.reward_model import RewardSpec
from reward_models.serving.success_vote import VoteSettings
from tutelage.learning.judge import HISTORY, RewardChoice, RewardJudge, Verdict, load_judge
from tutelage.learning.training_episode import shaped
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError, ContractMismatchError
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit

TWICE = VoteSettings(2, 2)


def test_reward_says_when_it_is_done_and_how_good_it_looks_before() -> None:
    judge = RewardJudge(Brightness(), TWICE, 0.5, shaping=2.0)
    judge.restart("make it bright")
    assert judge.potential == 0.0
    assert [judge.judge(frame(value)) for value in (0, 255, 255)] == [Verdict.NO, Verdict.NO, Verdict.SUCCESS]
    assert judge.potential == 2.0
    judge.restart("make it bright")
    assert judge.judge(frame(255)) is Verdict.NO, "the last episode's moments do not count"


def test_moment_without_a_score_is_unknown_and_so_is_its_potential() -> None:
    judge = RewardJudge(Brightness(), TWICE, 0.5, shaping=1.0)
    judge.restart("doubt")
    assert judge.judge(frame(255)) is Verdict.UNKNOWN
    assert math.isnan(judge.potential)
    sparse = RewardJudge(Brightness(), TWICE, 0.5, shaping=0.0)
    sparse.restart("doubt")
    sparse.judge(frame(255))
    assert sparse.potential == 0.0


def test_shaping_changes_no_order_of_policies() -> None:
    """The sum over an episode that ends is what it was, less the first potential, whatever is between."""
    gamma, potentials = 0.9, [0.3, 0.7, 0.1, 0.5]
    total = sum(
        gamma**k * shaped(potentials[k], potentials[min(k + 1, 3)], gamma, over=k == 3) for k in range(len(potentials))
    )
    assert total == pytest.approx(-potentials[0])
    assert shaped(0.4, 0.6, gamma, over=False) == pytest.approx(0.9 * 0.6 - 0.4), "a time limit is no end"
    assert math.isnan(shaped(math.nan, 0.5, gamma, over=False))


def test_model_that_judges_whole_episodes_is_shown_what_came_before() -> None:
    class Counter(Brightness):
        spec = RewardSpec("counter", {"front": None}, whole_episodes=True)
        shown: ClassVar[list[int]] = []

        def score(self, frames, task):
            self.shown.append(len(frames))
            return super().score(frames, task)

    judge = RewardJudge(Counter(), TWICE, 0.5, shaping=0.0)
    judge.restart("look")
    for _ in range(HISTORY + 2):
        judge.judge(frame(0))
    assert Counter.shown == [*range(1, HISTORY + 1), HISTORY, HISTORY]


def test_model_that_can_never_say_success_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has no threshold"):
        RewardJudge(Brightness(), TWICE, None, shaping=1.0)
    RewardJudge(Brightness(), replace(TWICE, threshold=0.9), None, shaping=1.0)


def test_votes_of_the_arm_s_state_are_refused_rather_than_never_given() -> None:
    with pytest.raises(ConfigurationError, match="cannot depend on the arm's speed"):
        RewardJudge(Brightness(), replace(TWICE, fastest_m_s=0.1), 0.5, shaping=1.0)


def test_judge_is_found_by_name_and_must_see_what_the_robot_sees() -> None:
    contract = load_contract("twin")
    assert load_judge("", contract, RewardChoice()) is None
    votes = replace(TWICE, threshold=0.9)
    judge = load_judge("", contract, RewardChoice("python:served_models:make_brightness", votes=votes))
    assert isinstance(judge, RewardJudge)
    with pytest.raises(ConfigurationError, match="either the classifier"):
        load_judge("a", contract, RewardChoice("python:served_models:make_brightness"))
    with pytest.raises(ContractMismatchError, match="camera 'side'"):
        load_judge("", contract, RewardChoice("python:test_reward_judge:make_sidelong", votes=votes))


class Sidelong(Brightness):
    spec = RewardSpec("sidelong", {"side": None})


def make_sidelong() -> Sidelong:
    return Sidelong()


def test_observation_that_the_model_refuses_is_told() -> None:
    judge = RewardJudge(Brightness(), TWICE, 0.5, shaping=1.0)
    judge.restart("raise")
    with pytest.raises(ValueError, match="upside down"):
        judge.judge(Observation(0, {}, {}))
