"""Scores beside the running graph: what hangs, dies or answers nonsense costs its own scores and nothing else."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path

import psutil
import pytest
from learning_graph import node
from rclpy.action import ActionClient
from reward_graph import (
    MODELS,
    STEPS,
    Listener,
    folder,
    graph,
    model_processes,
    models_can_be_found,
    operator,
    reward_node,
    run,
)
from running_graph import Graph
from session_client import Person
from tutelage_interfaces.action import ScoreEpisode

from reward_models.reward_model import ScoreStatus
from tutelage_nodes import topics

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]

EPISODES, ANSWERED_S = 4, 10.0
"""Episodes at most until enough moments were seen, and how long their answers are waited for [s]."""

__all__ = ["folder", "graph", "models_can_be_found", "operator"]


def test_each_frame_is_scored_once_by_each_model_and_by_all_together(
    operator: Person, domain: int, graph: Graph
) -> None:
    bright, troubled = MODELS.format("brightness"), MODELS.format("troubled")
    listener = Listener(operator)
    with reward_node(domain, bright, troubled, ensemble="mean", quorum=1, threshold=0.05) as rewards:
        rewards.wait_until_ready()
        # nothing waits for this node, so on a busy machine it may miss moments; what it saw, it answers
        names = (bright, troubled, "ensemble")

        def all_said() -> bool:
            counts = {len(listener.of(name)) for name in names}
            return len(counts) == 1 and counts.pop() >= STEPS // 2

        for _ in range(EPISODES):
            result = operator.result(run(operator))
            assert (result.steps, result.termination) == (STEPS, "time_limit"), result.message
            limit_s = time.monotonic() + ANSWERED_S
            operator.wait(lambda limit_s=limit_s: all_said() or time.monotonic() > limit_s, "what it answers")
            if all_said():
                break
        assert all_said(), {name: len(listener.of(name)) for name in names}
        good, bad, joint = (listener.of(name) for name in names)
    stamps = [message.header.stamp for message in good]
    assert len({(stamp.sec, stamp.nanosec) for stamp in stamps}) == len(stamps)
    assert [message.header.stamp for message in joint] == stamps
    assert all(message.valid and message.model_hash == "hash" and message.episode for message in good)
    assert [message.success for message in good[:4]] == [False, False, True, True], "three of the last five"
    statuses = {message.status for message in bad}
    assert {ScoreStatus.OK, ScoreStatus.INVALID_PARSE, ScoreStatus.ERROR} <= statuses
    assert all(message.valid for message in joint), "one model has a value, and one is asked for"
    ends = {message.status for message in joint}
    assert ends == {ScoreStatus.OK}


def test_model_that_hangs_and_one_that_is_killed_leave_the_episode_alone(
    operator: Person, domain: int, graph: Graph
) -> None:
    listener = Listener(operator)
    model = MODELS.format("brightness")
    with reward_node(domain, model, deadline_s=0.5, failures=100) as rewards:
        rewards.wait_until_ready()
        running = run(operator, 100_000)
        operator.wait(lambda: listener.of(model), "a score")
        for sent, status in ((signal.SIGSTOP, ScoreStatus.TIMEOUT), (signal.SIGKILL, ScoreStatus.UNAVAILABLE)):
            (child,) = model_processes(rewards)
            child.send_signal(sent)
            operator.wait(lambda s=status: any(m.status == s for m in listener.heard), f"{sent.name}: {status}")
            count = len(listener.heard)
            operator.wait(lambda c=count: any(m.valid for m in listener.heard[c:]), "scores again")
        assert operator.states[-1].state == "AUTONOMOUS", "who scores has no say in who drives"
        rewards.kill()
        assert operator.press(topics.SESSION_STOP).success
        assert operator.result(running).termination == "stopped"
    assert not psutil.pid_exists(child.pid)


def test_recorded_episode_is_scored_and_what_cannot_be_is_told(
    operator: Person, domain: int, graph: Graph, folder: Path
) -> None:
    with reward_node(domain, MODELS.format("brightness"), folder=folder) as rewards:
        rewards.wait_until_ready()
        assert operator.result(run(operator, record=True, episode="one")).steps == STEPS
        client = ActionClient(operator.node, ScoreEpisode, topics.SCORE_EPISODE)
        operator.wait(client.server_is_ready, "the action")

        def ask(**goal: str):
            asked = client.send_goal_async(ScoreEpisode.Goal(**goal))
            operator.wait(asked.done, "answer to the goal")
            return asked.result().get_result_async() if asked.result().accepted else None

        result = operator.result(ask(episode="one"))
        assert (result.valid, result.status, len(result.rewards)) == (True, "ok", STEPS), result.message
        assert all(math.isfinite(reward.value) and reward.episode == "one" for reward in result.rewards)
        result = operator.result(ask(episode="two"))
        assert (result.valid, len(result.rewards)) == (False, 0)
        assert "two" in result.message
        assert ask(episode="one", model="nobody") is None
        assert rewards.end() == 0, "SIGINT ends it between two callbacks, its models included"
        assert "Traceback" not in rewards.output


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ("clip:here", "'clip'"),
        (MODELS.format("nothing"), "is no RewardModel"),
        ("python:no_such_module:make", "there is no such function"),
        ("twin_tower:/nowhere", "no such folder"),
        ("twin_tower,twin_tower", "each once"),
    ],
)
def test_reward_that_is_not_installed_is_refused_by_name(domain: int, models: str, words: str) -> None:
    with reward_node(domain, models) as refused:
        refused.process.wait(60.0)
        assert refused.process.returncode == 1
        assert words in refused.output


def test_model_whose_golden_answer_is_not_known_is_refused(domain: int) -> None:
    with node(domain, "reward_node", {"models": MODELS.format("brightness")}) as refused:
        refused.process.wait(60.0)
        assert refused.process.returncode == 1
        assert "tutelage reward golden" in refused.output
