"""The scripted person takes over for a reason, in time, mends what went wrong, lets go, and is the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from hardware.teleop import TeleopDevice
from sim.attention import Attention, AttentionSettings
from sim.correction import CorrectionSettings
from sim.human import Intervener, InterventionSettings
from sim.lookout import LookoutSettings
from sim.scripted_hand import RESUME, ScriptedHand
from sim.twin import Twin
from tutelage.intervened_driver import IntervenedDriver
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import EpisodeStep, ExecutedStep, FloatArray, Observation, Source, StepCommand, TaskStatus

ROOMS = range(4)
STILL = np.append(np.zeros(6), 1.0)


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"), rooms="test")


@pytest.fixture(scope="module")
def sure_steps(twin: Twin) -> int:
    """How long a sure hand and a policy that freezes take together in all rooms."""
    return sum(len(play(twin, corrected(twin, Freezes(twin)), seed)) for seed in ROOMS)


class Expert:
    """A driver that does what the expert does; a bad policy changes `answer`."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.sequence = 0

    def restart(self, instruction: str, seed: int, gripper_opening: float) -> None:
        self.sequence = 0

    def command(self, observation: Observation) -> StepCommand:
        self.sequence += 1
        return StepCommand(observation.stamp_ns, self.sequence, Source.POLICY, self.answer(self.twin.expert_step()))

    def answer(self, step: FloatArray) -> FloatArray:
        return step


class NeverCloses(Expert):
    def answer(self, step: FloatArray) -> FloatArray:
        step[6] = 1.0
        return step


class Freezes(Expert):
    """Stands still far from the cube."""

    def answer(self, step: FloatArray) -> FloatArray:
        return step if self.twin.task_status().progress < 0.2 else STILL.copy()


class Pushes(Expert):
    """Goes down beside the cube and pushes it toward the robot's left, off the workplace."""

    def answer(self, step: FloatArray) -> FloatArray:
        tcp = self.twin.arm_state().T_base_tcp.position
        cube = self.twin.points()["cube"]
        beside = abs(cube[0] - tcp[0]) < 0.015 and 0.02 < cube[1] - tcp[1] < 0.09
        if not beside:
            way = cube + np.array([0.0, -0.06, 0.15]) - tcp
        elif tcp[2] > cube[2] + 0.012:
            way = np.array([0.0, 0.0, cube[2] - tcp[2]])
        else:
            way = np.array([0.0, 0.015, 0.0])
        way *= min(1.0, 0.015 / float(np.linalg.norm(way)))
        return np.concatenate([way, np.zeros(3), [0.0]])


def play(twin: Twin, driver: Expert | IntervenedDriver, seed: int) -> list[EpisodeStep]:
    """Run an episode without pictures and return its steps; the last one has the final status."""
    twin.reset(seed)
    state = twin.arm_state()
    gate = SafetyGate(twin.contract.safety)
    gate.restart(state)
    driver.restart(twin.instruction, seed, state.gripper_opening)
    steps: list[EpisodeStep] = []
    while len(steps) < twin.step_limit and not twin.task_status().success:
        observation = Observation(twin.time_ns, {}, {})
        decision = gate.admit(driver.command(observation), twin.arm_state(), twin.time_ns)
        twin.advance(decision.target)
        steps.append(EpisodeStep(observation, decision.executed, twin.task_status()))
    return steps


def succeeded(steps: list[EpisodeStep]) -> bool:
    status = steps[-1].status
    return status is not None and status.success


def human_periods(steps: list[EpisodeStep]) -> list[int]:
    return [n for n, step in enumerate(steps) if step.executed.source is Source.HUMAN]


def corrected(twin: Twin, policy: Expert, **settings: object) -> IntervenedDriver:
    return IntervenedDriver(policy, Intervener(twin, InterventionSettings(**settings)))  # type: ignore[arg-type]


def test_a_good_policy_is_never_touched(twin: Twin) -> None:
    driver = corrected(twin, Expert(twin))
    for seed in ROOMS:
        steps = play(twin, driver, seed)
        assert succeeded(steps)
        assert human_periods(steps) == []
        assert driver.intervener.takeovers == []


@pytest.mark.parametrize("policy", [NeverCloses, Freezes])
def test_bad_policies_fail_alone_and_succeed_with_the_person(twin: Twin, policy: type[Expert]) -> None:
    for seed in ROOMS:
        assert not succeeded(play(twin, policy(twin), seed))
        driver = corrected(twin, policy(twin))
        steps = play(twin, driver, seed)
        assert succeeded(steps), seed
        assert len(human_periods(steps)) == driver.intervener.corrected_periods > 0
        assert len(human_periods(steps)) < len(steps)


def test_the_gate_lets_every_step_of_the_hand_through(twin: Twin) -> None:
    rough = CorrectionSettings(noise_m=0.05, noise_rad=0.5, bias_m=0.02, gain=2.0, detours=1.0, gripper_mistakes=1.0)
    limits = twin.contract.safety
    for seed in ROOMS:
        for step in play(twin, corrected(twin, Freezes(twin), correction=rough), seed):
            if step.executed.source is Source.HUMAN:
                assert np.linalg.norm(step.executed.requested[:3]) <= limits.max_step_m * (1 + 1e-9)
                assert np.linalg.norm(step.executed.requested[3:6]) <= limits.max_step_rad * (1 + 1e-9)
                assert 0.0 <= step.executed.requested[6] <= 1.0


def test_a_seed_gives_the_same_corrections_and_another_seed_others(twin: Twin) -> None:
    settings = CorrectionSettings(noise_m=0.004, detours=0.5, gripper_mistakes=0.5)
    driver = corrected(twin, Freezes(twin), correction=settings, attention=AttentionSettings(attention=0.5))

    def executed(seed: int) -> list[ExecutedStep]:
        return [step.executed for step in play(twin, driver, seed)]

    first, other, again = executed(1), executed(2), executed(1)
    assert len(first) == len(again)
    assert all(
        np.array_equal(a.executed, b.executed) and a.source is b.source for a, b in zip(first, again, strict=True)
    )
    assert any(not np.array_equal(a.executed, b.executed) for a, b in zip(first, other, strict=False))


def test_a_policy_that_stands_still_is_a_stall_after_the_stall_time(twin: Twin) -> None:
    quick, slow = LookoutSettings(stall_s=0.8), LookoutSettings(stall_s=2.0)
    first: list[int] = []
    for lookout in (quick, slow):
        driver = corrected(twin, Freezes(twin), lookout=lookout, attention=AttentionSettings(reaction_delay_s=0.0))
        first.append(human_periods(play(twin, driver, 0))[0])
        assert driver.intervener.takeovers[0].reason == "stall"
    assert first[1] - first[0] == 12


@pytest.mark.parametrize("delay_periods", [1, 4, 9])
def test_the_hand_is_as_late_as_its_reaction(twin: Twin, delay_periods: int) -> None:
    first: list[int] = []
    for delay_s in (0.0, delay_periods / 10):
        driver = corrected(twin, Freezes(twin), attention=AttentionSettings(reaction_delay_s=delay_s))
        first.append(human_periods(play(twin, driver, 0))[0])
    assert first[1] - first[0] == delay_periods


def test_what_rights_itself_within_the_reaction_delay_needs_no_hand(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.reset(0)
    intervener = Intervener(twin, InterventionSettings(attention=AttentionSettings(reaction_delay_s=0.3)))
    intervener.restart(0)
    status = twin.task_status()
    for failure in ("dropped", "dropped", "dropped", "", "", ""):
        monkeypatch.setattr(twin, "task_status", lambda kind=failure: TaskStatus(False, status.progress, kind))
        assert intervener.watch(STILL) is None
    monkeypatch.setattr(twin, "task_status", lambda: TaskStatus(False, status.progress, "dropped"))
    assert [intervener.watch(STILL) is None for _ in range(4)] == [True] * 3 + [False]


def test_a_dropped_cube_is_named_as_the_reason(twin: Twin) -> None:
    class LetsGo(Expert):
        def answer(self, step: FloatArray) -> FloatArray:
            step[6] = 1.0 if self.twin.task_status().progress > 0.7 else step[6]
            return step

    patient = LookoutSettings(disagreement_s=60.0, stall_s=60.0)
    driver = corrected(twin, LetsGo(twin), lookout=patient)
    assert succeeded(play(twin, driver, 0))
    assert driver.intervener.takeovers[0].reason == "dropped"


def test_a_cube_that_is_pushed_toward_the_border_is_saved_before_it_is_lost(twin: Twin) -> None:
    alone = play(twin, Pushes(twin), 0)[-1].status
    assert alone is not None
    assert (alone.success, alone.failure) == (False, "pushed_away")
    blind = LookoutSettings(disagreement_s=60.0, stall_s=60.0)
    driver = corrected(twin, Pushes(twin), lookout=blind)
    assert succeeded(play(twin, driver, 0))
    assert {takeover.reason for takeover in driver.intervener.takeovers} == {"border"}


def test_the_hand_lets_go_once_progress_is_regained_or_its_time_is_up(twin: Twin) -> None:
    brief = CorrectionSettings(shortest_s=0.2, longest_s=0.7)
    driver = corrected(twin, Freezes(twin), correction=brief)
    play(twin, driver, 0)
    assert len(driver.intervener.takeovers) > 1
    assert all(2 <= takeover.periods <= 7 for takeover in driver.intervener.takeovers[:-1])
    patient = CorrectionSettings(shortest_s=9.0, longest_s=9.0, regained=1.0)
    driver = corrected(twin, Freezes(twin), correction=patient)
    steps = play(twin, driver, 0)
    assert human_periods(steps)[-1] == len(steps) - 1


def test_who_never_looks_never_helps_and_who_looks_more_sees_more(twin: Twin) -> None:
    assert not succeeded(play(twin, corrected(twin, Freezes(twin), attention=AttentionSettings(attention=0.0)), 0))
    seen: list[set[int]] = []
    for share in (0.2, 0.5, 0.9):
        attention = Attention(AttentionSettings(reaction_delay_s=0.0, attention=share), period_s=0.1)
        attention.restart(5)
        seen.append({n for n in range(2000) if attention.notice("smoke")})
        assert len(seen[-1]) / 2000 == pytest.approx(share, abs=0.1)
    assert seen[0] < seen[1] < seen[2]


def test_a_budget_bounds_the_corrections(twin: Twin) -> None:
    for budget in (0, 1):
        short = CorrectionSettings(shortest_s=0.3, longest_s=0.3)
        driver = corrected(twin, Freezes(twin), budget=budget, correction=short)
        steps = play(twin, driver, 0)
        assert not succeeded(steps)
        assert (len(driver.intervener.takeovers), len(human_periods(steps))) == (budget, 3 * budget)


def test_a_meddler_takes_over_from_a_good_policy(twin: Twin) -> None:
    driver = corrected(twin, Expert(twin), needless=1.0)
    assert succeeded(play(twin, driver, 0))
    assert {takeover.reason for takeover in driver.intervener.takeovers} == {"needless"}


@pytest.mark.parametrize(
    "clumsy",
    [
        CorrectionSettings(gain=0.3),
        CorrectionSettings(noise_m=0.02),
        CorrectionSettings(detours=1.0, detour_s=1.0),
        CorrectionSettings(gripper_mistakes=1.0, gripper_mistake_s=1.0),
    ],
    ids=["slow", "shaky", "astray", "wrong gripper"],
)
def test_a_clumsy_hand_needs_longer(twin: Twin, clumsy: CorrectionSettings, sure_steps: int) -> None:
    driver = corrected(twin, Freezes(twin), correction=clumsy)
    assert sum(len(play(twin, driver, seed)) for seed in ROOMS) > sure_steps


def test_a_step_that_is_no_number_is_wrong_near_and_far(twin: Twin) -> None:
    twin.reset(0)
    intervener = Intervener(twin, InterventionSettings(attention=AttentionSettings(reaction_delay_s=0.0)))
    intervener.restart(0)
    answers = [intervener.watch(np.full(7, np.nan)) for _ in range(4)]
    assert answers[:3] == [None] * 3
    assert answers[3] is not None
    assert np.isfinite(answers[3]).all()


def test_commands_are_counted_in_order_whoever_drives(twin: Twin) -> None:
    steps = play(twin, corrected(twin, Freezes(twin)), 0)
    assert [step.executed.sequence for step in steps] == list(range(1, len(steps) + 1))
    assert {step.executed.source for step in steps} == {Source.POLICY, Source.HUMAN}


def test_a_plan_is_dropped_in_every_period_that_the_hand_drives(twin: Twin) -> None:
    class Plans(Freezes):
        resumed: tuple[float, ...] = ()

        def resume(self, gripper_opening: float) -> None:
            self.resumed += (gripper_opening,)

    policy = Plans(twin)
    steps = play(twin, corrected(twin, policy), 0)
    assert policy.resumed == tuple(float(steps[n].executed.executed[6]) for n in human_periods(steps))


def test_the_scripted_hand_is_a_teleop_device_with_a_deadman(twin: Twin) -> None:
    twin.reset(0)
    short = CorrectionSettings(shortest_s=0.3, longest_s=0.3)
    settings = InterventionSettings(needless=1.0, correction=short, attention=AttentionSettings(reaction_delay_s=0.0))
    hand = ScriptedHand(Intervener(twin, settings), period_s=0.1)
    assert isinstance(hand, TeleopDevice)
    hand.restart(0, gripper_opening=0.7)
    idle = hand.read()
    assert (idle.deadman, idle.gripper_opening, idle.buttons) == (False, 0.7, frozenset())
    expert = twin.expert_step()
    for _ in range(3):
        hand.watch(expert)
        assert hand.read().deadman
        np.testing.assert_allclose(hand.read().twist, expert[:6] / 0.1)
    hand.watch(expert)
    assert (hand.read().deadman, hand.read().buttons) == (False, frozenset({RESUME}))
    np.testing.assert_array_equal(hand.read().twist, np.zeros(6))
    hand.watch(expert)
    assert hand.read().buttons == frozenset()


def test_after_success_nobody_takes_over(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    twin.reset(0)
    monkeypatch.setattr(twin, "task_status", lambda: TaskStatus(True, 1.0))
    intervener = Intervener(twin, InterventionSettings(needless=1.0))
    intervener.restart(0)
    assert all(intervener.watch(np.full(7, np.nan)) is None for _ in range(40))


def test_settings_survive_a_file() -> None:
    settings = InterventionSettings(correction=CorrectionSettings(noise_m=0.01), budget=3)
    assert from_mapping(to_mapping(settings), InterventionSettings, "file") == settings


def test_settings_out_of_bounds_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"AttentionSettings.attention must be finite and in 0..1, got 1.2"):
        AttentionSettings(attention=1.2)
    with pytest.raises(ConfigurationError, match="noise_m"):
        CorrectionSettings(noise_m=float("nan"))
    with pytest.raises(ConfigurationError, match="longest_s must be at least shortest_s"):
        CorrectionSettings(shortest_s=2.0, longest_s=1.0)
    with pytest.raises(ConfigurationError, match="stall_s"):
        LookoutSettings(stall_s=0.0)
    with pytest.raises(ConfigurationError, match="budget"):
        InterventionSettings(budget=-1)
    with pytest.raises(ConfigurationError, match="needless"):
        InterventionSettings(needless=-0.1)
