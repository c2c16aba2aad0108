"""Success that lasts, that the arm's state allows, and several models as one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reward_models.reward_model import Score, ScoreStatus
from reward_models.serving.ensemble import Ensemble
from reward_models.serving.success_vote import SuccessVote, VoteSettings
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import ArmState, Pose

pytestmark = pytest.mark.unit

STILL = ArmState(
    0, np.zeros(7), np.zeros(7), Pose(np.zeros(3), np.array([0.0, 0, 0, 1])), np.zeros(6), np.zeros(6), 0.4
)


def score(value: float, stamp_ns: int = 0, **shares: float) -> Score:
    return Score(value, ScoreStatus.OK, stamp_ns, **shares)


def lost(stamp_ns: int = 0) -> Score:
    return Score.failed(ScoreStatus.TIMEOUT, stamp_ns, "late")


def said(vote: SuccessVote, *scores: Score) -> list[bool]:
    return [vote.see(one, STILL) for one in scores]


def test_three_of_the_last_five() -> None:
    vote = SuccessVote(VoteSettings(3, 5), 0.5)
    values = [0.9, 0.1, 0.9, 0.1, 0.5, 0.1, 0.1, 0.9, 0.9]
    assert said(vote, *map(score, values)) == [False, False, False, False, True, False, False, False, True]
    vote.restart()
    assert said(vote, score(0.9), score(0.9)) == [False, False]


def test_what_was_not_scored_is_no_success_and_does_not_end_one_by_itself() -> None:
    vote = SuccessVote(VoteSettings(2, 3), 0.5)
    assert said(vote, score(0.9), lost(), score(0.9), lost(), lost()) == [False, False, True, False, False]


def test_own_threshold_goes_before_the_models_and_a_probability_does_without() -> None:
    assert said(SuccessVote(VoteSettings(1, 1, threshold=0.8), 0.2), score(0.5)) == [False]
    assert said(SuccessVote(VoteSettings(1, 1), None), score(0.0, success=0.6), score(9.0)) == [True, False]


@pytest.mark.parametrize(
    ("limits", "state", "words"),
    [
        ({"fastest_m_s": 0.1}, replace(STILL, tcp_velocity=np.array([0.2, 0, 0, 0, 0, 0])), "moves at 0.200 m/s"),
        ({"fastest_m_s": 0.1}, replace(STILL, tcp_velocity=np.full(6, math.nan)), "moves at nan"),
        ({"largest_force_n": 5.0}, replace(STILL, wrench=np.array([0, 0, -9.0, 0, 0, 0])), "feels 9.0 N"),
        ({"gripper_high": 0.3}, STILL, "open to 0.40"),
        ({"gripper_low": 0.5}, STILL, "open to 0.40"),
        ({"fastest_m_s": 0.1}, None, "nothing is known"),
    ],
)
def test_state_of_the_arm_may_speak_against_it(limits: dict[str, float], state: ArmState | None, words: str) -> None:
    vote = SuccessVote(VoteSettings(1, 1, **limits), 0.5)
    assert words in vote.objection(state)
    assert not vote.see(score(1.0), state)
    allowed = replace(STILL, gripper_opening=0.5 if "gripper_low" in limits else 0.2)
    assert vote.objection(allowed) == ""
    assert vote.see(score(1.0), allowed)


def test_nobody_asks_for_the_state_where_nothing_depends_on_it() -> None:
    assert SuccessVote(VoteSettings(1, 1), 0.5).see(score(1.0), None)


@pytest.mark.parametrize(
    "wrong", [{"votes": 0}, {"votes": 6}, {"fastest_m_s": -1.0}, {"gripper_low": 0.9, "gripper_high": 0.1}]
)
def test_votes_that_decide_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="success vote"):
        VoteSettings(**wrong)


@pytest.mark.parametrize(("rule", "value"), [("mean", 0.4), ("median", 0.3), ("least", 0.1)])
def test_ensemble_speaks_once_all_have(rule: str, value: float) -> None:
    ensemble = Ensemble(("a", "b", "c"), rule, 0)
    assert ensemble.see("a", score(0.1, 7)) is None
    assert ensemble.see("b", score(0.8, 8)) is None, "another moment"
    assert ensemble.see("b", score(0.3, 7)) is None
    joint = ensemble.see("c", score(0.8, 7))
    assert joint is not None
    assert (joint.value, joint.stamp_ns) == (pytest.approx(value), 7)


def test_ensemble_without_quorum_has_no_value_and_says_who_lacks() -> None:
    ensemble = Ensemble(("a", "b"), "mean", 0)
    ensemble.see("a", score(0.4))
    joint = ensemble.see("b", lost())
    assert joint is not None
    assert (joint.status, math.isnan(joint.value)) == (ScoreStatus.UNAVAILABLE, True)
    assert "b: timeout" in joint.message
    patient = Ensemble(("a", "b"), "mean", 1)
    patient.see("a", score(0.4, success=0.5))
    joint = patient.see("b", lost())
    assert joint is not None
    assert (joint.value, joint.success, joint.progress) == (0.4, 0.5, None)


def test_ensemble_forgets_an_episode_that_is_over() -> None:
    ensemble = Ensemble(("a", "b"), "mean", 0)
    ensemble.see("a", score(0.4))
    ensemble.restart()
    assert ensemble.see("b", score(0.4)) is None


def test_ensembles_that_cannot_be_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"least, mean, median"):
        Ensemble(("a", "b"), "best", 0)
    for models, quorum in (((), 0), (("a",), 0), (("a", "a"), 0), (("a", "b"), 3)):
        with pytest.raises(ConfigurationError, match="an ensemble joins"):
            Ensemble(models, "mean", quorum)
