"""Verify and retry in the graph: lock-step, and once in real time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.action import ActionClient
from running_graph import Graph, launched
from session_client import Person, person
from tutelage_interfaces import msg as ti
from tutelage_interfaces.action import RunTask

from tests.unit.served_verifiers import TOLD
from tutelage_core.episodes.labels import read_labels
from tutelage_core.episodes.store import EpisodeStore
from tutelage_core.types import Source
from tutelage_nodes import topics

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]

NODES = ("twin_node", "arm_node", "policy_node", "recorder_node", "session_node", "verifier_node")
SEED = 1_000_003
STEPS = 12


class Operator:
    """A person who asks for tasks, and hears what the arm does."""

    def __init__(self, somebody: Person) -> None:
        self.person = somebody
        self.tasks = ActionClient(somebody.node, RunTask, topics.RUN_TASK)
        self.executed: list[ti.ExecutedAction] = []
        self.doing: list[tuple[int, str]] = []
        somebody.node.create_subscription(
            ti.ExecutedAction, topics.ARM_EXECUTED, self.executed.append, topics.reliable(5000)
        )

    def ask(self, **goal: Any) -> Any:
        """Return the goal's handle."""
        self.person.wait(self.tasks.server_is_ready, "the action's server")

        def hear(message: Any) -> None:
            self.doing.append((message.feedback.attempt, message.feedback.doing))

        fields = {"task": "PickCube", "seed": SEED, "max_steps": STEPS, **goal}
        asked = self.tasks.send_goal_async(RunTask.Goal(**fields), feedback_callback=hear)
        self.person.wait(asked.done, "answer to the goal")
        return asked.result()

    def result(self, handle: Any) -> RunTask.Result:
        assert handle.accepted
        done = handle.get_result_async()
        self.person.wait(done.done, "the task's result")
        return done.result().result


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the verifier says."""
    file = tmp_path / "told"
    helpers = str(Path(__file__).parent.parent / "unit")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv(TOLD, str(file))
    return lambda *words: file.write_text("\n".join(words), encoding="utf-8")


@contextmanager
def graph(domain: int, policy: Path, folder: Path, clock: str = "lockstep") -> Iterator[Operator]:
    arguments = {"clock": clock, "policy": str(policy), "folder": str(folder)}
    arguments["verifier"] = "python:served_verifiers:make_told"
    with launched(domain, arguments) as running, person(domain) as somebody:
        ready(running)
        yield Operator(somebody)


def ready(running: Graph) -> None:
    for name in NODES:
        running.wait_until_printed(f"[{name}]: ready", limit_s=60.0)


@pytest.mark.parametrize("clock", ["lockstep", "realtime"])
def test_no_is_tried_again_from_elsewhere_in_the_same_scene(
    clock: str, domain: int, small_policy: Path, tmp_path: Path, told: Callable[..., None]
) -> None:
    told("no", "yes")
    with graph(domain, small_policy, tmp_path / "episodes", clock) as operator:
        result = operator.result(operator.ask(record=True, name="tried"))
    assert (result.success, result.ending, result.attempts) == (True, "success", 2)
    assert list(result.answers) == ["no", "yes"]
    assert result.steps == 2 * STEPS
    assert operator.doing == [(0, "attempt"), (0, "verdict"), (1, "attempt"), (1, "verdict")]
    sources = [Source(step.source) for step in operator.executed]
    assert sources.count(Source.HOMING) > 10, "the arm goes back"

    store = EpisodeStore(tmp_path / "episodes")
    assert sorted(store.names()) == ["tried-0", "tried-1"]
    labels = [read_labels(store.root, name)[-1] for name in ("tried-0", "tried-1")]
    assert [label.success for label in labels] == [False, True]
    assert {label.author for label in labels} == {"python:served_verifiers:make_told"}
    first, second = (store.read(name, ("wrist",)) for name in ("tried-0", "tried-1"))
    assert (len(first), len(second)) == (STEPS, STEPS)
    assert {int(source) for source in second.sources} <= {Source.POLICY, Source.HOLD}
    moved = second.state["tcp_position"][0] - first.state["tcp_position"][0]
    assert 0.01 < np.linalg.norm(moved) < 0.12, "it begins elsewhere, and not far"
    assert first.metadata.instruction == second.metadata.instruction
    assert second.stamps_ns[0] > first.stamps_ns[-1], "time went on: the scene was not set anew"


def test_it_ends_after_the_last_try_and_where_nobody_knows(
    domain: int, small_policy: Path, tmp_path: Path, told: Callable[..., None]
) -> None:
    told("no", "no", "silent")
    with graph(domain, small_policy, tmp_path / "episodes") as operator:
        first = operator.result(operator.ask(tries=2))
        second = operator.result(operator.ask())
    assert (first.success, first.ending, first.attempts) == (False, "tries", 2)
    assert (second.success, second.ending, second.attempts) == (False, "unverified", 1)
    assert list(second.answers) == ["unknown"] * 3
    assert "no answer" in second.reasons[0]


def test_a_persons_label_is_the_verdict_and_a_stop_ends_it(
    domain: int, small_policy: Path, tmp_path: Path, told: Callable[..., None]
) -> None:
    told("no")
    with graph(domain, small_policy, tmp_path / "episodes") as operator:
        person = operator.person
        handle = operator.ask(max_steps=100_000, record=True, name="judged")
        person.wait_for_state("AUTONOMOUS")
        assert person.label(success=True, author="ada").accepted
        result = operator.result(handle)
        assert (result.success, result.ending, list(result.verifiers)) == (True, "success", ["a person"])
        (label,) = read_labels(tmp_path / "episodes", "judged-0")
        assert label.author == "ada"

        handle = operator.ask(max_steps=100_000)
        person.wait_for_state("AUTONOMOUS")
        assert person.press(topics.SESSION_STOP).success
        result = operator.result(handle)
        assert (result.success, result.ending, result.attempts) == (False, "stopped", 1)
        assert operator.ask().accepted, "it can be asked for again"


def test_task_is_refused_without_a_verifier_and_attempt_without_a_first_one(
    domain: int, small_policy: Path, tmp_path: Path
) -> None:
    arguments = {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path)}
    with launched(domain, arguments) as running, person(domain) as somebody:
        for name in NODES[:-1]:
            running.wait_until_printed(f"[{name}]: ready")
        assert not Operator(somebody).ask().accepted
        running.wait_until_printed("nobody verifies")
        again = somebody.result(somebody.begin(task="PickCube", seed=SEED, max_steps=STEPS, again=True))
        assert again.termination == "error"
        assert "no attempt to follow" in again.message
