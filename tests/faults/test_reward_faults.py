"""Reward models that hang, die and answer nonsense: the episode goes on, and what is not known is not learnt from."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import numpy as np
import pytest
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
from scoreboard import Scoreboard

from hardware.safety.gate import make_gate
from policies.hil_serl.actor import StepMaker
from policies.hil_serl.mixture import Mixture
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from reward_models.serving.success_vote import VoteSettings
from sim.twin import Twin
from tests.sim.test_learning_loop import MODEL
from tests.unit.served_models import Brightness
from tutelage.drivers import ExpertDriver
from tutelage.learning.judge import RewardJudge
from tutelage.learning.training_episode import run_training_episode
from tutelage.learning.twin_actor import ActorSettings, actor_policy
from tutelage_core.contract import load_contract

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

__all__ = ["folder", "graph", "models_can_be_found", "operator"]

LENGTH = 400


@pytest.mark.ros
def test_episode_goes_on_and_every_status_is_right(graph, operator, domain, scoreboard: Scoreboard) -> None:
    troubled, good = MODELS.format("troubled"), MODELS.format("brightness")
    listener = Listener(operator)
    with reward_node(domain, troubled, good, deadline_s=0.5, failures=1000, queue=2 * LENGTH) as rewards:
        rewards.wait_until_ready()
        running = run(operator, LENGTH)
        for sent in (signal.SIGSTOP, signal.SIGKILL):
            operator.wait(lambda: any(m.valid for m in listener.of(good)[-1:]), "a score")
            for process in model_processes(rewards):
                process.send_signal(sent)
            lost = {signal.SIGSTOP: "timeout", signal.SIGKILL: "unavailable"}[sent]
            operator.wait(lambda s=lost: any(m.status == s for m in listener.of(good)), lost)
        result = operator.result(running)
        operator.wait(lambda: any(m.valid for m in listener.of(good)[-1:]), "scores again")
        # its process has counted anew since it was killed, and has hundreds of moments before it
        nonsense = {"invalid_parse", "error"}
        operator.wait(lambda: nonsense <= {m.status for m in listener.of(troubled)}, "nonsense, told as such")
    false_values = sum(message.valid != math.isfinite(message.value) for message in listener.heard)
    statuses = {message.status for message in listener.heard}
    scoreboard.note(
        17,
        "reward models stopped, killed and answering nonsense, on the graph",
        clock="counted",
        cut_short=LENGTH - result.steps,
        false_values=false_values,
        nan_learnt=0,
        statuses=", ".join(sorted(statuses)),
    )
    assert (result.steps, result.termination) == (LENGTH, "time_limit"), result.message
    assert false_values == 0
    assert {"ok", "timeout", "unavailable", "invalid_parse", "error"} <= statuses
    assert STEPS < LENGTH


class Forgetful(Brightness):
    """Says nothing of every third moment."""

    def __init__(self) -> None:
        self.asked = 0

    def score(self, frames, task):
        self.asked += 1
        return super().score(frames, "doubt" if self.asked % 3 == 0 else "look")


def test_learner_skips_what_was_not_scored(tmp_path: Path, scoreboard: Scoreboard) -> None:
    contract = load_contract("twin")
    twin, policy = Twin(contract, "PickCube", 0), actor_policy(ActorSettings(model=MODEL), contract)
    views = StoredViews(policy, ViewsConfig(1), 0)
    mixture = Mixture.allocate(views.identity(contract.name).layout, 400, 2, limit_bytes=2**30, ratio=0.0)
    judge = RewardJudge(Forgetful(), VoteSettings(1, 1, threshold=2.0), None, shaping=1.0)
    policy.reset("", 0)
    maker, steps = StepMaker(policy, views, "arm"), 0
    for seed in range(2):
        driver, gate = ExpertDriver(twin, contract.safety, 0.0), make_gate(contract)
        summary = run_training_episode(
            twin, driver, gate, contract, maker, judge, seed, mixture.add, max_steps=60, discount=0.97
        )
        steps += summary.steps
    unknown = mixture.online.counts.unlabelled
    drawn = mixture.sample(4000, np.random.default_rng(0)).reward
    learnt = int(np.sum(~np.isfinite(drawn)))
    scoreboard.note(
        17,
        "every third moment without a score, learnt from",
        clock="counted",
        cut_short=0,
        false_values=0,
        nan_learnt=learnt,
    )
    assert steps / 2 < unknown < steps, "each moment without a potential is part of two steps"
    assert learnt == 0
