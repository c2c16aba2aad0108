"""One episode of online learning in the twin: the periods of `tutelage.loop`, told to a replay step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardware.safety.gate import SafetyGate
from policies.hil_serl.actor import StepMaker
from policies.hil_serl.transition import Step
from sim.twin import Twin
from tutelage.drivers import Driver
from tutelage.intervened_driver import IntervenedDriver
from tutelage.learning.judge import SuccessJudge, Verdict
from tutelage.loop import start_gate
from tutelage_core.contract import RobotContract, state_vectors
from tutelage_core.types import EpisodeStep, Observation, Source

STOPPED = "stopped"
"""Failure of an episode that the gate ended."""

REWARDS = {Verdict.SUCCESS: 1.0, Verdict.NO: 0.0, Verdict.UNKNOWN: float("nan")}


@dataclass(frozen=True)
class EpisodeSummary:
    """What came of an episode.

    Attributes:
        seed: of the episode.
        steps: control periods.
        success: the judge said so.
        true_success: the ground truth held at some time.
        failure: name of the failure kind, `stopped` where the gate ended it, empty if none.
        human_steps: control periods that the person drove.
        takeovers: reason of each take-over.
        changed_steps: steps that the SafetyGate changed or refused.
    """

    seed: int
    steps: int
    success: bool
    true_success: bool
    failure: str
    human_steps: int
    takeovers: tuple[str, ...]
    changed_steps: int


def run_training_episode(
    twin: Twin,
    driver: Driver,
    gate: SafetyGate,
    contract: RobotContract,
    maker: StepMaker,
    judge: SuccessJudge,
    seed: int,
    sink: Callable[[Step], None],
    *,
    max_steps: int = 0,
    discount: float = 1.0,
    listener: Callable[[EpisodeStep], None] | None = None,
) -> EpisodeSummary:
    """Run one episode until the judge sees success, the gate stops the arm, or the time is over; steps go to `sink`.

    A stop, such as for a force that the arm feels, is a failure: no value of what might come after it is counted.

    Args:
        twin: the world; it is reset here.
        driver: who drives; its policy is the one that `maker` knows.
        gate: judges every step.
        contract: the robot's contract.
        maker: makes the steps.
        judge: says when the task is done.
        seed: draws the scene, the exploration and the person.
        sink: takes the steps as they come.
        max_steps: control periods, 0 for the task's own limit.
        discount: of the learner, for shaping by the judge's potential.
        listener: called after every period with what was seen and executed.
    """
    twin.reset(seed)
    start_gate(gate, twin.arm_state())
    driver.restart(twin.instruction, seed, twin.arm_state().gripper_opening)
    maker.restart(seed)
    judge.restart(twin.instruction)
    limit = max_steps or twin.step_limit
    steps, human_steps, changed = 0, 0, 0
    success = true_success = stopped = False
    obs = _observe(twin, contract)
    judge.judge(obs)
    potential = judge.potential
    while True:
        status = twin.task_status()
        decision = gate.admit(driver.command(obs), twin.arm_state(), twin.time_ns)
        executed = decision.executed
        maker.took(obs, executed.executed, executed.source)
        if listener is not None:
            listener(EpisodeStep(obs, executed, status))
        twin.advance(decision.target)
        steps += 1
        human_steps += executed.source is Source.HUMAN
        changed += bool(executed.reasons)
        obs = _observe(twin, contract)
        verdict = judge.judge(obs)
        success = verdict is Verdict.SUCCESS
        true_success = true_success or twin.task_status().success
        stopped = (gate.feel(twin.arm_state()) or bool(gate.latch)) and not success
        over = success or stopped
        reward = REWARDS[verdict] + shaped(potential, judge.potential, discount, over=over)
        potential = judge.potential
        if over or steps >= limit:
            sink(maker.end(obs, reward, terminated=over))
            break
        sink(maker.go_on(reward))
    takeovers = tuple(t.reason for t in driver.intervener.takeovers) if isinstance(driver, IntervenedDriver) else ()
    failure = "" if true_success else STOPPED if stopped else twin.task_status().failure
    return EpisodeSummary(seed, steps, success, true_success, failure, human_steps, takeovers, changed)


def shaped(before: float, after: float, discount: float, *, over: bool) -> float:
    """Return what is added to a reward for a potential that goes from `before` to `after` (Ng et al. 1999).

    After the end nothing is to be had, so the potential there is 0; a time limit is no end.
    """
    return (0.0 if over else discount * after) - before


def _observe(twin: Twin, contract: RobotContract) -> Observation:
    images = {name: twin.render(name) for name in contract.cameras}
    return Observation(twin.time_ns, images, state_vectors(twin.arm_state(), contract.state_keys))
