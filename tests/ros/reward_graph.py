"""A graph with a reward node beside it, as tests run it, and who listens to its scores."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
from learning_graph import NodeProcess, lockstep_file, node
from running_graph import Graph, launched
from session_client import Person, person
from tutelage_interfaces import msg as ti

from tutelage_nodes import topics
from tutelage_nodes.convert_reward import from_reward_msg

STEPS = 30
MODELS = "python:served_models:make_{}"
HELPERS = Path(__file__).parent.parent / "unit"
"""Where the models of these tests are."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "episodes"


@pytest.fixture
def graph(small_policy: Path, domain: int, folder: Path) -> Iterator[Graph]:
    arguments = {"clock": "lockstep", "policy": str(small_policy), "folder": str(folder)}
    with launched(domain, arguments) as running:
        for name in ("twin_node", "arm_node", "policy_node", "recorder_node", "session_node"):
            running.wait_until_printed(f"[{name}]: ready")
        yield running


@pytest.fixture
def operator(graph: Graph, domain: int) -> Iterator[Person]:
    with person(domain) as somebody:
        yield somebody


@pytest.fixture(autouse=True)
def models_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")]))


def reward_node(domain: int, *models: str, **parameters: object) -> AbstractContextManager[NodeProcess]:
    """The node for as long as the context lasts; every frame of lock-step waits for its turn."""
    settings = {"models": ",".join(models), "golden": False, "queue": 100, "stale_s": 60.0, **parameters}
    return node(domain, "reward_node", settings, (lockstep_file(),))


class Listener:
    """Hears every score."""

    def __init__(self, operator: Person) -> None:
        self.heard: list[ti.Reward] = []
        operator.node.create_subscription(ti.Reward, topics.REWARD, self.heard.append, topics.reliable(1000))

    def of(self, model: str) -> list[ti.Reward]:
        for message in self.heard:
            score = from_reward_msg(message)  # refuses a value that does not go with the status
            assert score.valid or math.isnan(message.value)
        return [message for message in self.heard if message.model == model]


def run(operator: Person, steps: int = STEPS, **goal: object):
    running = operator.begin(task="PickCube", seed=1_000_000, max_steps=steps, **goal)
    operator.wait_for_state("AUTONOMOUS")
    return running


def model_processes(rewards: NodeProcess) -> list[psutil.Process]:
    """Return the processes of a node's models."""
    children = psutil.Process(rewards.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
