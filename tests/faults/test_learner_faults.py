"""A learner that dies, and one that is out of reach: nothing is lost or doubled, and the arm goes on. Lock-step."""

from __future__ import annotations

import signal
import time

import psutil
import pytest
from learning_fixtures import STEPS, actor, begin, episode, graph, learner, operator, run
from learning_graph import Listener, Run, is_same_step, learner_parameters, lengths, node
from scoreboard import Scoreboard

pytestmark = [pytest.mark.faults, pytest.mark.ros, pytest.mark.timeout(300)]

STEPS_PER_S = 10.0
"""Steps that a robot takes in a second; lock-step takes more, and an actor keeps 2000 before it waits."""

__all__ = ["actor", "graph", "learner", "operator", "run"]


def lost_and_doubled(run: Run, heard: Listener) -> tuple[int, int]:
    """Return how many executed steps the learner's log lacks, and how many it holds twice; the rest is the same."""
    kept = run.steps()
    names = [(step.segment, step.index) for step in kept]
    doubled = len(names) - len(set(names))
    lost = max(len(heard.executed) - len(set(names)), 0)
    if not lost and not doubled:
        assert all(is_same_step(s, e, run.identity.max_step_m) for s, e in zip(kept, heard.executed, strict=True))
    assert run.audit().is_clean
    return lost, doubled


def test_killed_learner_costs_nothing_and_the_arm_does_not_wait_for_it(
    operator, run, domain, learner, actor, scoreboard: Scoreboard
):
    heard = Listener(operator, run)
    episode(operator, 0)
    running = begin(operator, 1, 2 * STEPS)
    operator.wait(lambda: len(heard.executed) >= STEPS + 5, "steps of the second episode")
    learner.kill()
    cut_short = 2 * STEPS - operator.result(running).steps
    episode(operator, 2)
    with node(domain, "learner_node", learner_parameters(run)) as again:
        again.wait_until_printed("start 2")
        operator.wait(lambda: heard.kept() == (2, STEPS), "what was kept meanwhile")
        episode(operator, 3)
        operator.wait(lambda: heard.kept() == (3, STEPS), "the last step's acknowledgement")
    lost, doubled = lost_and_doubled(run, heard)
    scoreboard.note(
        8, "learner killed in an episode", clock="counted", lost_steps=lost, doubled_steps=doubled, cut_short=cut_short
    )
    assert cut_short == 0, "the episode goes on"
    assert (lost, doubled) == (0, 0)
    assert lengths(run.steps()) == [STEPS, 2 * STEPS, STEPS, STEPS]


@pytest.mark.parametrize("seconds", [5.0, pytest.param(60.0, marks=pytest.mark.slow)])
def test_learner_that_is_out_of_reach_catches_up_without_a_step_twice(
    operator, run, learner, actor, seconds, scoreboard: Scoreboard
):
    heard = Listener(operator, run)
    episode(operator, 0)
    acting = psutil.Process(actor.process.pid)
    before = most = acting.memory_info().rss
    learner.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    number = 0
    while time.monotonic() < begun + seconds:
        if number * STEPS >= seconds * STEPS_PER_S:
            time.sleep(0.1)
            continue
        number += 1
        episode(operator, number)
        most = max(most, acting.memory_info().rss)
    learner.process.send_signal(signal.SIGCONT)
    episode(operator, number + 1)
    operator.wait(lambda: heard.kept() == (number + 1, STEPS), "the last step's acknowledgement")
    lost, doubled = lost_and_doubled(run, heard)
    scoreboard.note(
        9,
        f"learner parted for {seconds:g} s",
        clock="counted",
        lost_steps=lost,
        doubled_steps=doubled,
        more_mb=(most - before) / 1e6,
        episodes_meanwhile=number,
    )
    assert (lost, doubled) == (0, 0)
    assert (most - before) / 1e6 < 200.0
    assert number >= 1, "the arm did not wait"
    assert lengths(run.steps()) == [STEPS] * (number + 2)
