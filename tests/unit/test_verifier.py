"""Verifiers: a yes, a no, and what is neither."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reward_models.reward_model import RewardSpec, Score, ScoreStatus
from reward_models.verifier.loading import load_verifier
from reward_models.verifier.reward_verifier import RewardVerifier, RewardVerifierConfig
from reward_models.verifier.verifier import Verifier
from reward_models.verifier.vlm_verifier import Clauses, VlmVerifier, VlmVerifierConfig
from reward_models.vlm_client.client import VlmClient
from reward_models.vlm_client.config import VlmConfig
from tests.unit.vlm_server import VlmServer, code, pictures, says, vlm_server
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.types import Observation
from tutelage_core.verdict import Answer

pytestmark = pytest.mark.unit
TASK = "lift the bag"


def attempt(count: int) -> list[Observation]:
    """Frame k is taken at k ns, and its pixels say k."""
    return [Observation(k, {"wrist": np.full((8, 8, 3), k, np.uint8)}, {}) for k in range(count)]


class Scored:
    """A reward model that says of frame k what `say(k)` returns; NaN is no answer."""

    def __init__(self, say: Callable[[int], float], *, has_success: bool = True, whole: bool = False) -> None:
        self.spec = RewardSpec("scored", {"wrist": None}, whole_episodes=whole, has_success=has_success)
        self.say, self.asked = say, []

    def score(self, frames: Sequence[Observation], task: str) -> list[Score]:
        self.asked.append([frame.stamp_ns for frame in frames])
        return [self._one(frame.stamp_ns) for frame in frames]

    def _one(self, stamp_ns: int) -> Score:
        value = self.say(stamp_ns)
        if math.isnan(value):
            return Score.failed(ScoreStatus.TIMEOUT, stamp_ns, "too slow")
        return Score(value, ScoreStatus.OK, stamp_ns, success=value if self.spec.has_success else None)


@pytest.mark.parametrize(
    ("say", "answer"),
    [
        (lambda k: 0.9, Answer.YES),
        (lambda k: 0.1, Answer.NO),
        (lambda k: 0.9 if k < 15 else 0.1, Answer.NO),  # it had it, and lost it
        (lambda k: 0.1 if k < 15 else 0.9, Answer.YES),
        (lambda k: 0.1 if k == 19 else 0.9, Answer.YES),  # one of three
        (lambda k: math.nan, Answer.UNKNOWN),
        (lambda k: math.nan if k < 19 else 0.9, Answer.UNKNOWN),
    ],
)
def test_last_frames_of_a_reward_model_decide(say: Callable[[int], float], answer: Answer) -> None:
    model = Scored(say)
    verdict = RewardVerifier("mine", model).verify(attempt(20), TASK)
    assert (verdict.answer, verdict.verifier, verdict.stamps_ns) == (answer, "mine", (15, 17, 19))
    assert model.asked == [[15, 17, 19]], "no more is asked than is looked at"
    if answer is Answer.UNKNOWN:
        assert "too slow" in verdict.reason


def test_model_of_whole_episodes_sees_every_other_frame() -> None:
    model = Scored(lambda k: 0.9, whole=True)
    RewardVerifier("mine", model).verify(attempt(5), TASK)
    assert model.asked == [[0, 2, 4]]


def test_model_without_probability_is_judged_by_its_reward() -> None:
    model = Scored(lambda k: 0.3, has_success=False)
    with pytest.raises(ConfigurationError, match="threshold"):
        RewardVerifier("mine", model)
    assert RewardVerifier("mine", model, 0.25).verify(attempt(3), TASK).answer is Answer.YES
    chosen = RewardVerifierConfig(threshold=0.35)
    assert RewardVerifier("mine", model, 0.25, chosen).verify(attempt(3), TASK).answer is Answer.NO


def test_model_that_wants_to_be_surer_is_asked_for_more() -> None:
    model = Scored(lambda k: 0.8)
    assert RewardVerifier("mine", model).verify(attempt(3), TASK).answer is Answer.YES
    assert RewardVerifier("mine", model, likely=0.9).verify(attempt(3), TASK).answer is Answer.NO


@pytest.mark.parametrize(
    ("frames", "task", "why"),
    [([], TASK, "no frame"), (attempt(3), " ", "task"), ([Observation(0, {}, {})], TASK, "wrist")],
)
def test_what_cannot_be_judged_is_refused(frames: list[Observation], task: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        RewardVerifier("mine", Scored(lambda k: 0.9)).verify(frames, task)


# a vision-language model


@pytest.fixture
def server() -> Iterator[VlmServer]:
    with vlm_server() as running:
        yield running


def eyes(server: VlmServer, **settings: object) -> VlmVerifier:
    client = VlmClient(VlmConfig(server.url, "eyes", tries=1, picture_format="png"), sleep=lambda _: None)
    return VlmVerifier("vlm", client, replace(VlmVerifierConfig(), **settings))


def said(over_time: bool, at_last: bool, mend: bool = True) -> str:
    fields = {"over_time": over_time, "at_last": at_last, "another_try_can_mend_it": mend, "reason": "I see it"}
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("over_time", "at_last", "mend", "answer", "irreversible"),
    [
        (True, True, True, Answer.YES, False),
        (True, True, False, Answer.YES, False),
        (True, False, True, Answer.NO, False),
        (False, True, True, Answer.NO, False),
        (False, False, False, Answer.NO, True),
    ],
)
def test_both_halves_must_hold(
    server: VlmServer, over_time: bool, at_last: bool, mend: bool, answer: Answer, irreversible: bool
) -> None:
    server.script = [says(said(over_time, at_last, mend))]
    verdict = eyes(server).verify(attempt(3), TASK)
    assert (verdict.answer, verdict.irreversible, verdict.reason) == (answer, irreversible, "I see it")


@pytest.mark.parametrize(
    "misbehaves", [says("Yes."), says('{"over_time": "yes", "at_last": true}'), code(500), code(401)]
)
def test_what_is_no_answer_is_unknown_and_never_a_no(server: VlmServer, misbehaves) -> None:
    server.script = [misbehaves]
    verdict = eyes(server).verify(attempt(3), TASK)
    assert verdict.answer is Answer.UNKNOWN
    assert verdict.reason


@pytest.mark.parametrize(
    ("count", "most", "shown"), [(7, 8, [0, 2, 4, 6]), (6, 8, [1, 3, 5]), (99, 4, [0, 32, 66, 98]), (9, 1, [8])]
)
def test_every_other_frame_back_from_the_last_is_shown(
    server: VlmServer, count: int, most: int, shown: list[int]
) -> None:
    server.script = [says(said(True, True))]
    verdict = eyes(server, most_frames=most).verify(attempt(count), TASK)
    assert list(verdict.stamps_ns) == shown
    assert [int(picture[0, 0, 0]) for picture in pictures(server.requests[0])] == shown


def test_question_has_the_task_and_its_two_halves(server: VlmServer) -> None:
    verifier = eyes(server, clauses={TASK: Clauses("the fingers close on the bag", "the bag hangs in the fingers")})
    asked = verifier.question(TASK, 4)
    assert TASK in asked
    assert "the fingers close on the bag" in asked
    assert "the bag hangs in the fingers" in asked
    assert "fold the napkin" in verifier.question("fold the napkin", 4), "a task without halves is asked in its words"


# by name


def test_verifiers_are_loaded_from_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vlm.yaml").write_text(
        "server: {base_url: 'http://127.0.0.1:9/v1', model: eyes}\n"
        "question: {cameras: [front], clauses: {'lift it': {over_time: it is lifted, at_last: it is up}}}\n",
        encoding="utf-8",
    )
    vlm = load_verifier(f"vlm:{tmp_path / 'vlm.yaml'}")
    assert isinstance(vlm, Verifier)
    assert list(vlm.cameras) == ["front"]
    (tmp_path / "mine.py").write_text(
        "from tests.unit.test_verifier import Scored\ndef made():\n    return Scored(lambda k: 0.4)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own.yaml").write_text("model: python:mine:made\nverifier: {threshold: 0.3}\n", encoding="utf-8")
    assert load_verifier(f"reward:{tmp_path / 'own.yaml'}").verify(attempt(3), TASK).answer is Answer.YES
    assert load_verifier("python:mine:made").verify(attempt(3), TASK).answer is Answer.NO


def test_bad_names_and_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="success_classifier"):
        load_verifier("oracle")
    with pytest.raises(ConfigurationError, match="vlm:FILE"):
        load_verifier("vlm")
    path = tmp_path / "vlm.yaml"
    path.write_text("question: {most_frames: 5, cameras: [front, wrist]}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="10 pictures"):
        load_verifier(f"vlm:{path}")
