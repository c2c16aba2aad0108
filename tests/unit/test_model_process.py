"""A reward model that hangs, dies or answers nonsense costs its own scores, and says so in time."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from served_models import frame, load

from reward_models.reward_model import Score, ScoreStatus
from reward_models.serving.model_process import ModelProcess
from reward_models.serving.scorer import Answer, Scorer, ScorerSettings
from tutelage_core.clock import ManualClock
from tutelage_core.errors import ConfigurationError, TutelageError
from tutelage_core.types import Observation

pytestmark = pytest.mark.unit

LIMIT_S = 30.0


@pytest.fixture
def model() -> Iterator[ModelProcess]:
    process = ModelProcess("brightness", load)
    process.start(LIMIT_S)
    yield process
    process.end()


def one(scores: list[Score]) -> Score:
    (score,) = scores
    return score


def test_process_answers_as_the_model_does(model: ModelProcess) -> None:
    scores = model.ask([frame(255, 3), frame(0, 4)], "look", LIMIT_S)
    assert [(s.value, s.stamp_ns, s.status) for s in scores] == [(1.0, 3, ScoreStatus.OK), (0.0, 4, ScoreStatus.OK)]
    assert psutil.Process(model.pid).nice() > psutil.Process().nice(), "it yields to whatever drives"


@pytest.mark.parametrize(
    ("sentence", "status", "words"),
    [
        ("hang", ScoreStatus.TIMEOUT, "no answer within 0.2 s"),
        ("die", ScoreStatus.UNAVAILABLE, "has died"),
        ("lie", ScoreStatus.INVALID_PARSE, "answered with str"),
        ("drop", ScoreStatus.INVALID_PARSE, "0 scores to 1 frames"),
    ],
)
def test_what_went_wrong_is_told_and_the_process_is_ended(
    model: ModelProcess, sentence: str, status: ScoreStatus, words: str
) -> None:
    pid = model.pid
    limit_s = 0.2 if sentence == "hang" else LIMIT_S
    score = one(model.ask([frame(255)], sentence, limit_s))
    assert (score.status, score.valid) == (status, False)
    assert math.isnan(score.value)
    assert words in score.message
    assert not model.runs
    assert not psutil.pid_exists(pid)
    assert one(model.ask([frame(255)], "look", LIMIT_S)).status is ScoreStatus.UNAVAILABLE, "nobody is there"
    model.start(LIMIT_S)
    assert one(model.ask([frame(255)], "look", LIMIT_S)).value == 1.0
    assert model.starts == 2


def test_question_that_the_model_refuses_does_not_end_it(model: ModelProcess) -> None:
    score = one(model.ask([frame(255)], "raise", LIMIT_S))
    assert (score.status, score.message) == (ScoreStatus.ERROR, "ValueError: the picture is upside down")
    assert one(model.ask([frame(255)], "doubt", LIMIT_S)).status is ScoreStatus.OUT_OF_RANGE
    assert one(model.ask([frame(255)], "look", LIMIT_S)).value == 1.0
    assert model.starts == 1


def test_killed_process_is_noticed(model: ModelProcess) -> None:
    os.kill(model.pid, signal.SIGKILL)
    assert one(model.ask([frame(255)], "look", LIMIT_S)).status is ScoreStatus.UNAVAILABLE


def test_question_that_nobody_reads_costs_no_more_than_the_deadline(model: ModelProcess) -> None:
    large = [Observation(n, {"front": np.zeros((512, 512, 3), np.uint8)}, {}) for n in range(8)]
    assert all(score.valid for score in model.ask(large, "look", LIMIT_S))
    os.kill(model.pid, signal.SIGSTOP)
    scores = model.ask(large, "look", 0.3)
    assert {score.status for score in scores} == {ScoreStatus.TIMEOUT}
    assert "not read within 0.3 s" in scores[0].message
    assert not model.runs


@pytest.mark.parametrize(
    ("name", "limit_s", "words"),
    [
        ("missing", LIMIT_S, "there is no such folder"),
        ("broken", LIMIT_S, "RuntimeError: out of memory"),
        ("slow", 0.5, "no answer within 0.5 s"),
    ],
)
def test_model_that_does_not_load_is_told(name: str, limit_s: float, words: str) -> None:
    process = ModelProcess(name, load)
    with pytest.raises(TutelageError, match=words) as told:
        process.start(limit_s)
    assert name in str(told.value)
    assert not process.runs


class Heard:
    """Gathers answers, and waits for them."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def wait(self, count: int) -> list[Answer]:
        end = time.monotonic() + LIMIT_S
        while len(self.answers) < count:
            assert time.monotonic() < end, f"{len(self.answers)} of {count} answers"
            time.sleep(0.005)
        return self.answers

    def statuses(self, count: int) -> list[ScoreStatus]:
        return [answer.score.status for answer in self.wait(count)]


@pytest.fixture
def begun() -> Iterator[Callable[..., tuple[Scorer, Heard]]]:
    open_ones: list[Scorer] = []

    def begin(name: str = "brightness", clock: ManualClock | None = None, **settings: float) -> tuple[Scorer, Heard]:
        heard = Heard()
        scorer = Scorer(ModelProcess(name, load), ScorerSettings(**settings), heard.answers.append, clock)
        scorer.begin(LIMIT_S)
        open_ones.append(scorer)
        return scorer, heard

    yield begin
    for scorer in open_ones:
        scorer.end()


def test_every_question_gets_one_answer_and_the_oldest_is_dropped(begun: Callable[..., tuple[Scorer, Heard]]) -> None:
    scorer, heard = begun(queue=2, deadline_s=0.5, stale_s=60.0)
    for number in range(8):
        scorer.ask([frame(255, number)], "hang" if number == 0 else "look", "one")
    heard.wait(8)
    assert sorted(answer.question.frames[-1].stamp_ns for answer in heard.answers) == list(range(8))
    dropped = [a.score.stamp_ns for a in heard.answers if a.score.status is ScoreStatus.DROPPED]
    assert dropped in (list(range(1, 6)), list(range(6))), "the newest two are kept, and the first one if it was asked"
    newest = {a.score.stamp_ns: a.score for a in heard.answers}
    assert newest[7].value == newest[6].value == 1.0
    assert all(a.score.valid or math.isnan(a.score.value) for a in heard.answers)


def test_model_that_does_not_answer_is_left_alone_and_asked_again(begun: Callable[..., tuple[Scorer, Heard]]) -> None:
    clock = ManualClock()
    scorer, heard = begun(clock=clock, failures=2, pause_s=10.0, stale_s=1e6, queue=8)
    for number, sentence in enumerate(("die", "die", "look", "look")):
        scorer.ask([frame(255)], sentence)
        heard.wait(number + 1)
    assert heard.statuses(4) == [ScoreStatus.UNAVAILABLE] * 4
    assert "left alone for 10.0 s more" in heard.answers[2].score.message
    assert scorer.left_alone_s == 10.0
    clock.set_ns(10_500_000_000)
    scorer.ask([frame(255)], "look")
    assert heard.wait(5)[4].score.value == 1.0
    assert scorer.left_alone_s == 0.0


def test_model_that_cannot_be_started_again_is_left_alone(
    begun: Callable[..., tuple[Scorer, Heard]], tmp_path: Path
) -> None:
    scorer, heard = begun(f"once:{tmp_path / 'mark'}", failures=2, pause_s=1e6, stale_s=60.0)
    for number, sentence in enumerate(("die", "look", "look")):
        scorer.ask([frame(255)], sentence)
        heard.wait(number + 1)
    assert heard.statuses(3) == [ScoreStatus.UNAVAILABLE] * 3
    assert "the folder has gone" in heard.answers[1].score.message
    assert "left alone" in heard.answers[2].score.message


def test_moment_that_waited_for_too_long_is_not_asked_about(begun: Callable[..., tuple[Scorer, Heard]]) -> None:
    clock = ManualClock()
    scorer, heard = begun(clock=clock, stale_s=2.0, deadline_s=0.5)
    scorer.ask([frame(255)], "hang")
    scorer.ask([frame(255)], "look")
    clock.set_ns(3_000_000_000)
    assert heard.statuses(2)[1] is ScoreStatus.STALE


def test_what_waits_when_scoring_ends_is_answered(begun: Callable[..., tuple[Scorer, Heard]]) -> None:
    scorer, heard = begun(deadline_s=0.2, stale_s=60.0)
    scorer.ask([frame(255)], "hang")
    scorer.ask([frame(255)], "look")
    scorer.end()
    scorer.ask([frame(255)], "look")
    assert [a.score.message for a in heard.wait(3)].count("scoring has ended") >= 1
    assert heard.answers[-1].score.status in (ScoreStatus.DROPPED, ScoreStatus.TIMEOUT)


@pytest.mark.parametrize("wrong", [{"queue": 0}, {"deadline_s": 0.0}, {"failures": 0}, {"pause_s": -1.0}])
def test_settings_that_ask_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="scorer"):
        ScorerSettings(**wrong)
