"""The production graph in real time with the page beside it, a person at the page, and one at the session."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect
from running_graph import Graph, launched, test_environment
from session_client import Person, person
from tutelage_interfaces import msg as ti

from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner
from tutelage_core.types import Source
from tutelage_nodes import topics

LIMIT_MS = 20_000.0
SEED = 1_000_000
NODES = ("twin_node", "arm_node", "policy_node", "recorder_node", "session_node")
expect.set_options(timeout=LIMIT_MS)
TRIES = 8
PATIENT = {"camera_pause_s": "3.0", "camera_end_s": "15.0", "policy_silence_s": "3.0"}
"""A machine that tests keep busy is late with pictures; that pauses an episode, which is not what is tested here."""

STILL_S = 0.7
"""A stop is cleared only once the arm has rested for 0.5 s."""


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """`ui_node`, by its launch file."""

    def __init__(self, domain: int, folder: Path, port: int, **arguments: str) -> None:
        """Start it."""
        self.port, self.output = port, io.StringIO()
        environment = test_environment(domain)
        self._runner = LaunchRunner(environment=environment, stream=self.output)
        file = packages.package_share("tutelage_bringup", environment) / "launch" / "ui.launch.yaml"
        options = {"folder": str(folder / "episodes"), "log": str(folder / "log"), "port": str(port), **arguments}
        self._runner.start(file, options)

    @property
    def pid(self) -> int:
        """Id of its process."""
        return int(re.findall(r"ui_node started, pid (\d+)", self.output.getvalue())[-1])

    def wait(self, by: Person) -> None:
        """Wait until it is ready."""
        by.wait(lambda: "[ui_node]: ready" in self.output.getvalue(), f"the page's server: {self.output.getvalue()}")

    def kill(self) -> None:
        """Kill it, as nobody should."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """End it as a launch does; return how it ended."""
        return self._runner.shutdown()


@dataclass
class Workplace:
    """All of it.

    Attributes:
        graph: the graph.
        server: the page's server.
        operator: somebody at the session's services.
        domain: the ROS domain.
        folder: where recordings and logs go.
    """

    graph: Graph
    server: Server
    operator: Person
    domain: int
    folder: Path

    def begin(self, **goal: Any) -> Any:
        """Begin an episode that does not end by itself; return the future of its result."""
        wanted = {"task": "PickCube", "seed": SEED, "max_steps": 100_000, "driver": "policy", **goal}
        future = self.operator.begin(**wanted)
        assert future is not None, "the session has rejected the episode"
        reason = "waiting for a hand" if wanted["driver"] == "hand" else "driving"
        self.operator.wait_for_state("PAUSED" if wanted["driver"] == "hand" else "AUTONOMOUS", reason)
        return future

    def executed_by(self, source: Source) -> list[ti.ExecutedAction]:
        """Return a list that fills with what `source` does from now on, while somebody waits for something."""
        found: list[ti.ExecutedAction] = []

        def note(message: ti.ExecutedAction) -> None:
            if message.source == source:
                found.append(message)

        self.operator.node.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, note, topics.reliable())
        return found

    def start_server_again(self) -> None:
        """Start the page's server where the last one was."""
        self.server.end()
        self.server = Server(self.domain, self.folder, self.server.port)
        self.server.wait(self.operator)

    def take_over(self, press: Callable[[], Any], release: Callable[[], Any], done: Callable[[], Any]) -> None:
        """Press the enabling key until something is done.

        On a starved machine the page may say nothing for 0.2 s: that lets go, as it must, and the key is pressed again.
        """
        for _ in range(TRIES):
            since = len(self.operator.states)
            press()

            def silent(since: int = since) -> bool:
                return any("no word" in state.reason for state in self.operator.states[since:])

            self.operator.wait(lambda silent=silent: done() or silent(), "what the hand is to do")
            if done():
                return
            release()
        raise AssertionError(f"the hand was interrupted {TRIES} times")

    def corrects(self) -> bool:
        """Tell whether a hand drives."""
        return self.operator.states[-1].state == "CORRECTING"

    def rest(self) -> None:
        """End what runs and clear what is stopped, for the next test."""
        self.operator.event("EPISODE_ENDED")
        self.operator.wait(lambda: self.operator.states[-1].episode == "", "no episode")
        if self.operator.states[-1].state == "STOPPED":
            self.operator.wait(lambda: self.operator.event("CLEAR_STOP").accepted, "the stop is cleared")
            self.operator.wait_for_state("PAUSED")


@contextmanager
def workplace(domain: int, policy: Path, folder: Path, **arguments: str) -> Iterator[Workplace]:
    """Bring everything up in ROS domain `domain`, and down at the end."""
    options = {"clock": "realtime", "policy": str(policy), "folder": str(folder / "episodes"), **PATIENT, **arguments}
    with launched(domain, options) as graph, person(domain) as operator:
        for name in NODES:
            graph.wait_until_printed(f"[{name}]: ready")
        server = Server(domain, folder, free_port())
        try:
            server.wait(operator)
            made = Workplace(graph, server, operator, domain, folder)
            yield made
            server = made.server
        finally:
            server.end()


def open_page(browser: Browser, port: int, **options: Any) -> Page:
    """Open the page and wait until it shows the session; its errors fail the test that closes it."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
    context.set_default_timeout(LIMIT_MS)
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{port}/")
    return page


def shows(page: Page, state: str, why: str = "") -> None:
    """Wait until the page's banner says this state, with `why` in its words."""
    expect(page.locator("#state")).to_have_text(state)
    if why:
        expect(page.locator("#state-words")).to_contain_text(why)
