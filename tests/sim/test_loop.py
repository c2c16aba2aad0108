"""The one-process loop: how its episodes end."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate, make_gate
from policies.hil_serl.actor import StepMaker
from policies.hil_serl.stored_views import StoredViews, ViewsConfig
from policies.hil_serl.transition import Step
from sim.twin import Twin
from tests.sim.test_learning_loop import MODEL
from tutelage.drivers import ExpertDriver
from tutelage.learning.judge import TruthJudge, Verdict
from tutelage.learning.training_episode import STOPPED, run_training_episode
from tutelage.learning.twin_actor import ActorSettings, actor_policy
from tutelage.loop import EpisodeOptions, run_episode
from tutelage_core.contract import RobotContract, load_contract
from tutelage_core.types import STEP_SIZE, Observation, Source, StepCommand

pytestmark = pytest.mark.sim


class Presser:
    """Brings the closed hand over the cube, and pushes down on it as fast as the robot may move."""

    def __init__(self, twin: Twin) -> None:
        self._twin, self._longest_m = twin, twin.contract.safety.max_step_m

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        self._number = 0

    def command(self, observation: Observation) -> StepCommand:
        self._number += 1
        points = self._twin.points()
        across = (points["cube"] - points["tcp"])[:2]
        step = np.zeros(STEP_SIZE)
        step[:2] = across * min(1.0, 0.7 * self._longest_m / max(float(np.linalg.norm(across)), 1e-9))
        step[2] = -0.7 * self._longest_m if float(np.linalg.norm(across)) < 0.003 else 0.0
        return StepCommand(observation.stamp_ns, self._number, Source.POLICY, step)


@pytest.fixture
def contract() -> RobotContract:
    plain = load_contract("twin")  # the cube can be pressed on with some 45 N
    return replace(plain, safety=replace(plain.safety, max_contact_force_n=20.0))


@pytest.fixture
def twin(contract: RobotContract) -> Twin:
    return Twin(contract, "PickCube", 0)


@pytest.fixture
def gate(contract: RobotContract) -> SafetyGate:
    return make_gate(contract)


def test_force_ends_the_episode_and_the_next_one_begins_anew(contract, twin, gate) -> None:
    presser = Presser(twin)
    found = run_episode(twin, presser, gate, contract, EpisodeOptions(0))
    assert (found.success, found.termination) == (False, "stopped")
    assert found.steps < twin.step_limit
    assert "N are allowed" in gate.latch
    expert = ExpertDriver(twin, contract.safety, 0.0)
    again = run_episode(twin, expert, gate, contract, EpisodeOptions(0))
    assert (again.success, again.termination) == (True, "success")
    assert gate.latch == ""


def test_force_is_a_failure_that_training_does_not_look_beyond(contract, twin, gate) -> None:
    policy = actor_policy(ActorSettings(model=MODEL), contract)
    policy.reset("", 0)
    maker = StepMaker(policy, StoredViews(policy, ViewsConfig(1), 0), "arm")
    steps: list[Step] = []
    presser = Presser(twin)
    summary = run_training_episode(twin, presser, gate, contract, maker, TruthJudge(twin), 0, steps.append)
    assert summary.failure == STOPPED
    assert not summary.success
    assert len(steps) == summary.steps < twin.step_limit
    assert [step.reward for step in steps] == [0.0] * len(steps)
    assert (steps[-1].terminated, steps[-1].truncated) == (True, False)


class Risen:
    """Knows the truth, and how high the hand is: its potential."""

    def __init__(self, twin: Twin) -> None:
        self._twin, self._truth, self.potential, self.seen = twin, TruthJudge(twin), 0.0, list[float]()

    def restart(self, task: str) -> None:
        self.task, self.seen = task, []

    def judge(self, obs: Observation) -> Verdict:
        self.potential = float(self._twin.points()["tcp"][2])
        self.seen.append(self.potential)
        return self._truth.judge(obs)


def test_potential_shapes_every_step_and_ends_with_the_episode(contract, twin) -> None:
    gate, expert, judge = make_gate(load_contract("twin")), ExpertDriver(twin, contract.safety, 0.0), Risen(twin)
    policy = actor_policy(ActorSettings(model=MODEL), contract)
    policy.reset("", 0)
    maker = StepMaker(policy, StoredViews(policy, ViewsConfig(1), 0), "arm")
    steps: list[Step] = []
    summary = run_training_episode(twin, expert, gate, contract, maker, judge, 1, steps.append, discount=0.9)
    assert summary.success
    assert judge.task == twin.instruction
    potentials = judge.seen
    assert len(potentials) == len(steps) + 1
    shaped = [0.9 * after - before for before, after in itertools.pairwise(potentials)]
    np.testing.assert_allclose([step.reward for step in steps[:-1]], shaped[:-1], rtol=1e-5)
    assert steps[-1].reward == pytest.approx(1.0 - potentials[-2], rel=1e-5)
