"""Verify and retry (RUM, 1.5) in the one-process loop: try, look whether it worked, and if not try from elsewhere.

Nobody tells the loop what is true: a verifier ends an attempt with yes or no, as on a robot. The ground truth that the
twin has is only kept beside each verdict, so that the verifier itself can be judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from hardware.safety.gate import SafetyGate
from policies.rum.retry import Attempt, Ending, RetryLoop, RetrySettings
from reward_models.verifier.verifier import Verifier
from sim.rooms import Room
from sim.twin import Twin
from tutelage.drivers import Driver
from tutelage.loop import EpisodeOptions, StepListener, run_episode
from tutelage_core.contract import RobotContract, check_cameras, state_vectors
from tutelage_core.errors import ConfigurationError
from tutelage_core.homing import WayBack
from tutelage_core.types import Observation, Pose, Source, StepCommand
from tutelage_core.verdict import Answer, Verdict

LONGEST_WAY_BACK = 300
"""Control periods after which an arm that is not back is stuck."""


@dataclass(frozen=True)
class AttemptResult:
    """What came of one attempt.

    Attributes:
        attempt: which one, and from where.
        steps: control periods.
        verdict: what the verifier said at its end.
        worked: what was true then.
        frames: the pictures that the verdict is about.
    """

    attempt: Attempt
    steps: int
    verdict: Verdict
    worked: bool
    frames: tuple[Observation, ...]


@dataclass(frozen=True)
class RetriedEpisode:
    """What came of a task, over all its attempts.

    Attributes:
        ending: how it ended, by the verifier's word.
        worked: what was true at the end.
        attempts: the first one first.
        failure: the ground truth's name for what went wrong, empty if nothing did.
    """

    ending: Ending
    worked: bool
    attempts: tuple[AttemptResult, ...]
    failure: str

    @property
    def success(self) -> bool:
        """Whether the verifier said that it worked, and it did."""
        return self.ending is Ending.SUCCESS and self.worked

    @property
    def worked_at_once(self) -> bool:
        """Whether the first attempt worked, whatever the verifier said."""
        return self.attempts[0].worked


@dataclass(frozen=True)
class RetryOptions:
    """How a task is tried in the loop.

    Attributes:
        retry: how often and from where.
        ask_every: ask the verifier every so many control periods, and end the attempt at its yes; 0 asks at the end
            only, as RUM does with a model that is slow and costs money.
        max_steps: control periods of an attempt, 0 for the task's own limit.
    """

    retry: RetrySettings = field(default_factory=RetrySettings)
    ask_every: int = 0
    max_steps: int = 0

    def __post_init__(self) -> None:
        """Refuse counts below zero."""
        if self.ask_every < 0 or self.max_steps < 0:
            raise ConfigurationError(f"RetryOptions: ask_every and max_steps must not be negative, got {self}")


class _Watcher:
    """Gathers the frames of an attempt, and asks the verifier now and then."""

    def __init__(self, verifier: Verifier, task: str, ask_every: int) -> None:
        self._verifier, self._task, self._ask_every = verifier, task, ask_every
        self.frames: list[Observation] = []
        self.verdict: Verdict | None = None

    def see(self, obs: Observation) -> bool:
        """Take an observation; return whether the attempt is over by the verifier's word."""
        self.frames.append(obs)
        if not self._ask_every or len(self.frames) % self._ask_every:
            return False
        said = self._verifier.verify(self.frames, self._task)
        self.verdict = said if said.answer is Answer.YES else None
        return self.verdict is not None


def run_with_retry(
    twin: Twin,
    driver: Driver,
    gate: SafetyGate,
    contract: RobotContract,
    verifier: Verifier,
    seed: int,
    options: RetryOptions | None = None,
    *,
    room: Room | None = None,
    listener: StepListener | None = None,
    on_attempt: Callable[[AttemptResult], None] | None = None,
) -> RetriedEpisode:
    """Try a task until the verifier says that it worked, or it is no use.

    Args:
        twin: the world; it is reset once, here.
        driver: who drives; begins anew with each attempt.
        gate: judges every step, those of the way back too.
        contract: the robot's contract.
        verifier: says whether it worked.
        seed: draws the scene, the starts of the attempts and what the policy draws.
        options: how often, how long, and when the verifier is asked.
        room: where it happens; without one the seed draws it.
        listener: called after every period of every attempt with what was seen and executed.
        on_attempt: called after each attempt.

    Raises:
        ContractMismatchError: the verifier does not fit the robot.
    """
    options = options or RetryOptions()
    check_cameras(f"verifier '{verifier.name}'", verifier.cameras, contract)
    loop = RetryLoop(options.retry, seed)
    twin.reset(seed, room)
    home, task = twin.arm_state().T_base_tcp, twin.instruction
    results: list[AttemptResult] = []
    attempt: Attempt | None = loop.attempt
    while attempt is not None:
        watcher = _Watcher(verifier, task, options.ask_every)
        driven = EpisodeOptions(attempt.policy_seed(seed), options.max_steps, scene_stays=True, blind=True)
        outcome = run_episode(twin, driver, gate, contract, driven, listener=listener, until=watcher.see)
        if watcher.verdict is None:
            watcher.frames.append(_seen(twin, contract))
        verdict = watcher.verdict or verifier.verify(watcher.frames, task)
        following = loop.judge(verdict)
        while following == attempt:  # nobody knows: ask once more
            verdict = verifier.verify(watcher.frames, task)
            following = loop.judge(verdict)
        results.append(AttemptResult(attempt, outcome.steps, verdict, outcome.success, tuple(watcher.frames)))
        if on_attempt is not None:
            on_attempt(results[-1])
        if following is not None and (gate.latch or not _go_back(twin, gate, contract, home, following)):
            loop.abandon()
            following = None
        attempt = following
    assert loop.ending is not None
    status = twin.task_status()
    failure = "" if status.success else gate.latch or status.failure or "timeout"
    return RetriedEpisode(loop.ending, status.success, tuple(results), failure)


def _seen(twin: Twin, contract: RobotContract) -> Observation:
    images = {name: twin.render(name) for name in contract.cameras}
    return Observation(twin.time_ns, images, state_vectors(twin.arm_state(), contract.state_keys))


def _go_back(twin: Twin, gate: SafetyGate, contract: RobotContract, home: Pose, attempt: Attempt) -> bool:
    """Bring the hand to where the attempt begins; return whether it came there."""
    way = WayBack(replace(home, position=home.position + np.array(attempt.offset_m)), contract.safety)
    gate.restart(twin.arm_state())
    for number in range(LONGEST_WAY_BACK):
        state = twin.arm_state()
        if gate.feel(state) or gate.latch:
            return False
        step = way.step(state.T_base_tcp)
        if step is None:
            return True
        command = StepCommand(twin.time_ns, number + 1, Source.HOMING, step)
        twin.advance(gate.admit(command, state, twin.time_ns).target)
    return False
