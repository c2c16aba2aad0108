"""Scores: what they say, and what they may not."""

from __future__ import annotations

import math

import pytest

from reward_models.reward_model import Score, ScoreStatus

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("status", [s for s in ScoreStatus if s is not ScoreStatus.OK])
def test_what_failed_is_nan_and_says_why(status: ScoreStatus) -> None:
    score = Score.failed(status, 7, "the server hangs", model="m", prompt="p")
    assert math.isnan(score.value)
    assert not score.valid
    assert (score.stamp_ns, score.model, score.prompt, score.message) == (7, "m", "p", "the server hangs")
    for value in (0.0, 0.5, math.inf):
        with pytest.raises(ValueError, match="does not go with"):
            Score(value, status, 7)
    with pytest.raises(ValueError, match="success"):
        Score(math.nan, status, 7, success=0.0)


def test_what_is_ok_has_a_finite_value_and_shares_in_range() -> None:
    assert Score(-0.5, ScoreStatus.OK, 1, success=0.0, progress=1.0).valid
    for value in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="does not go with"):
            Score(value, ScoreStatus.OK, 1)
    for shares in ({"success": 1.5}, {"progress": -0.1}, {"progress": math.nan}):
        with pytest.raises(ValueError, match=r"in 0\.\.1"):
            Score(0.0, ScoreStatus.OK, 1, **shares)
