"""The client of vision-language models against a real server on loopback that also misbehaves."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reward_models.reward_model import ScoreStatus
from reward_models.vlm_client.answer import Answer
from reward_models.vlm_client.client import VlmClient
from reward_models.vlm_client.config import VlmConfig
from tests.unit.vlm_server import VlmServer, code, hangs, pictures, raw, says, trickles, vlm_server
from tutelage_core.clock import ManualClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green", "blue"]}, "share": {"type": "number", "maximum": 1.0}},
    "required": ["colour", "share"],
    "additionalProperties": False,
}
GOOD = json.dumps({"colour": "red", "share": 0.5})
KEY = "sk-very-secret"


def picture(*rgb: int, side: int = 32) -> np.ndarray:
    return np.full((side, side, 3), rgb, np.uint8)


RED, BLUE = picture(250, 10, 10), picture(10, 10, 250)


class Asker:
    """A client whose waits take no time, and who notes them."""

    def __init__(self, server: VlmServer | None, **of: Any) -> None:
        self.waits: list[float] = []
        files = {name: of.pop(name) for name in ("cache", "log") if name in of}
        clock = of.pop("clock", None)
        plain = VlmConfig(
            "http://127.0.0.1:9/v1" if server is None else server.url, "eyes", tries=3, deadline_s=20.0, try_s=10.0
        )
        self.client = VlmClient(replace(plain, **of), sleep=self.waits.append, clock=clock, **files)

    def __call__(self, prompt: str = "Which colour?", image: np.ndarray = RED, **of: Any) -> Answer:
        return self.client.ask(prompt, [image], SCHEMA, **of)


def test_answers_come_from_the_pixels_and_the_question_is_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # is not for this server
    with vlm_server() as server:
        ask = Asker(server, api_key_env="MY_KEY", most_side_px=64, picture_format="png", seed=5)
        first, second = ask(image=RED), ask(image=picture(0, 0, 200, side=200))
    assert first.status is ScoreStatus.OK
    assert first.data == {"colour": "red", "share": 0.98}
    assert second.data is not None
    assert second.data["colour"] == "blue"
    assert (first.tries, first.cached, first.prompt_tokens, first.answer_tokens, first.usd) == (
        1,
        False,
        1000,
        20,
        None,
    )
    request = server.requests[0]
    assert (request["model"], request["temperature"], request["seed"]) == ("eyes", 0.0, 5)
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert request["messages"][0]["content"][0] == {"type": "text", "text": "Which colour?"}
    np.testing.assert_array_equal(pictures(request)[0], RED)  # PNG loses nothing
    assert pictures(server.requests[1])[0].shape == (64, 64, 3)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert first.prompt != second.prompt


def test_busy_server_is_asked_again_and_not_sooner_than_it_says() -> None:
    with vlm_server(code(429, Retry_After="3"), code(503)) as server:
        ask = Asker(server, first_wait_s=0.5)
        answer = ask()
    assert answer.status is ScoreStatus.OK
    assert answer.tries == 3
    assert ask.waits[0] == 3.0
    assert 0.5 <= ask.waits[1] <= 1.0, "the wait doubles, with jitter"


def test_wait_that_would_end_after_the_deadline_is_not_waited_for() -> None:
    with vlm_server(code(429, b"quota", Retry_After="3600")) as server:
        ask = Asker(server)
        answer = ask()
    assert answer.status is ScoreStatus.TIMEOUT
    assert "429: quota" in answer.message
    assert ask.waits == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        (raw(b"<html>502</html>"), "no chat completion"),
        (raw(b"\xff\xfe\x00"), "no chat completion"),
        (raw(b"[" * 5000), "no chat completion"),
        (raw(b'{"choices": []}'), "no chat completion"),
        (says("red, I think"), "no JSON"),
        (says(f"Sure! {GOOD}"), "no JSON"),
        (says('{"colour": "red", "share": NaN}'), "no number of JSON"),
        (says('["red"]'), "a list, not an object"),
        (says('{"colour": "red", "share": 7}'), "share: 7 is greater"),
        (says('{"colour": "red"}'), "'share' is a required"),
        (says('{"colour": "mauve", "share": 1}'), "colour: 'mauve' is not one of"),
        (says(""), "is empty"),
        (says(None), "is empty"),
        (says('{"colour": "red", "sh', finish_reason="length"), "cut off"),
    ],
)
def test_words_that_are_no_answer_are_never_guessed_at(behaviour: Any, complaint: str) -> None:
    with vlm_server(behaviour, behaviour, behaviour) as server:
        answer = Asker(server)()
    assert answer.status is ScoreStatus.INVALID_PARSE
    assert answer.data is None
    assert complaint in answer.message
    assert answer.tries == len(server.requests) == 3


def test_garbage_is_asked_about_again_and_paid_for() -> None:
    garbage = says("red", prompt_tokens=500, completion_tokens=5)
    with vlm_server(garbage) as server:
        answer = Asker(server, usd_per_million_prompt_tokens=2.0, usd_per_million_answer_tokens=10.0)()
    assert answer.status is ScoreStatus.OK
    assert (answer.prompt_tokens, answer.answer_tokens) == (1500, 25)
    assert answer.usd == pytest.approx((1500 * 2.0 + 25 * 10.0) / 1e6)


@pytest.mark.parametrize("text", [f"```json\n{GOOD}\n```", f"  ```\n{GOOD}```", [{"type": "text", "text": GOOD}]])
def test_fences_and_parts_around_an_answer_are_taken_off(text: Any) -> None:
    with vlm_server(says(text)) as server:
        assert Asker(server)().data == {"colour": "red", "share": 0.5}


def test_connection_that_breaks_in_the_middle_of_an_answer_is_tried_again() -> None:
    with vlm_server(raw(b'{"choices": [{"mess', length=500)) as server:
        answer = Asker(server)()
    assert (answer.status, answer.tries) == (ScoreStatus.OK, 2)


@pytest.mark.parametrize("behaviour", [hangs, trickles])
def test_server_that_hangs_costs_no_more_than_its_tries(behaviour: Any) -> None:
    with vlm_server(behaviour, behaviour, behaviour) as server:
        answer = Asker(server, try_s=0.2, tries=2)()
        assert answer.status is ScoreStatus.TIMEOUT
        assert "no answer within 0.2 s" in answer.message
        assert len(server.requests) == 2
        late = Asker(server, try_s=10.0)(deadline_s=0.2)
        assert (late.status, late.tries) == (ScoreStatus.TIMEOUT, 1)


@pytest.mark.parametrize("number", [301, 400, 401, 403, 404])
def test_server_that_will_never_answer_is_asked_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with vlm_server(code(number, b'{"error": "no such model"}', Location="http://127.0.0.1:1/")) as server:
        answer = Asker(server, api_key_env="MY_KEY")()
    assert answer.status is ScoreStatus.UNAVAILABLE
    assert f"{number}: " in answer.message
    assert "no such model" in answer.message
    assert KEY not in answer.message
    assert len(server.requests) == 1


def test_answer_that_does_not_end_is_not_read_on() -> None:
    with vlm_server(raw(b"x" * 5000)) as server:
        answer = Asker(server, most_answer_bytes=1000)()
    assert answer.status is ScoreStatus.INVALID_PARSE
    assert "longer than 1000 bytes" in answer.message


def test_dead_server_is_left_alone_for_a_while_and_then_tried_once() -> None:
    clock = ManualClock()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        ask = Asker(None, base_url=url, tries=2, open_after=3, open_s=30.0, clock=clock)
        first, second = ask(), ask()
        assert (first.status, first.tries) == (ScoreStatus.UNAVAILABLE, 2)
        assert "cannot be reached" in first.message
        assert (second.status, second.tries) == (ScoreStatus.UNAVAILABLE, 1)
        third = ask()
        assert third.tries == 0
        assert "left alone for 30 s" in third.message
        clock.advance_ns(31 * NS_PER_S)
        assert ask().tries == 1, "one try, and it is left alone again"
        assert ask().tries == 0
    with vlm_server() as server:
        clock.advance_ns(31 * NS_PER_S)
        ask.client._url = f"{server.url}/chat/completions"
        assert ask().status is ScoreStatus.OK
        assert ask().status is ScoreStatus.OK


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    with vlm_server(says("no")) as server:
        ask = Asker(server, cache=tmp_path)
        first, again = ask(), ask()
        assert (first.data, again.data, again.cached, again.tries) == (first.data, first.data, True, 0)
        assert len(server.requests) == 2, "the first words were no answer, and are not kept"
        ask(image=BLUE)
        ask("Which colour is it?")
        Asker(server, cache=tmp_path, model="others")()
        Asker(server, cache=tmp_path, temperature=0.5)()
        assert len(server.requests) == 6
        assert Asker(server, cache=tmp_path)().cached, "another process finds it too"
        for damage in ("{", json.dumps({"question": first.prompt, "text": '{"colour": 1}'})):
            (tmp_path / f"{first.prompt}.json").write_text(damage)
            assert not ask().cached
            assert ask().cached, "the damaged one was replaced"


def test_each_question_leaves_a_line_and_none_leaves_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with vlm_server(code(401)) as server:
        ask = Asker(server, log=tmp_path / "calls.jsonl", cache=tmp_path / "cache", api_key_env="MY_KEY")
        ask(), ask(), ask()
        ask.client.close()
    text = (tmp_path / "calls.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["status"] for row in rows] == ["unavailable", "ok", "ok"]
    assert [row["cached"] for row in rows] == [False, False, True]
    assert all(row["model"] == "eyes" and len(row["pictures"]) == 1 and row["latency_s"] >= 0.0 for row in rows)
    kept = "".join(file.read_text() for file in (tmp_path / "cache").iterdir())
    assert KEY not in text + kept


def test_disk_that_takes_nothing_costs_memory_and_log_but_no_answer(tmp_path: Path) -> None:
    with vlm_server() as server:
        ask = Asker(server, log=Path("/dev/full"), cache=tmp_path / "cache")
        (tmp_path / "cache").rmdir()
        (tmp_path / "cache").write_text("in the way")
        assert ask().status is ScoreStatus.OK
        assert not ask().cached
    assert ask.client._log is not None
    assert ask.client._log.lost == 2


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (lambda c: c.ask(" ", [RED], SCHEMA), "is empty"),
        (lambda c: c.ask("x" * 20_001, [RED], SCHEMA), "20001 characters"),
        (lambda c: c.ask("?", [RED] * 9, SCHEMA), "9 pictures"),
        (lambda c: c.ask("?", [RED.astype(np.float32)], SCHEMA), "uint8"),
        (lambda c: c.ask("?", [RED[..., 0]], SCHEMA), "height, width, 3"),
        (lambda c: c.ask("?", [RED[:0]], SCHEMA), "height, width, 3"),
        (lambda c: c.ask("?", [RED], {"type": "objekt"}), "no JSON schema"),
        (lambda c: c.ask("?", [RED], {"type": "array"}), "that of an object"),
    ],
)
def test_what_is_no_question_is_refused(asked: Callable[[VlmClient], Answer], complaint: str) -> None:
    with VlmClient(VlmConfig("http://127.0.0.1:9/v1", "eyes")) as client, pytest.raises(ValueError, match=complaint):
        asked(client)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"base_url": ""}, "TUTELAGE_VLM_URL"),
        ({"base_url": "127.0.0.1:80"}, "no address"),
        ({"base_url": "file:///etc/passwd"}, "no address"),
        ({"base_url": "http://me:word@127.0.0.1/v1"}, "plain"),
        ({"model": ""}, "TUTELAGE_VLM_MODEL"),
        ({"api_key_env": "NOT_SET_ANYWHERE"}, "holds no key"),
        ({"deadline_s": 0.0}, "deadline_s"),
        ({"tries": 0}, "tries"),
        ({"temperature": 3.0}, "temperature"),
        ({"most_side_px": 8}, "most_side_px"),
    ],
)
def test_settings_with_which_nobody_can_be_asked_are_refused(
    wrong: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TUTELAGE_VLM_URL", "TUTELAGE_VLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match=complaint):
        VlmClient(VlmConfig(**{"base_url": "http://127.0.0.1:9/v1", "model": "eyes", **wrong}))


def test_address_and_model_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with vlm_server() as server:
        monkeypatch.setenv("TUTELAGE_VLM_URL", f"{server.url}/")
        monkeypatch.setenv("TUTELAGE_VLM_MODEL", "from outside")
        with VlmClient(VlmConfig()) as client:
            assert client.ask("?", [RED], SCHEMA).status is ScoreStatus.OK
    assert server.requests[0]["model"] == "from outside"
