"""Fixtures of a graph that learns: its parts, started one after the other, and who asks it for episodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from learning_graph import LIMIT_S, NodeProcess, Run, actor_node, graph_without_policy, learner_parameters, node
from running_graph import Graph
from session_client import Person, person

from policies.hil_serl.stream_actor import SILENCE_S

STEPS = 25
FIRST_SEED = 400_000


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture
def graph(small_policy: Path, domain: int, run: Run, tmp_path: Path) -> Iterator[Graph]:
    with graph_without_policy(domain, run, tmp_path, small_policy) as running:
        yield running


@pytest.fixture
def learner(graph: Graph, domain: int, run: Run) -> Iterator[NodeProcess]:
    with node(domain, "learner_node", learner_parameters(run)) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture
def actor(learner: NodeProcess, domain: int, run: Run, tmp_path: Path) -> Iterator[NodeProcess]:
    yield from acting(domain, run, tmp_path, SILENCE_S)


@pytest.fixture
def patient_actor(learner: NodeProcess, domain: int, run: Run, tmp_path: Path) -> Iterator[NodeProcess]:
    yield from acting(domain, run, tmp_path, LIMIT_S)


def acting(domain: int, run: Run, folder: Path, silence_s: float) -> Iterator[NodeProcess]:
    running = actor_node(domain, run, folder, silence_s)
    running.wait_until_ready()
    yield running
    running.end()


@pytest.fixture
def operator(graph: Graph, domain: int) -> Iterator[Person]:
    with person(domain) as somebody:
        yield somebody


def begin(operator: Person, number: int, steps: int = STEPS):
    return operator.begin(task="PickCube", seed=FIRST_SEED + number, max_steps=steps)


def episode(operator: Person, number: int, steps: int = STEPS) -> None:
    result = operator.result(begin(operator, number, steps))
    assert result.termination in ("time_limit", "success"), result.message
