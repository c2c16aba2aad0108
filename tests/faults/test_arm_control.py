"""Arm control that dies and comes back, and two that want to drive at once. Lock-step: nothing depends on speed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from running_graph import Graph, launched
from scenario import kill
from scoreboard import Scoreboard
from session_client import Person, person
from tutelage_interfaces import msg as ti

from tutelage_nodes import convert, topics

pytestmark = [pytest.mark.faults, pytest.mark.ros]

NODES = ("twin_node", "arm_node", "policy_node", "recorder_node", "session_node")
BACK_S = 30.0
"""A started node is ready within this time, or the scenario fails [s]."""

RIVAL_STEPS = 20
RIVAL_STEP_M = 0.01
MOVED_M = 0.002
"""The elbow still settles a little after a stop; a single step of the rival is five times as long [m]."""

ENDLESS = {"task": "PickCube", "seed": 1_000_000, "max_steps": 100_000}


@pytest.fixture
def graph(small_policy: Path, domain: int, tmp_path: Path) -> Iterator[Graph]:
    arguments = {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path / "episodes")}
    with launched(domain, arguments) as running:
        for name in NODES:
            running.wait_until_printed(f"[{name}]: ready")
        yield running


@pytest.fixture
def operator(graph: Graph, domain: int) -> Iterator[Person]:
    with person(domain) as somebody:
        yield somebody


class Rival:
    """A second driver: sends legal steps to the arm under its own name, and sees what becomes of them."""

    def __init__(self, who: Person) -> None:
        """Speak through the node of `who`."""
        self._who = who
        self.reasons: list[set[str]] = []
        self.places: list[np.ndarray] = []
        self._publisher = who.node.create_publisher(ti.ArmCommand, topics.ARM_COMMAND, topics.reliable())
        self._ears = [
            who.node.create_subscription(ti.ExecutedAction, topics.ARM_EXECUTED, self._on_executed, topics.reliable()),
            who.node.create_subscription(ti.ArmState, topics.ARM_STATE, self._on_state, topics.reliable()),
        ]
        self._stamp = None

    def drive(self, steps: int) -> None:
        """Ask for so many steps, each answering the newest state of the arm."""
        self._who.wait(lambda: self._publisher.get_subscription_count() > 0 and self.places, "the arm")
        for number in range(1, steps + 1):
            answered = len(self.reasons)
            message = ti.ArmCommand(sequence=number, source=ti.ArmCommand.POLICY, sender="rival")
            message.step = np.array([0.0, RIVAL_STEP_M, 0.0, 0.0, 0.0, 0.0, 1.0])
            message.header.stamp = self._stamp
            self._publisher.publish(message)
            self._who.wait(lambda seen=answered: len(self.reasons) > seen, "what became of the rival's step")

    def leave(self) -> None:
        """Take the publisher back: the arm sees who sends."""
        self._who.node.destroy_publisher(self._publisher)
        for ear in self._ears:
            self._who.node.destroy_subscription(ear)

    @property
    def moved_m(self) -> float:
        """How far the TCP went from where it was first seen [m]."""
        return float(np.linalg.norm(np.array(self.places) - self.places[0], axis=1).max())

    def _on_executed(self, message: ti.ExecutedAction) -> None:
        self.reasons.append(set(message.reasons))

    def _on_state(self, message: ti.ArmState) -> None:
        self._stamp = message.header.stamp
        self.places.append(convert.from_pose_msg(message.pose).position)


@contextmanager
def started_again(graph: Graph, node: str, log: Path) -> Iterator[None]:
    """Start a node of the launch once more, as an operator would; end it afterwards."""
    spec = graph.runner.processes[node].spec
    with log.open("wb") as printed:
        process = subprocess.Popen(spec.command, env=dict(spec.environment), stdout=printed, stderr=printed)
    try:
        end_s = time.monotonic() + BACK_S
        while f"[{node}]: ready" not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < end_s, log.read_text(encoding="utf-8")
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def test_arm_node_that_was_killed_comes_back_disarmed_and_takes_no_steps_until_it_is_armed(
    scoreboard: Scoreboard, graph: Graph, operator: Person, tmp_path: Path
) -> None:
    """Fault 7."""
    running = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    kill(graph, "arm_node")
    ended = operator.result(running)
    assert ended.termination == "error"
    assert "arm_node has ended" in ended.message
    with started_again(graph, "arm_node", tmp_path / "arm_node.log"):
        rival = Rival(operator)
        rival.drive(RIVAL_STEPS)
        rival.leave()
        refused = [reasons for reasons in rival.reasons if reasons]
        scoreboard.note(
            7,
            "arm node killed in motion, started again, asked for steps by somebody who has not armed it",
            clock="counted",
            motions=rival.moved_m > MOVED_M,
            steps_refused=len(refused),
            moved_after_mm=1e3 * rival.moved_m,
            message=ended.message,
        )
        assert len(refused) >= RIVAL_STEPS
        assert all("NOT_ARMED" in reasons or "LATCHED" in reasons for reasons in refused)
        assert rival.moved_m <= MOVED_M
        # an operator's word and a new episode arm it
        assert operator.event("CLEAR_STOP").accepted
        again = operator.result(operator.begin(task="PickCube", seed=1_000_001, max_steps=5))
        assert (again.termination, again.steps) == ("time_limit", 5), again.message


def test_second_driver_is_refused_by_name_before_an_episode_and_ignored_in_one(graph: Graph, operator: Person) -> None:
    running = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    rival = Rival(operator)
    rival.drive(1)
    operator.wait(lambda: any("OTHER_SENDER" in reasons for reasons in rival.reasons), "the refusal")
    operator.event("EPISODE_ENDED")
    operator.result(running)
    refused = operator.result(operator.begin(**ENDLESS))
    assert refused.termination == "error"
    assert "person, session_node" in refused.message
    assert "only one may drive" in refused.message
    rival.leave()
    alone = operator.result(operator.begin(task="PickCube", seed=1_000_001, max_steps=5))
    assert alone.steps == 5, alone.message
