"""The session's services, and what it makes of the death of other nodes. Lock-step: nothing here depends on speed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_graph import Graph, launched
from session_client import Person, person
from tutelage_interfaces.srv import Command

from tutelage_core.episodes.labels import read_labels
from tutelage_nodes import topics

pytestmark = pytest.mark.ros

ENDLESS = {"task": "PickCube", "seed": 1_000_000, "max_steps": 100_000}


@pytest.fixture
def graph(small_policy: Path, domain: int, tmp_path: Path) -> Iterator[Graph]:
    arguments = {"clock": "lockstep", "policy": str(small_policy), "folder": str(tmp_path / "episodes")}
    with launched(domain, arguments) as running:
        for name in ("twin_node", "arm_node", "policy_node", "recorder_node", "session_node"):
            running.wait_until_printed(f"[{name}]: ready")
        yield running


@pytest.fixture
def operator(graph: Graph, domain: int) -> Iterator[Person]:
    with person(domain) as somebody:
        yield somebody


def kill(graph: Graph, node: str) -> None:
    found = re.findall(rf"{node} started, pid (\d+)", graph.output.getvalue())
    os.kill(int(found[-1]), signal.SIGKILL)


def test_person_stops_resets_arms_labels_and_names_the_task(graph: Graph, operator: Person, tmp_path: Path) -> None:
    # the first pictures may still be on their way
    ready = operator.wait(lambda: (said := operator.press(topics.SESSION_ARM)).success and said, "the check-list")
    assert "no episode runs" in ready.message

    # a label ends the episode that runs, and is kept
    assert operator.label(success=True).message == "there was no episode yet: name the one that is meant"
    assert operator.say(topics.SESSION_TASK, "PickCube").accepted
    running = operator.begin(seed=1_000_000, max_steps=100_000, record=True, episode="judged")
    operator.wait_for_state("AUTONOMOUS")
    refused = operator.say(topics.SESSION_CORRECT, "move left")
    assert not refused.accepted
    assert "takes no phrases" in refused.message
    assert operator.states[-1].state == "AUTONOMOUS"
    kept = operator.label(success=False, failure="dropped", author="ada")
    result = operator.result(running)
    assert (result.termination, result.success, result.failure) == ("failure", False, "dropped")
    assert kept.accepted, kept.message
    (label,) = read_labels(tmp_path / "episodes", "judged")
    assert (label.success, label.failure, label.author) == (False, "dropped", "ada")

    # a stop latches: the check-list names it, and nothing starts before the reset
    running = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    assert operator.press(topics.SESSION_STOP).success
    assert operator.result(running).termination == "stopped"
    refused = operator.press(topics.SESSION_ARM)
    assert not refused.success
    assert "/session/reset" in refused.message
    assert "arm_node: stopped" in refused.message
    assert operator.begin(**ENDLESS) is None
    operator.wait(lambda: operator.press(topics.SESSION_RESET).success, "the reset")
    operator.wait_for_state("PAUSED")

    # a hand needs real time, and a driver has a legal name
    result = operator.result(operator.begin(**ENDLESS, driver="hand"))
    assert "real time" in result.message
    assert operator.begin(**ENDLESS, driver="nobody") is None


def test_killed_policy_pauses_by_name_and_the_next_one_is_waited_for(graph: Graph, operator: Person) -> None:
    running = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    kill(graph, "policy_node")
    operator.wait_for_state("PAUSED", "policy_node has ended")
    refused = operator.event("START")
    assert not refused.accepted
    assert "policy_node" in refused.message
    assert "is it running?" in refused.message
    assert operator.event("EPISODE_ENDED").accepted
    assert operator.result(running).termination == "aborted"


def test_killed_arm_node_ends_the_episode_by_name_and_the_session_lives_on(graph: Graph, operator: Person) -> None:
    running = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    kill(graph, "arm_node")
    result = operator.result(running)
    assert result.termination == "error"
    assert "arm_node has ended" in result.message
    refused = operator.event("CLEAR_STOP")
    assert not refused.accepted
    assert "is it running?" in refused.message
    assert operator.states[-1].state == "STOPPED"


def test_killed_recorder_is_told_with_the_result(graph: Graph, operator: Person) -> None:
    running = operator.begin(**ENDLESS, record=True, episode="lost")
    operator.wait_for_state("AUTONOMOUS")
    kill(graph, "recorder_node")
    assert operator.event("EPISODE_ENDED").accepted
    result = operator.result(running)
    assert result.termination == "aborted"
    assert operator.event("EPISODE_ENDED", "is somebody there?").state == "PAUSED"


def test_stop_that_the_arm_made_by_itself_is_cleared_by_the_same_reset(graph: Graph, operator: Person) -> None:
    """As after a contact: the arm's gate latches under the episode, and the session waits in PAUSED."""
    running = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    refused = operator.press(topics.SESSION_RESET)
    assert not refused.success, "what drives is not cleared under its own hands"
    assert "not possible in AUTONOMOUS" in refused.message
    assert operator.call(Command, topics.ARM_EVENT, event="STOP", reason="it met something").accepted
    assert operator.result(running).termination == "stopped"
    assert "it met something" in operator.press(topics.SESSION_ARM).message
    operator.wait(lambda: operator.press(topics.SESSION_RESET).success, "the reset")
    again = operator.begin(**ENDLESS)
    operator.wait_for_state("AUTONOMOUS")
    assert operator.press(topics.SESSION_STOP).success
    assert operator.result(again).termination == "stopped"
