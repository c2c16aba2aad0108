"""Actor and learner in the graph: what was executed is learnt from once, whoever is killed. Lock-step, real DDS."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch
from learning_fixtures import FIRST_SEED, STEPS, actor, begin, episode, graph, learner, operator, patient_actor, run
from learning_graph import (
    ACTOR,
    Listener,
    actor_node,
    actor_parameters,
    is_same_step,
    learner_parameters,
    lengths,
    node,
)

from policies.hil_serl.learner import Learner
from policies.hil_serl.transition import Step
from tutelage.learning.twin_actor import ActorSettings, Job, TwinActor
from tutelage_nodes import topics

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]

__all__ = ["actor", "graph", "learner", "operator", "patient_actor", "run"]


def test_graph_gives_the_learner_the_very_steps_that_the_loop_gives_it(operator, run, learner, patient_actor):
    heard = Listener(operator, run)
    for number in range(3):
        episode(operator, number)
    operator.wait(lambda: heard.kept() == (2, STEPS), "the last step's acknowledgement")
    steps = run.steps()
    assert lengths(steps) == [STEPS] * 3
    assert all(is_same_step(s, e, run.identity.max_step_m) for s, e in zip(steps, heard.executed, strict=True))
    assert run.audit().is_clean

    # new weights at the boundary of episodes, and nowhere else
    updates = [{label.updates for label in heard.labels if label.segment == number} for number in range(3)]
    assert [len(of_segment) for of_segment in updates] == [1, 1, 1]
    assert updates[0] == {0}
    assert max(updates[2]) == 2 * STEPS - run.config.schedule.first_step, "the debt was paid before it began"
    status = operator.wait(lambda: heard.statuses and heard.statuses[-1], "the learner's status")
    assert (status.refused, status.duplicates, status.trouble) == (0, 0, "")

    # the first episode, made again in one process with the learner's first weights
    settings = ActorSettings(model=run.config.model, views=run.settings.views, person=None, max_steps=STEPS)
    torch.set_num_threads(1)
    alone = TwinActor(settings, ACTOR)
    weights = Learner(run.config, alone.policy.networks.shape).acting_state()
    again = alone.run(Job(FIRST_SEED, 0, {name: tensor.numpy() for name, tensor in weights.items()})).steps
    alone.close()
    assert len(again) == STEPS
    for here, there in zip(again, steps, strict=False):
        assert_same(here, there)


def assert_same(here: Step, there: Step) -> None:
    for name in ("observation", "final_observation"):
        one, two = getattr(here, name), getattr(there, name)
        assert (one is None) == (two is None)
        if one is None or two is None:
            continue
        np.testing.assert_array_equal(one.state, two.state, err_msg=here.name)
        for camera, maps in one.maps.items():
            np.testing.assert_array_equal(maps, two.maps[camera], err_msg=f"{here.name}: {camera}")
    np.testing.assert_array_equal(here.action, there.action, err_msg=here.name)
    kept = ("actor", "segment", "index", "gripper", "reward", "source", "terminated", "truncated", "after_restart")
    assert [getattr(here, name) for name in kept] == [getattr(there, name) for name in kept]


def test_killed_actor_costs_the_steps_without_outcome_and_no_other(operator, run, domain, tmp_path, learner, actor):
    heard = Listener(operator, run)
    episode(operator, 0)
    running = begin(operator, 1, 1000)
    operator.wait(lambda: len(heard.executed) >= STEPS + 10, "steps of the second episode")
    actor.kill()
    operator.wait_for_state("PAUSED", "policy_node has ended")
    assert operator.event("EPISODE_ENDED").accepted
    assert operator.result(running).termination == "aborted"
    cut_off = len(heard.executed) - STEPS
    again = actor_node(domain, run, tmp_path)
    try:
        again.wait_until_ready()
        episode(operator, 2)
        operator.wait(lambda: heard.kept() == (2, STEPS), "the last step's acknowledgement")
    finally:
        again.end()
    steps = run.steps()
    kept = lengths(steps)
    assert kept[0] == kept[2] == STEPS
    assert cut_off - 3 <= kept[1] <= cut_off, "what had no outcome yet, and no more"
    executed = [*heard.executed[: STEPS + kept[1]], *heard.executed[STEPS + cut_off :]]
    assert all(is_same_step(s, e, run.identity.max_step_m) for s, e in zip(steps, executed, strict=True))
    assert [step.after_restart for step in steps if step.index == 0] == [False, False, True]
    assert run.audit().is_clean


def test_episode_waits_for_a_learner_and_a_person_may_break_that_off(operator, run, domain, learner, actor):
    heard = Listener(operator, run)
    episode(operator, 0)
    operator.wait(lambda: heard.kept() == (0, STEPS), "the last step's acknowledgement")
    heard.owed.clear()
    operator.wait(lambda: heard.owed[-1:] == [0], "the actor's word that it has heard that, too")
    learner.kill()
    with node(domain, "learner_node", {**learner_parameters(run), "folder": run.folder.parent / "other"}) as other:
        other.wait_until_ready()
        # the actor hears whom it hears in its own time, and a test's node in another
        operator.wait(lambda: len({w.run for w in heard.words}) == 2, "another run's word")
        operator.wait(lambda: heard.followed == heard.words[-1].run, "the actor's word that it has heard that")
        episode(operator, 1)  # nothing was owed to the first run: the outbox is free for another
        operator.wait(lambda: heard.kept() == (1, STEPS), "the other run's acknowledgement")
        other.kill()
        episode(operator, 2)  # this one's steps are for the learner that is gone
    with node(domain, "learner_node", learner_parameters(run)) as first:
        first.wait_until_ready()
        # the actor must have heard it too, else it has no reason to wait
        operator.wait(lambda: heard.followed == heard.words[0].run, "the actor's word that it hears the first learner")
        waiting = begin(operator, 3)
        state = operator.wait_for_state("RESETTING", "for the learner of run")
        assert re.search(r"holds \d+ steps", state.reason)
        assert operator.press(topics.SESSION_STOP).success
        result = operator.result(waiting)
        assert result.termination == "error"
        assert "for the learner of run" in result.message
    assert lengths(run.steps()) == [STEPS]


def test_policy_that_does_not_learn_is_refused_as_an_actor(domain, small_policy, tmp_path):
    parameters = {"policy": small_policy, "learn_as": "arm", "outbox": tmp_path}
    with node(domain, "policy_node", parameters) as refused:
        refused.process.wait(60.0)
        assert refused.process.returncode == 1
        assert "does not learn online" in refused.output


def test_actor_whose_name_is_no_folder_is_refused(domain, run, tmp_path):
    run.policy.save(run.folder / "policy", created_by="test")
    with node(domain, "policy_node", actor_parameters(run, tmp_path, actor="../arm")) as refused:
        refused.process.wait(60.0)
        assert refused.process.returncode == 1
        assert "'../arm' names a folder" in refused.output


def test_learner_goes_on_with_no_other_settings_than_its_run_had(domain, run, tmp_path):
    with node(domain, "learner_node", learner_parameters(run)) as first:
        first.wait_until_ready()
        assert first.end() == 0
    assert (run.folder / "learner").is_dir(), "saved when it ends"
    text = run.settings_file.read_text(encoding="utf-8").replace("batch_size: 16", "batch_size: 8")
    other = tmp_path / "other.yaml"
    other.write_text(text, encoding="utf-8")
    with node(domain, "learner_node", {"folder": run.folder, "settings": other}) as refused:
        refused.process.wait(60.0)
        assert refused.process.returncode == 1
        assert "batch_size=16" in refused.output
    assert dataclasses.replace(run.config.learner, batch_size=8) != run.config.learner
