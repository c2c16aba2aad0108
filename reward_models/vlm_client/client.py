"""The client: asks until there is an answer, the deadline has passed, or the server is to be left alone."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from reward_models.breaker import CircuitBreaker
from reward_models.reward_model import ScoreStatus
from reward_models.vlm_client.answer import Answer, AnswerError, Reply, read_answer, read_reply
from reward_models.vlm_client.config import VlmConfig
from reward_models.vlm_client.memory import AnswerCache, CallLog
from reward_models.vlm_client.question import Question
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.types import ImageArray

LATER = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Codes of servers that may answer later; others say that they never will."""

CONNECT_S = 5.0
"""A server that cannot be connected to within this time is not there [s]."""

_TOLD = 200
"""Characters of a server's complaint that are passed on."""


@dataclass(frozen=True)
class _Failure:
    status: ScoreStatus
    message: str
    again: bool
    wait_s: float = 0.0


class VlmClient:
    """Asks one server. Use it as a context; several threads may ask at once."""

    def __init__(
        self,
        config: VlmConfig,
        *,
        cache: Path | None = None,
        log: Path | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Be ready to ask; nobody is asked yet.

        Args:
            config: which server, and how.
            cache: folder of answers that were given before; None remembers nothing.
            log: file that a line is appended to for each question; None writes none.
            clock: steady clock.
            sleep: waits for so long [s].

        Raises:
            ConfigurationError: there is no address, model or key, or cache or log cannot be written.
        """
        self._config, self._url, self._model = config, config.url, config.model_name
        key = config.key()
        self._clock = clock or SteadyClock()
        self._sleep = sleep
        self._breaker = CircuitBreaker(config.open_after, config.open_s, self._clock)
        self._cache = None if cache is None else AnswerCache(cache)
        self._log = None if log is None else CallLog(log)
        self._jitter = random.Random(config.seed)
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        # what the environment says of proxies and keys is not for this server
        self._http = httpx2.Client(headers=headers, follow_redirects=False, trust_env=False)

    def __enter__(self) -> VlmClient:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close connections and log."""
        self._http.close()
        if self._log is not None:
            self._log.close()

    def ask(
        self,
        prompt: str,
        images: Sequence[ImageArray],
        schema: Mapping[str, Any],
        *,
        deadline_s: float | None = None,
    ) -> Answer:
        """Ask, and return the answer, or why there is none.

        Args:
            prompt: the question; it should say what form the answer has.
            images: pictures, RGB, shape (height, width, 3), uint8.
            schema: JSON schema of the answer, an object's.
            deadline_s: another than the configuration's [s].

        Raises:
            ValueError: question, pictures or schema are none. What the server does is never raised.
        """
        question = Question(prompt, images, schema, self._config)
        begun_ns = self._clock.now_ns()
        answer = self._remembered(question) or self._asked(question, begun_ns, deadline_s or self._config.deadline_s)
        if self._log is not None:
            self._log.add(answer, self._model, question.pictures)
        return answer

    def _remembered(self, question: Question) -> Answer | None:
        text = None if self._cache is None else self._cache.get(question.digest)
        if text is None:
            return None
        try:
            data = read_answer(text, question.schema)
        except AnswerError:
            return None  # somebody changed the file
        return Answer(ScoreStatus.OK, data, text, "", question.digest, 0, 0.0, cached=True)

    def _asked(self, question: Question, begun_ns: int, deadline_s: float) -> Answer:
        config = self._config
        body = question.body()
        failure = _Failure(ScoreStatus.TIMEOUT, "", again=True)
        tries, wait_s = 0, config.first_wait_s
        cost: list[Reply] = []  # words that were no answer are paid for too
        while True:
            left_s = deadline_s - self._since_s(begun_ns)
            if left_s <= 0.0:
                failure = _Failure(ScoreStatus.TIMEOUT, f"no answer within {deadline_s:g} s. {failure.message}", False)
                break
            if not self._breaker.may_ask():
                message = f"the server gives no answers and is left alone for {self._breaker.left_s:.0f} s"
                failure = _Failure(ScoreStatus.UNAVAILABLE, f"{message}. {failure.message}".strip(), False)
                break
            tries += 1
            found = self._try(body, min(left_s, config.try_s))
            if isinstance(found, bytes):
                self._breaker.answered()
                try:
                    reply = read_reply(found)
                    cost.append(reply)
                    data = read_answer(reply.text, question.schema)
                except AnswerError as error:
                    found = _Failure(ScoreStatus.INVALID_PARSE, str(error), again=True)
                else:
                    if self._cache is not None:
                        self._cache.put(question.digest, self._model, reply.text)
                    return self._answer(ScoreStatus.OK, data, cost, "", question, tries, begun_ns)
            else:
                self._breaker.failed()
            failure = found
            if not failure.again or tries >= config.tries:
                break
            pause_s = max(failure.wait_s, wait_s * self._jitter.uniform(0.5, 1.0))
            wait_s = min(2.0 * wait_s, config.most_wait_s)
            if self._since_s(begun_ns) + pause_s >= deadline_s:
                message = f"the next try would be too late for the deadline of {deadline_s:g} s. {failure.message}"
                failure = _Failure(ScoreStatus.TIMEOUT, message, False)
                break
            self._sleep(pause_s)
        return self._answer(failure.status, None, cost, failure.message, question, tries, begun_ns)

    def _try(self, body: bytes, limit_s: float) -> bytes | _Failure:
        """Ask once; return what the server sent."""
        begun_ns = self._clock.now_ns()
        try:
            patience = httpx2.Timeout(limit_s, connect=min(limit_s, CONNECT_S))
            with self._http.stream("POST", self._url, content=body, timeout=patience) as response:
                received = bytearray()
                for part in response.iter_bytes():
                    received += part
                    if len(received) > self._config.most_answer_bytes:
                        message = f"the answer is longer than {self._config.most_answer_bytes} bytes"
                        return _Failure(ScoreStatus.INVALID_PARSE, message, again=False)
                    if self._since_s(begun_ns) > limit_s:  # a server that sends a byte now and then
                        return _Failure(ScoreStatus.TIMEOUT, f"no answer within {limit_s:.1f} s", again=True)
        except httpx2.TimeoutException:
            return _Failure(ScoreStatus.TIMEOUT, f"no answer within {limit_s:.1f} s", again=True)
        except httpx2.HTTPError as error:
            return _Failure(ScoreStatus.UNAVAILABLE, f"the server cannot be reached: {error}", again=True)
        if response.is_success:
            return bytes(received)
        told = received[:_TOLD].decode("utf-8", "replace").strip()
        message = f"the server says {response.status_code}: {told or response.reason_phrase}"
        later = response.status_code in LATER
        return _Failure(ScoreStatus.UNAVAILABLE, message, later, _retry_after_s(response) if later else 0.0)

    def _answer(
        self,
        status: ScoreStatus,
        data: Mapping[str, Any] | None,
        replies: Sequence[Reply],
        message: str,
        question: Question,
        tries: int,
        begun_ns: int,
    ) -> Answer:
        prices = (self._config.usd_per_million_prompt_tokens, self._config.usd_per_million_answer_tokens)
        tokens = (sum(r.prompt_tokens for r in replies), sum(r.answer_tokens for r in replies))
        usd = None
        if prices[0] is not None and prices[1] is not None:
            usd = (tokens[0] * prices[0] + tokens[1] * prices[1]) / 1e6
        return Answer(
            status,
            data,
            replies[-1].text if replies else "",
            message.strip(),
            question.digest,
            tries,
            self._since_s(begun_ns),
            prompt_tokens=tokens[0],
            answer_tokens=tokens[1],
            usd=usd,
        )

    def _since_s(self, begun_ns: int) -> float:
        return (self._clock.now_ns() - begun_ns) / NS_PER_S


def _retry_after_s(response: httpx2.Response) -> float:
    """Return how long a server asks to be left alone [s]; 0 where it says nothing that can be read."""
    try:
        wait_s = float(response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0  # a date: the usual wait has to do
    return wait_s if 0.0 <= wait_s < float("inf") else 0.0
