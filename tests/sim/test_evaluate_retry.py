"""Success with a verifier and retries, over seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from policies.rum.retry import Attempt, Ending, RetrySettings
from tutelage.retrying import AttemptResult, RetriedEpisode, RetryOptions
from tutelage.runs.evaluate_retry import EvaluateRetryConfig, RetryEvaluation, evaluate_retry
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.verdict import Answer, Verdict

pytestmark = [pytest.mark.sim, pytest.mark.timeout(300)]

SHIPPED = EvaluateRetryConfig("bc_pick_cube", episodes=2, attempts=RetryOptions(RetrySettings(tries=2)))


def outcome(*tried: tuple[Answer, bool], ending: Ending = Ending.SUCCESS) -> RetriedEpisode:
    attempts = tuple(
        AttemptResult(Attempt(number, (0.0, 0.0, 0.0)), 50, Verdict(answer, "eyes"), worked, ())
        for number, (answer, worked) in enumerate(tried)
    )
    return RetriedEpisode(ending, attempts[-1].worked, attempts, "" if attempts[-1].worked else "timeout")


def test_figures_are_those_of_the_attempts() -> None:
    outcomes = {
        1: outcome((Answer.YES, True)),
        2: outcome((Answer.NO, False), (Answer.YES, True)),
        3: outcome((Answer.NO, True), (Answer.YES, False)),
        4: outcome((Answer.NO, False), (Answer.NO, False), ending=Ending.TRIES),
    }
    found = RetryEvaluation(SHIPPED, outcomes)
    assert (found.successes, found.first_successes, found.mean_tries) == (2, 2, 1.75)
    record = found.record
    assert (record.true_yes, record.false_no, record.false_yes, record.true_no) == (2, 1, 1, 3)
    assert found.doubts == []
    assert "with retry: 2 of 4" in found.summary()
    assert "1 of 4 failures taken for success, 1 of 3 successes not seen" in found.summary()
    assert "3 success, 1 tries" in found.summary()


def test_verifier_that_never_says_no_is_told_of() -> None:
    found = RetryEvaluation(SHIPPED, {seed: outcome((Answer.YES, seed % 2 == 0)) for seed in range(25)})
    assert "said yes 20 times in a row" in found.summary()


def test_policy_is_tried_again_where_the_verifier_errs_and_every_verdict_is_kept(tmp_path: Path) -> None:
    once = evaluate_retry(replace(SHIPPED, output=tmp_path / "sure"))
    assert once.successes == once.first_successes == 2, "the shipped policy does these"
    assert once.mean_tries == 1.0
    again = evaluate_retry(replace(SHIPPED, processes=1, false_negative=1.0, output=tmp_path / "never"))
    assert (again.successes, again.first_successes, again.mean_tries) == (0, 2, 2.0)
    assert {o.ending for o in again.outcomes.values()} == {Ending.TRIES}
    pictures = sorted(path.name for path in (tmp_path / "never" / "verdicts").iterdir())
    assert pictures[:2] == ["1000000-0-no-worked.jpg", pictures[1]]
    assert len(pictures) == 4
    told = json.loads((tmp_path / "never" / "retry.json").read_text(encoding="utf-8"))
    assert told["verifier"]["false_no"] >= 2
    assert list(told["tasks"]) == ["1000000", "1000001"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"episodes": 0}, "at least 1"),
        ({"false_positive": 1.5}, "0..1"),
        ({"verifier": "twin_tower", "false_positive": 0.1}, "errs on order"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        replace(SHIPPED, **changes)


def test_unknown_verifier_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownNameError, match="vlm"):
        evaluate_retry(replace(SHIPPED, verifier="oracle"))
