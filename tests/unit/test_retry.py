"""Verify and retry: when it goes on, when it ends, from where, and what it can give."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rum.retry import Ending, RetryLoop, RetrySettings, start_offsets
from policies.rum.retry_odds import expected
from reward_models.verifier.accounts import WATCHED, VerifierRecord, VerifierWatch
from reward_models.verifier.verifier import frames_to_look_at
from tutelage_core.errors import ConfigurationError
from tutelage_core.verdict import Answer, Verdict

pytestmark = pytest.mark.unit
YES, NO, UNKNOWN = (Verdict(answer, "test", "because") for answer in Answer)
CHANCE = st.floats(0.0, 1.0)


def test_yes_ends_it_at_once() -> None:
    loop = RetryLoop(RetrySettings(), 0)
    assert loop.judge(YES) is None
    assert (loop.ending, loop.attempts) == (Ending.SUCCESS, 1)


def test_no_begins_again_elsewhere_until_the_tries_are_over() -> None:
    loop = RetryLoop(RetrySettings(tries=10), 0)
    places = [loop.attempt.offset_m]
    while (attempt := loop.judge(NO)) is not None:
        places.append(attempt.offset_m)
    assert loop.ending is Ending.TRIES
    assert loop.attempts == len(loop.verdicts) == 10
    assert len(set(places)) == 10, "each from another place"


def test_unknown_asks_again_and_is_never_taken_for_an_answer() -> None:
    loop = RetryLoop(RetrySettings(unknown_most=3), 0)
    assert loop.judge(UNKNOWN) == loop.attempt
    assert loop.judge(UNKNOWN) == loop.attempt
    assert loop.attempts == 1
    assert loop.judge(NO) is not None, "an answer starts the count anew"
    assert loop.judge(UNKNOWN) is not None
    assert loop.judge(UNKNOWN) is not None
    assert loop.judge(UNKNOWN) is None
    assert (loop.ending, loop.attempts) == (Ending.UNVERIFIED, 2)


def test_what_cannot_be_mended_ends_it_and_nothing_is_judged_after_the_end() -> None:
    loop = RetryLoop(RetrySettings(), 0)
    loop.judge(NO)
    loop.end(Ending.IRREVERSIBLE)
    with pytest.raises(ConfigurationError, match="irreversible"):
        loop.judge(YES)
    with pytest.raises(ConfigurationError):
        loop.end(Ending.TRIES)
    assert loop.attempts == 2


@given(st.lists(st.sampled_from([YES, NO, UNKNOWN]), min_size=60, max_size=60), st.integers(1, 12), st.integers(1, 4))
def test_every_loop_ends_and_says_how(verdicts: list[Verdict], tries: int, unknown: int) -> None:
    loop = RetryLoop(RetrySettings(tries=tries, unknown_most=unknown), 0)
    for verdict in verdicts:
        going = loop.judge(verdict)
        assert (going is None) == (loop.ending is not None)
        assert loop.attempts <= tries
        if going is None:
            break
    assert loop.ending is not None
    assert (loop.ending is Ending.SUCCESS) == (loop.verdicts[-1].answer is Answer.YES)


def test_starts_are_home_and_the_grid_of_rum_in_an_order_of_the_seed() -> None:
    settings = RetrySettings(sideways_m=0.09, up_m=0.06)
    offsets = start_offsets(settings, 3)
    assert offsets.shape == (11, 3)
    assert not offsets[0].any()
    assert sorted(set(offsets[1:, 1].round(6))) == [-0.09, -0.03, 0.03, 0.09]
    assert sorted(set(offsets[1:, 2].round(6))) == [0.0, 0.03, 0.06]
    assert (offsets[:, 2] >= 0.0).all()
    np.testing.assert_array_equal(offsets, start_offsets(settings, 3))
    assert not np.array_equal(offsets, start_offsets(settings, 4))


def test_closed_form_gives_the_figures_of_the_derivation() -> None:
    assert expected(0.744, 0.048, 0.0, 10).success == pytest.approx(0.984, abs=5e-4)
    odds = expected(0.744, 0.1875, 0.0, 10)
    assert odds.success == pytest.approx(0.939, abs=5e-4)
    assert odds.tries == pytest.approx(1.26, abs=5e-3)
    assert expected(0.7, 0.0, 0.0, 1).success == pytest.approx(0.7)
    assert expected(0.0, 0.0, 0.0, 10).tries == 10.0, "a verifier that never agrees"


@given(CHANCE, CHANCE, CHANCE, st.integers(1, 20))
def test_shares_are_shares_and_more_tries_lose_nothing(p: float, f: float, n: float, tries: int) -> None:
    odds, more = expected(p, f, n, tries), expected(p, f, n, tries + 1)
    assert -1e-12 <= odds.success + odds.false_success <= 1.0 + 1e-9
    assert more.success >= odds.success - 1e-12
    assert 1.0 <= odds.tries <= tries + 1e-9


def test_loop_with_a_verifier_that_errs_gives_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    p, f, n, tasks = 0.6, 0.2, 0.1, 20_000
    true = false = attempts = 0
    for _ in range(tasks):
        loop = RetryLoop(RetrySettings(tries=5), 0)
        while loop.ending is None:
            worked = rng.random() < p
            yes = rng.random() < (1.0 - n if worked else f)
            loop.judge(YES if yes else NO)
        true += loop.ending is Ending.SUCCESS and worked
        false += loop.ending is Ending.SUCCESS and not worked
        attempts += loop.attempts
    odds = expected(p, f, n, 5)
    assert true / tasks == pytest.approx(odds.success, abs=0.01)
    assert false / tasks == pytest.approx(odds.false_success, abs=0.01)
    assert attempts / tasks == pytest.approx(odds.tries, abs=0.02)


def test_record_counts_each_kind_of_error_against_its_own_tries() -> None:
    record = VerifierRecord()
    assert record.false_positive_rate is None
    for answer, worked in (
        [(Answer.YES, True)] * 8
        + [(Answer.NO, True)] * 2
        + [(Answer.YES, False)]
        + [(Answer.NO, False)] * 3
        + [(Answer.UNKNOWN, True)]
    ):
        record.count(answer, worked)
    assert record.false_negative_rate == pytest.approx(0.2)
    assert record.false_positive_rate == pytest.approx(0.25)
    assert record.unknown == 1


@pytest.mark.parametrize("answer", list(Answer))
def test_verifier_that_always_says_the_same_is_noticed(answer: Answer) -> None:
    watch = VerifierWatch()
    said = [watch.hear(answer) for _ in range(WATCHED)]
    assert not any(said[:-1])
    assert "the verifier" in said[-1]
    other = Answer.NO if answer is Answer.YES else Answer.YES
    assert watch.hear(other) == ""


@given(st.integers(1, 200), st.integers(1, 5))
def test_last_frame_is_always_looked_at(count: int, step: int) -> None:
    frames = frames_to_look_at(count, step)
    assert frames[-1] == count - 1
    assert all(b - a == step for a, b in pairwise(frames))
    assert frames[0] < step


def test_what_tries_nothing_is_refused() -> None:
    for make in (
        lambda: RetrySettings(tries=0),
        lambda: RetrySettings(up_m=float("nan")),
        lambda: expected(1.1, 0.0, 0.0, 1),
        lambda: expected(0.5, 0.0, 0.0, 0),
        lambda: frames_to_look_at(0),
        lambda: Verdict(Answer.UNKNOWN, "x"),
        lambda: Verdict(Answer.YES, ""),
    ):
        with pytest.raises(ConfigurationError):
            make()
