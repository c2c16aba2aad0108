"""Verify and retry in the twin, with drivers and verifiers that err on purpose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from hardware.safety.gate import make_gate
from policies.rum.retry import Ending, RetrySettings
from sim.twin import Twin
from tutelage.drivers import ExpertDriver
from tutelage.retrying import RetriedEpisode, RetryOptions, run_with_retry
from tutelage_core.contract import load_contract
from tutelage_core.errors import ContractMismatchError
from tutelage_core.types import EpisodeStep, Observation, Source, StepCommand
from tutelage_core.verdict import Answer, Verdict

pytestmark = [pytest.mark.sim, pytest.mark.timeout(240)]

CONTRACT = load_contract("twin")
SEED = 7


class Eyes:
    """A verifier that sees the ground truth, and says what it is told to for its first looks."""

    name = "eyes"

    def __init__(self, twin: Twin, *script: Answer, irreversible: bool = False) -> None:
        self.twin, self.script, self.irreversible = twin, list(script), irreversible
        self.cameras: dict[str, None] = {"wrist": None}
        self.looks: list[int] = []

    def verify(self, frames: Sequence[Observation], task: str) -> Verdict:
        self.looks.append(len(frames))
        truth = Answer.YES if self.twin.task_status().success else Answer.NO
        answer = self.script.pop(0) if self.script else truth
        return Verdict(answer, "eyes", "told so", irreversible=self.irreversible and answer is Answer.NO)


class Clumsy(ExpertDriver):
    """The expert, who in its first attempts only sinks to where it grasps at nothing."""

    def __init__(self, twin: Twin, failures: int) -> None:
        super().__init__(twin, CONTRACT.safety, 0.0)
        self.failures, self.attempts = failures, 0
        self.starts: list[np.ndarray] = []
        self.seeds: list[int] = []

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        super().restart(instruction, seed, gripper_opening)
        self.attempts += 1
        self.starts.append(self._twin.arm_state().T_base_tcp.position)
        self.seeds.append(seed)

    def command(self, observation: Observation) -> StepCommand:
        command = super().command(observation)
        if self.attempts > self.failures:
            return command
        step = np.array([0.0, 0.0, -0.005, 0.0, 0.0, 0.0, 1.0])
        return StepCommand(command.stamp_ns, command.sequence, Source.POLICY, step)


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(CONTRACT, "PickCube", SEED)


def tried(
    twin: Twin, driver: Clumsy, eyes: Eyes, *, tries: int = 10, **options: int
) -> tuple[RetriedEpisode, list[EpisodeStep]]:
    steps: list[EpisodeStep] = []
    settings = RetryOptions(RetrySettings(tries=tries), **{"max_steps": 60, **options})
    found = run_with_retry(twin, driver, make_gate(CONTRACT), CONTRACT, eyes, SEED, settings, listener=steps.append)
    return found, steps


def test_second_attempt_begins_elsewhere_in_the_same_scene_and_works(twin: Twin) -> None:
    driver = Clumsy(twin, failures=1)
    resets = twin.resets
    found, steps = tried(twin, driver, Eyes(twin))
    assert (found.ending, found.worked, found.success, found.failure) == (Ending.SUCCESS, True, True, "")
    assert [a.worked for a in found.attempts] == [False, True]
    assert twin.resets == resets + 1, "the scene is set once"
    offset = np.array(found.attempts[1].attempt.offset_m)
    assert np.linalg.norm(offset) > 0.01
    np.testing.assert_allclose(driver.starts[1] - driver.starts[0], offset, atol=0.008)
    assert driver.seeds[0] != driver.seeds[1]
    assert len(steps) == sum(a.steps for a in found.attempts), "the way back is no attempt's"
    assert all(len(a.frames) == a.steps + 1 for a in found.attempts)
    stamps = [frame.stamp_ns for attempt in found.attempts for frame in attempt.frames]
    assert stamps == sorted(stamps)


def test_success_that_the_verifier_does_not_see_is_tried_again(twin: Twin) -> None:
    found, _ = tried(twin, Clumsy(twin, failures=0), Eyes(twin, Answer.NO))
    assert [a.worked for a in found.attempts] == [True, True], "the cube was let go and taken again"
    assert found.success


def test_failure_that_the_verifier_takes_for_success_ends_it(twin: Twin) -> None:
    found, _ = tried(twin, Clumsy(twin, failures=9), Eyes(twin, Answer.YES))
    assert (found.ending, found.worked, found.success) == (Ending.SUCCESS, False, False)
    assert found.failure


def test_it_ends_after_the_last_try(twin: Twin) -> None:
    found, _ = tried(twin, Clumsy(twin, failures=9), Eyes(twin), tries=2, max_steps=10)
    assert (found.ending, len(found.attempts)) == (Ending.TRIES, 2)


def test_unknown_is_asked_again_and_ends_it_at_last(twin: Twin) -> None:
    eyes = Eyes(twin, Answer.UNKNOWN, Answer.UNKNOWN)
    found, _ = tried(twin, Clumsy(twin, failures=0), eyes)
    assert (found.ending, len(eyes.looks)) == (Ending.SUCCESS, 3)
    found, _ = tried(twin, Clumsy(twin, failures=0), Eyes(twin, *[Answer.UNKNOWN] * 3))
    assert (found.ending, found.worked, found.success) == (Ending.UNVERIFIED, True, False)


def test_irreversible_no_ends_it(twin: Twin) -> None:
    found, _ = tried(twin, Clumsy(twin, failures=9), Eyes(twin, irreversible=True), max_steps=10)
    assert (found.ending, len(found.attempts)) == (Ending.IRREVERSIBLE, 1)


def test_verifier_that_is_asked_on_the_way_ends_the_attempt_with_its_yes(twin: Twin) -> None:
    eyes = Eyes(twin)
    found, _ = tried(twin, Clumsy(twin, failures=0), eyes, ask_every=5)
    (only,) = found.attempts
    assert found.success
    assert only.steps < 60
    assert eyes.looks == list(range(5, len(only.frames) + 1, 5))


def test_arm_that_has_stopped_tries_no_more(twin: Twin) -> None:
    gate = make_gate(CONTRACT)

    class Bumped(Clumsy):
        def command(self, observation: Observation) -> StepCommand:
            gate.stop("FORCE_LIMIT")
            return super().command(observation)

    options = RetryOptions(RetrySettings(), max_steps=10)
    found = run_with_retry(twin, Bumped(twin, 9), gate, CONTRACT, Eyes(twin), SEED, options)
    assert (found.ending, len(found.attempts), found.failure) == (Ending.IRREVERSIBLE, 1, "FORCE_LIMIT")


def test_verifier_that_looks_through_another_robots_camera_is_refused(twin: Twin) -> None:
    eyes = Eyes(twin)
    eyes.cameras = {"elbow": None}
    with pytest.raises(ContractMismatchError, match="elbow"):
        tried(twin, Clumsy(twin, 0), eyes)
