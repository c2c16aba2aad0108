"""A reward model in a process of its own: it may hang, die or answer nonsense, and whoever asked is told so in time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from reward_models.reward_model import RewardModel, RewardSpec, Score, ScoreStatus
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import TutelageError
from tutelage_core.types import Observation

NICENESS = 10
"""A score that comes late harms nobody: the model yields to arm, policy and recorder."""

LOADING_S = 120.0
"""A model may take so long to load [s]."""

_LOOK_S = 0.02
_ENDING_S = 1.0


@dataclass(frozen=True)
class Ready:
    """What a process says once it has loaded its model.

    Attributes:
        name: how the model was named.
        spec: what it needs and gives.
        threshold: a reward of at least this says success; None where it has none.
    """

    name: str
    spec: RewardSpec
    threshold: float | None


LoadModel = Callable[[str], tuple[RewardModel, float | None]]
"""From a model's name to the model and its threshold; a function at the top of a module, since a process imports it."""


class ModelProcess:
    """One model and the process it lives in, which is started again when it had to be ended."""

    def __init__(self, name: str, load: LoadModel, clock: Clock | None = None) -> None:
        """Nothing is started yet.

        Args:
            name: of the model, as `load` knows it.
            load: loads it in the process.
            clock: steady clock.
        """
        self.name = name
        self._load, self._clock = load, clock or SteadyClock()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self.starts = 0
        """How often a process was started."""

    def start(self, limit_s: float = LOADING_S) -> Ready:
        """Start the process and wait until its model is loaded.

        Raises:
            TutelageError: it refused, died or took longer than `limit_s` [s]; says what it said.
        """
        self.end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.name, self._load), daemon=True)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        process.start()
        # multiprocessing lets SIGINT and SIGTERM through again, whoever had blocked them
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        self._process, self._pipe = process, ours
        self.starts += 1
        kind, said = self._receive(limit_s)
        if kind == "ready" and isinstance(said, Ready):
            return said
        self.end()
        raise TutelageError(f"reward model '{self.name}' does not start: {said}")

    def ask(self, frames: Sequence[Observation], task: str, limit_s: float) -> list[Score]:
        """Return a score for each frame, whatever happens, after `limit_s` [s] at most.

        A process that hangs, dies or answers what is no list of scores is ended; the next question starts it again,
        and its loading counts as no answer.
        """
        if self._process is None:
            return _failed(frames, ScoreStatus.UNAVAILABLE, "the model's process has ended, and is not started yet")
        assert self._pipe is not None
        begun_ns = self._clock.now_ns()
        # who hangs reads nothing, and a question that does not fit into the pipe would wait for it for ever
        late = threading.Timer(limit_s, self._process.kill)
        late.start()
        try:
            self._pipe.send((list(frames), task))
        except (OSError, ValueError) as error:
            late.cancel()
            self.end()
            if self._clock.now_ns() - begun_ns >= limit_s * NS_PER_S:
                return _failed(frames, ScoreStatus.TIMEOUT, f"the question was not read within {limit_s:g} s")
            return _failed(frames, ScoreStatus.UNAVAILABLE, f"the model's process has died: {error}")
        finally:
            late.cancel()
        kind, said = self._receive(limit_s, (self._clock.now_ns() - begun_ns) / NS_PER_S)
        if kind == "scores":
            complaint = _complaint(said, len(frames))
            if not complaint:
                return said
            self.end()
            return _failed(frames, ScoreStatus.INVALID_PARSE, complaint)
        if kind == "refused":
            return _failed(frames, ScoreStatus.ERROR, str(said))
        self.end()
        status = ScoreStatus.TIMEOUT if kind == "late" else ScoreStatus.UNAVAILABLE
        return _failed(frames, status, str(said))

    @property
    def runs(self) -> bool:
        """Whether there is a process to ask."""
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Id of the process."""
        return None if self._process is None else self._process.pid

    def end(self) -> None:
        """End the process, by force if it does not end at once. May be called twice."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()  # who only waits for a question ends by itself
        if process is not None:
            process.join(0.0 if not process.is_alive() else _ENDING_S / 10)
            if process.is_alive():
                process.kill()
            process.join(_ENDING_S)
            process.close()

    def _receive(self, limit_s: float, spent_s: float = 0.0) -> tuple[str, Any]:
        """Return what the process says: a kind and what belongs to it; `late` or `died` if it says nothing."""
        assert self._pipe is not None
        assert self._process is not None
        end_ns = self._clock.now_ns() + round((limit_s - spent_s) * NS_PER_S)
        while True:
            left_s = (end_ns - self._clock.now_ns()) / NS_PER_S
            try:
                if self._pipe.poll(max(0.0, min(left_s, _LOOK_S))):
                    said = self._pipe.recv()
                    if isinstance(said, tuple) and len(said) == 2:
                        return said
                    return "died", "it said what cannot be understood"
            except Exception as error:  # a torn message fails in many ways
                return "died", f"the model's process has died: {error!r}"
            if not self._process.is_alive():
                return "died", f"the model's process has died, code {self._process.exitcode}"
            if left_s <= 0.0:
                return "late", f"no answer within {limit_s:g} s"


def _complaint(said: object, count: int) -> str:
    if not isinstance(said, list) or not all(isinstance(one, Score) for one in said):
        return f"the model answered with {type(said).__name__}, not with scores"
    return "" if len(said) == count else f"the model answered with {len(said)} scores to {count} frames"


def _failed(frames: Sequence[Observation], status: ScoreStatus, message: str) -> list[Score]:
    return [Score.failed(status, frame.stamp_ns, message) for frame in frames]


def _serve(pipe: Connection, name: str, load: LoadModel) -> None:
    """Load a model and answer questions until nobody is there to ask."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends with the one that started it, not with its terminal
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    os.nice(NICENESS)
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, which only models that need it do
    try:
        model, threshold = load(name)
        pipe.send(("ready", Ready(name, model.spec, threshold)))
    except Exception as error:
        told = str(error) if isinstance(error, TutelageError) else traceback.format_exc()
        pipe.send(("refused", told))
        return
    while True:
        try:
            frames, task = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[str, object] = ("scores", model.score(frames, task))
        except Exception as error:  # a model may fail in any way; it is told, and goes on
            answer = ("refused", f"{type(error).__name__}: {error}")
        try:
            pipe.send(answer)
        except (OSError, ValueError):
            return
