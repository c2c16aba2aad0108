"""The scripted person corrects a learning policy in the lock-step graph as in the loop: period for period."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from learning_graph import ACTOR, Listener, Run, actor_node, graph_without_policy, learner_parameters, lengths, node
from session_client import person

from policies.hil_serl.learner import Learner
from sim.human import InterventionSettings
from tutelage.learning.twin_actor import ActorSettings, Job, TwinActor
from tutelage_core.types import Source

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]

STEPS, SEED = 60, 400_000
"""Long enough for the person to take over and to let go again."""

PARTS = 1e-4
"""A velocity over a period is a step but for rounding; physics carries the difference on."""


def test_person_takes_over_corrects_and_lets_go_as_in_the_loop(domain, small_policy, tmp_path: Path):
    run = Run(tmp_path / "run")
    with (
        graph_without_policy(domain, run, tmp_path, small_policy, person="true", person_settings=""),
        node(domain, "learner_node", learner_parameters(run)) as learner,
        person(domain) as operator,
    ):
        learner.wait_until_ready()
        actor = actor_node(domain, run, tmp_path)
        try:
            actor.wait_until_ready()
            heard = Listener(operator, run)
            result = operator.result(operator.begin(task="PickCube", seed=SEED, max_steps=STEPS))
            assert result.termination in ("time_limit", "success"), result.message
            operator.wait(lambda: heard.kept() == (0, result.steps), "the last step's acknowledgement")
        finally:
            actor.end()
        states = [state.state for state in operator.states]
    steps = run.steps()
    assert lengths(steps) == [result.steps], "a correction is no end of a segment"
    human = [step.index for step in steps if step.source is Source.HUMAN]
    assert human, "the person had no reason to help: nothing was tried"
    assert {"CORRECTING", "AUTONOMOUS"} <= set(states)
    assert run.audit().is_clean

    torch.set_num_threads(1)
    settings = ActorSettings(
        model=run.config.model, views=run.settings.views, person=InterventionSettings(), max_steps=STEPS
    )
    alone = TwinActor(settings, ACTOR)
    weights = Learner(run.config, alone.policy.networks.shape).acting_state()
    again = alone.run(Job(SEED, 0, {name: tensor.numpy() for name, tensor in weights.items()})).steps
    alone.close()
    assert [step.index for step in again if step.source is Source.HUMAN] == human
    assert len(again) == len(steps)
    for here, there in zip(again, steps, strict=True):
        np.testing.assert_allclose(here.action, there.action, atol=PARTS, err_msg=here.name)
        np.testing.assert_allclose(here.observation.state, there.observation.state, atol=PARTS, err_msg=here.name)
        assert (here.gripper, here.source, here.reward) == (there.gripper, there.source, there.reward), here.name
