"""The scripted voice says what the expert would do, when the policy does something else."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.safety.gate import SafetyGate
from sim.attention import AttentionSettings
from sim.language_corrector import LanguageCorrector, LanguageCorrectorSettings, disagree
from sim.twin import Twin
from tutelage_core.config import from_mapping, to_mapping
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.motion_phrases import STOP, WORDS, motion_of, parse, phrase_of, say
from tutelage_core.types import FloatArray, Source, StepCommand

AT_ONCE = AttentionSettings(reaction_delay_s=0.0)
STILL = np.append(np.zeros(6), 1.0)


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"), rooms="test")


class Obeys:
    """A policy that knows nothing but what words mean: without a phrase it stands still."""

    def __init__(self) -> None:
        self.opening = 1.0

    def step(self, phrase: str) -> FloatArray:
        step = np.zeros(7)
        for axis, sign in parse(phrase):
            if axis == 6:
                self.opening = float(sign > 0)
            else:
                step[axis] = sign * (0.006 if axis < 3 else 0.05)
        step[6] = self.opening
        return step


def obey(twin: Twin, settings: LanguageCorrectorSettings, seed: int) -> tuple[bool, LanguageCorrector]:
    """Play an episode in which the policy does what it is told; return whether it succeeds."""
    twin.reset(seed)
    gate = SafetyGate(twin.contract.safety)
    gate.restart(twin.arm_state())
    corrector, policy, phrase = LanguageCorrector(twin, settings), Obeys(), STOP
    corrector.restart(seed)
    for n in range(2 * twin.step_limit):
        if twin.task_status().success:
            break
        step = policy.step(phrase)
        phrase = corrector.watch(step) or STOP
        command = StepCommand(twin.time_ns, n + 1, Source.PHRASE, step)
        twin.advance(gate.admit(command, twin.arm_state(), twin.time_ns).target)
    return twin.task_status().success, corrector


def fresh(twin: Twin, seed: int = 0, **settings: object) -> LanguageCorrector:
    twin.reset(seed)
    corrector = LanguageCorrector(twin, LanguageCorrectorSettings(**settings))  # type: ignore[arg-type]
    corrector.restart(seed)
    return corrector


def expert_phrase(twin: Twin) -> str:
    return phrase_of(motion_of(twin.expert_step(), 1.0))


ATTENTIVE = LanguageCorrectorSettings(attention=AT_ONCE, disagreement_s=0.1, ask_every_s=0.1, longest_s=8.0)


def test_words_alone_make_a_policy_that_knows_nothing_pick_the_cube(twin: Twin) -> None:
    for seed in range(3):
        done, corrector = obey(twin, ATTENTIVE, seed)
        assert done, seed
        assert "close gripper" in " ".join(utterance.phrase for utterance in corrector.utterances)


def test_wrong_phrases_spoil_it(twin: Twin) -> None:
    wrong = LanguageCorrectorSettings(attention=AT_ONCE, disagreement_s=0.1, ask_every_s=0.1, wrong_phrases=1.0)
    done, corrector = obey(twin, wrong, 0)
    assert not done
    assert corrector.utterances
    assert all(utterance.phrase != utterance.meant for utterance in corrector.utterances)


def test_who_moves_as_the_expert_hears_nothing(twin: Twin) -> None:
    corrector = fresh(twin, attention=AT_ONCE, disagreement_s=0.1)
    gate = SafetyGate(twin.contract.safety)
    gate.restart(twin.arm_state())
    for n in range(twin.step_limit):
        step = twin.expert_step()
        assert corrector.watch(step) is None
        command = StepCommand(twin.time_ns, n + 1, Source.POLICY, step)
        twin.advance(gate.admit(command, twin.arm_state(), twin.time_ns).target)
    assert twin.task_status().success


@pytest.mark.parametrize(("patience", "delay"), [(1, 0), (4, 0), (4, 3), (1, 5)])
def test_the_first_word_comes_after_patience_and_reaction(twin: Twin, patience: int, delay: int) -> None:
    attention = AttentionSettings(reaction_delay_s=delay / 10)
    corrector = fresh(twin, attention=attention, disagreement_s=patience / 10)
    said = [corrector.watch(STILL) for _ in range(12)]
    first = patience - 1 + delay
    assert said[:first] == [None] * first
    assert said[first] == expert_phrase(twin)
    assert corrector.utterances[0].period == first


def test_a_policy_that_comes_round_in_time_is_not_interrupted(twin: Twin) -> None:
    corrector = fresh(twin, attention=AttentionSettings(reaction_delay_s=0.3), disagreement_s=0.1)
    for _ in range(3):
        assert corrector.watch(STILL) is None
    assert corrector.watch(twin.expert_step()) is None
    assert corrector.corrections == 0


def test_a_phrase_stays_until_its_time_is_up_and_the_budget_ends_them(twin: Twin) -> None:
    corrector = fresh(twin, attention=AT_ONCE, disagreement_s=0.1, shortest_s=0.5, longest_s=0.5, budget=2)
    said = [corrector.watch(STILL) is not None for _ in range(30)]
    assert said == [True] * 5 + [False] + [True] * 5 + [False] * 19
    assert corrector.corrections == 2


def test_the_phrase_follows_the_state_only_as_often_as_it_is_asked(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    corrector = fresh(twin, attention=AT_ONCE, disagreement_s=0.1, ask_every_s=0.4, shortest_s=9.0, longest_s=9.0)
    expert = {"meant": np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])}
    monkeypatch.setattr(twin, "expert_step", lambda: expert["meant"])
    said = [corrector.watch(STILL)]
    expert["meant"] = np.array([-0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
    said += [corrector.watch(STILL) for _ in range(5)]
    assert said == ["move arm forward"] * 4 + ["move arm backward"] * 2
    assert [utterance.period for utterance in corrector.utterances] == [0, 4]


def test_somebody_who_looks_away_says_nothing(twin: Twin) -> None:
    corrector = fresh(twin, attention=AttentionSettings(attention=0.0))
    assert [corrector.watch(STILL) for _ in range(40)] == [None] * 40


def test_the_same_seed_says_the_same(twin: Twin) -> None:
    settings = LanguageCorrectorSettings(wrong_phrases=0.4, attention=AttentionSettings(attention=0.6))
    first, again, other = (obey(twin, settings, seed)[1].utterances for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_wrong_phrases_come_at_their_rate(twin: Twin) -> None:
    corrector = fresh(
        twin,
        attention=AT_ONCE,
        disagreement_s=0.1,
        ask_every_s=0.1,
        shortest_s=200.0,
        longest_s=200.0,
        wrong_phrases=0.3,
    )
    right = expert_phrase(twin)
    said = [corrector.watch(STILL) for _ in range(1000)]
    wrong = [phrase for phrase in said if phrase != right]
    assert len(wrong) / len(said) == pytest.approx(0.3, abs=0.05)
    assert set(wrong) <= {say([part]) for part in WORDS}


def test_a_held_thing_is_not_told_to_be_closed_again_and_again(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = fresh(twin, attention=AT_ONCE, disagreement_s=0.1)
    meant = np.array([0.0, 0.0, 0.015, 0.0, 0.0, 0.0, 0.0])
    monkeypatch.setattr(twin, "expert_step", lambda: meant)
    closed.watch(np.append(np.zeros(6), 0.0))
    said = [closed.watch(np.append(np.zeros(6), 0.0)) for _ in range(6)]
    assert twin.arm_state().gripper_opening > 0.9
    assert set(said[4:]) == {"move arm up"}


def test_only_a_missing_main_part_is_a_disagreement() -> None:
    forward, up, close = (0, 1), (2, 1), (6, -1)
    assert not disagree((up, forward), (forward, close))
    assert disagree((up,), (forward, up))
    assert disagree(((0, -1),), (forward,))
    assert disagree((), (forward,))
    assert not disagree((forward,), ())


def test_a_step_that_is_no_number_counts_as_standing_still(twin: Twin) -> None:
    corrector = fresh(twin, attention=AT_ONCE, disagreement_s=0.1)
    assert corrector.watch(np.full(7, np.nan)) == expert_phrase(twin)


def test_settings_survive_a_file_and_bad_ones_are_refused() -> None:
    settings = LanguageCorrectorSettings(wrong_phrases=0.1, budget=4)
    assert from_mapping(to_mapping(settings), LanguageCorrectorSettings, "file") == settings
    with pytest.raises(ConfigurationError, match="wrong_phrases"):
        LanguageCorrectorSettings(wrong_phrases=2.0)
    with pytest.raises(ConfigurationError, match="longest_s"):
        LanguageCorrectorSettings(shortest_s=2.0, longest_s=1.0)
    with pytest.raises(ConfigurationError, match="budget"):
        LanguageCorrectorSettings(budget=-1)
