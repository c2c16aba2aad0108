"""Brings a graph up from the page, tells how it does, and takes it down."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO, cast

from policies.registry import find_checkpoint
from tutelage.environment import graph_environment
from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner
from tutelage.runs.graph import BRING_UP_PACKAGE, LAUNCH_FILE, RunConfig, check
from tutelage.ui.messages import Launch
from tutelage_core.errors import TutelageError

REWARD_LAUNCH_FILE = "reward.launch.yaml"
LINES = 60
"""Lines of the graph's output that the page shows; the log file has all of them."""

LOOK_S = 0.5
READY_MARK = "]: ready"
"""What each node prints once it is up."""


class GraphStarter:
    """At most one graph at a time. `start` and `end` return at once; `show("graph", ...)` tells what comes of it."""

    def __init__(self, folder: Path, episodes: Path, show: Callable[[str, Mapping[str, Any]], None]) -> None:
        """Write logs and black boxes into `folder`, recordings into `episodes`."""
        self._folder, self._episodes, self._show = folder, episodes, show
        self._lines: deque[str] = deque(maxlen=LINES)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, asked: Launch) -> str:
        """Bring a graph up; return what is going on now.

        Raises:
            TutelageError: one that was brought up here is up already.
        """
        if self._thread is not None and self._thread.is_alive():
            raise TutelageError("a graph is up already: take it down first")
        self._ending.clear()
        self._lines.clear()
        self._thread = threading.Thread(target=self._run, args=(asked,), name="graph", daemon=True)
        self._thread.start()
        return "the graph is being brought up"

    def end(self) -> str:
        """Take the graph down; return what is going on now.

        Raises:
            TutelageError: none was brought up here.
        """
        if self._thread is None or not self._thread.is_alive():
            raise TutelageError("no graph was brought up from this page: end it where it was started")
        self._ending.set()
        return "the graph is being taken down"

    def close(self) -> None:
        """Take down what is up, and wait for its end."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=20.0)

    def _run(self, asked: Launch) -> None:
        try:
            self._tell("coming up", f"{asked.robot}, {asked.task}, {asked.policy}")
            check(RunConfig(robot=asked.robot, task=asked.task, policy=asked.policy))
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "graph.log").open("w", encoding="utf-8") as log:
                self._watch_over(asked, log)
        except Exception as error:  # whatever it is, whoever asked is told
            self._tell("down", str(error) or repr(error))

    def _watch_over(self, asked: Launch, log: TextIO) -> None:
        environment = graph_environment()
        share = packages.package_share(BRING_UP_PACKAGE, environment) / "launch"
        tail = _Tail(log, self._lines)
        output = cast("TextIO", tail)
        runners = [LaunchRunner(environment=environment, stream=output)]
        common = {"robot": asked.robot, "clock": "realtime", "folder": str(self._episodes.resolve())}
        try:
            graph = {
                **common,
                "task": asked.task,
                "policy": str(find_checkpoint(asked.policy).resolve()),
                "black_box": str(self._folder / "black_box"),
            }
            runners[0].start(share / LAUNCH_FILE, graph)
            if asked.rewards:
                runners.append(LaunchRunner(environment=environment, stream=output))
                runners[1].start(share / REWARD_LAUNCH_FILE, {**common, "models": ",".join(asked.rewards)})
            while not self._ending.wait(LOOK_S):
                if died := _died(runners):
                    self._tell("coming down", died)
                    break
                count = sum(len(runner.processes) for runner in runners)
                what = f"{asked.robot}, {asked.task}, {asked.policy}; {tail.ready} of {count} nodes are ready"
                self._tell("up" if tail.ready >= count else "coming up", what)
            else:
                died = ""
                self._tell("coming down", "")
        finally:
            for runner in reversed(runners):
                runner.shutdown()
        self._tell("down", died)

    def _tell(self, state: str, message: str) -> None:
        self._show("graph", {"state": state, "message": message, "log": list(self._lines)})


class _Tail(io.TextIOBase):
    """Writes into a log, keeps the last lines, and counts the nodes that have said that they are ready."""

    def __init__(self, log: TextIO, lines: deque[str]) -> None:
        self._log, self._lines, self.ready = log, lines, 0

    def write(self, text: str, /) -> int:
        self.ready += READY_MARK in text
        self._lines.extend(line for line in text.splitlines() if line)
        return self._log.write(text)

    def flush(self) -> None:
        self._log.flush()


def _died(runners: list[LaunchRunner]) -> str:
    """Return what is to be said of a node that has ended by itself, empty if none has."""
    for runner in runners:
        for name, process in list(runner.processes.items()):
            if process.returncode is not None:
                told = [line for line in process.lines if line.strip()]
                return f"{name} ended with {process.returncode}: {told[-1] if told else 'no output'}"
    return ""
