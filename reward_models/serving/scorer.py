"""Asks one model, in a thread: a bounded queue, a deadline for each question, and a pause for who does not answer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reward_models.breaker import CircuitBreaker
from reward_models.reward_model import Score, ScoreStatus
from reward_models.serving.model_process import LOADING_S, ModelProcess, Ready
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import ConfigurationError, TutelageError
from tutelage_core.types import Observation

LOST = frozenset({ScoreStatus.TIMEOUT, ScoreStatus.UNAVAILABLE, ScoreStatus.INVALID_PARSE})
"""A model that answers so does not work; others have said something about the question."""


@dataclass(frozen=True)
class ScorerSettings:
    """How a model is asked.

    Attributes:
        queue: questions that may wait; the oldest is dropped for a newer one.
        deadline_s: for the answer to one moment, once it is asked [s].
        stale_s: a moment that has waited for longer is not asked about any more [s].
        failures: questions in a row without an answer after which the model is left alone.
        pause_s: for how long [s].
    """

    queue: int = 4
    deadline_s: float = 1.0
    stale_s: float = 2.0
    failures: int = 3
    pause_s: float = 5.0

    def __post_init__(self) -> None:
        """Refuse settings that ask nothing."""
        if min(self.queue, self.failures) < 1 or not (min(self.deadline_s, self.stale_s) > 0.0 and self.pause_s >= 0.0):
            raise ConfigurationError(
                "scorer: queue and failures must be at least 1, deadline_s and stale_s positive, pause_s not "
                f"negative; got {self}"
            )


@dataclass(frozen=True)
class Question:
    """A moment that a model is asked about.

    Attributes:
        frames: moments of one episode up to this one; the model's last score is the answer.
        task: what was asked of the robot.
        episode: name of the episode.
        asked_ns: when, on the steady clock [ns].
    """

    frames: tuple[Observation, ...]
    task: str
    episode: str
    asked_ns: int


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Attributes:
        model: name of the model.
        question: what was asked.
        score: of its last moment.
        seconds: from the question to the answer [s].
    """

    model: str
    question: Question
    score: Score
    seconds: float


class Scorer:
    """One model and the thread that asks it. Every question gets exactly one answer."""

    def __init__(
        self,
        process: ModelProcess,
        settings: ScorerSettings,
        answered: Callable[[Answer], None],
        clock: Clock | None = None,
    ) -> None:
        """Nothing is asked before `begin`.

        Args:
            process: the model.
            settings: how it is asked.
            answered: called with every answer, from this scorer's thread or the one that asks.
            clock: steady clock.
        """
        self.name, self._process, self._settings, self._tell = process.name, process, settings, answered
        self._clock = clock or SteadyClock()
        self._breaker = CircuitBreaker(settings.failures, settings.pause_s, self._clock)
        self._waiting: deque[Question] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._thread = threading.Thread(target=self._work, name=f"scorer {process.name}", daemon=True)
        self.ready: Ready | None = None

    def begin(self, limit_s: float = LOADING_S) -> Ready:
        """Load the model and begin to ask it.

        Raises:
            TutelageError: it does not start.
        """
        self.ready = self._process.start(limit_s)
        self._thread.start()
        return self.ready

    def ask(self, frames: Sequence[Observation], task: str, episode: str = "") -> None:
        """Ask about the last of these moments; never waits."""
        question = Question(tuple(frames), task, episode, self._clock.now_ns())
        dropped: list[Question] = []
        with self._changed:
            if self._over:
                dropped.append(question)
            else:
                while len(self._waiting) >= self._settings.queue:
                    dropped.append(self._waiting.popleft())
                self._waiting.append(question)
                self._changed.notify()
        for old in dropped:
            self._answer(old, _failed(old, ScoreStatus.DROPPED, "newer moments came faster than the model could look"))

    @property
    def left_alone_s(self) -> float:
        """How long the model is not asked any more [s]."""
        return self._breaker.left_s

    def end(self) -> None:
        """Answer what waits, and end thread and process."""
        with self._changed:
            self._over = True
            waiting, self._waiting = list(self._waiting), deque()
            self._changed.notify()
        for question in waiting:
            self._answer(question, _failed(question, ScoreStatus.DROPPED, "scoring has ended"))
        if self._thread.is_alive():
            self._thread.join(self._settings.deadline_s + 1.0)
        self._process.end()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                question = self._waiting.popleft()
            self._answer(question, self._ask(question))

    def _ask(self, question: Question) -> Score:
        waited_s = (self._clock.now_ns() - question.asked_ns) / NS_PER_S
        if waited_s > self._settings.stale_s:
            return _failed(question, ScoreStatus.STALE, f"it waited for {waited_s:.2f} s")
        if not self._breaker.may_ask():
            why = f"the model did not answer; it is left alone for {self._breaker.left_s:.1f} s more"
            return _failed(question, ScoreStatus.UNAVAILABLE, why)
        if not self._process.runs:
            try:
                self._process.start()
            except TutelageError as error:
                self._breaker.failed()
                return _failed(question, ScoreStatus.UNAVAILABLE, str(error))
            if (self._clock.now_ns() - question.asked_ns) / NS_PER_S > self._settings.stale_s:
                self._breaker.answered()
                return _failed(question, ScoreStatus.STALE, "the model had to be loaded again")
        score = self._process.ask(question.frames, question.task, self._settings.deadline_s)[-1]
        if score.status in LOST:
            self._breaker.failed()
        else:
            self._breaker.answered()
        return score

    def _answer(self, question: Question, score: Score) -> None:
        seconds = (self._clock.now_ns() - question.asked_ns) / NS_PER_S
        self._tell(Answer(self.name, question, score, seconds))


def _failed(question: Question, status: ScoreStatus, message: str) -> Score:
    return Score.failed(status, question.frames[-1].stamp_ns, message)
