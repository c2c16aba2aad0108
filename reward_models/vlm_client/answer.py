"""What a vision-language model answered, and how its words are read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

from reward_models.reward_model import ScoreStatus

_FENCED = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes:
        status: OK if `data` is what was asked for.
        data: the answer, of the form that was asked for; None if there is none.
        text: the model's own words, for the log.
        message: why there is no answer.
        prompt: hash of question, pictures, form and model.
        tries: how often was asked; 0 where nobody was.
        latency_s: from the question to here [s].
        cached: it was answered before.
        prompt_tokens, answer_tokens: as the server counts them, 0 where it does not.
        usd: what it cost; None where the price is not known.
    """

    status: ScoreStatus
    data: Mapping[str, Any] | None
    text: str
    message: str
    prompt: str
    tries: int
    latency_s: float
    cached: bool = False
    prompt_tokens: int = 0
    answer_tokens: int = 0
    usd: float | None = None


class AnswerError(Exception):
    """The server's words are no answer; says why."""


@dataclass(frozen=True)
class Reply:
    """What a server sent, read.

    Attributes:
        text: the model's words.
        prompt_tokens, answer_tokens: as the server counts them, 0 where it does not.
    """

    text: str
    prompt_tokens: int
    answer_tokens: int


def read_reply(body: bytes) -> Reply:
    """Return what the server's message holds.

    Raises:
        AnswerError: it is no chat completion, or was cut off.
    """
    try:
        message = json.loads(body)
        choice = message["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise AnswerError(f"the server's message is no chat completion: {type(error).__name__}") from error
    if choice.get("finish_reason") == "length":
        raise AnswerError("the answer was cut off at most_answer_tokens")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if not isinstance(content, str) or not content.strip():
        refusal = choice["message"].get("refusal") if isinstance(choice["message"], dict) else None
        raise AnswerError(f"the model refused: {refusal}" if refusal else "the answer is empty")
    usage = message.get("usage")
    return Reply(content, _count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def read_answer(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON object in a model's words: they are nothing else, but for a fence around it.

    Raises:
        AnswerError: there is no such object, or it has another form.
    """
    fenced = _FENCED.match(text)
    try:
        data = json.loads(fenced[1] if fenced else text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"the answer is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise AnswerError(f"the answer is a {type(data).__name__}, not an object")
    found = next(Draft202012Validator(schema).iter_errors(data), None)
    if found is not None:
        place = "/".join(map(str, found.absolute_path)) or "the answer"
        raise AnswerError(f"{place}: {found.message[:200]}")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _count(usage: object, name: str) -> int:
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count > 0 else 0
