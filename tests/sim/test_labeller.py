"""The scripted labeller errs as often as it is told, and always in the same episodes."""

from __future__ import annotations

import pytest

from sim.labeller import Label, LabellerSettings, SuccessLabeller, Verdict
from tutelage_core.errors import ConfigurationError, UnknownNameError

KINDS = ("dropped", "pushed_away", "timeout")
EPISODES = range(4000)


def share(labels: list[Label], verdict: Verdict) -> float:
    return sum(label.verdict is verdict for label in labels) / len(labels)


def test_without_errors_labels_are_the_truth() -> None:
    labeller = SuccessLabeller(KINDS)
    assert all(labeller.label(n, success=True) == Label(Verdict.SUCCESS) for n in range(50))
    assert all(
        labeller.label(n, success=False, failure="dropped") == Label(Verdict.FAILURE, "dropped") for n in EPISODES
    )


def test_errors_come_at_the_asked_rates() -> None:
    settings = LabellerSettings(false_positives=0.2, false_negatives=0.1, undecided=0.25, wrong_kinds=0.3)
    labeller = SuccessLabeller(KINDS, settings, seed=3)
    good = [labeller.label(n, success=True) for n in EPISODES]
    bad = [labeller.label(n, success=False, failure="dropped") for n in EPISODES]
    assert share(good, Verdict.UNDECIDED) == pytest.approx(0.25, abs=0.025)
    assert share(bad, Verdict.UNDECIDED) == pytest.approx(0.25, abs=0.025)
    assert share(good, Verdict.FAILURE) == pytest.approx(0.75 * 0.1, abs=0.02)
    assert share(bad, Verdict.SUCCESS) == pytest.approx(0.75 * 0.2, abs=0.02)
    seen = [label for label in bad if label.verdict is Verdict.FAILURE]
    assert sum(label.failure != "dropped" for label in seen) / len(seen) == pytest.approx(0.3, abs=0.03)
    assert {label.failure for label in seen} == set(KINDS)


def test_only_a_failure_has_a_kind() -> None:
    labeller = SuccessLabeller(KINDS, LabellerSettings(false_positives=0.5, false_negatives=0.5, undecided=0.3))
    for n in range(200):
        for label in (labeller.label(n, success=True), labeller.label(n, success=False, failure="timeout")):
            assert (label.failure in KINDS) == (label.verdict is Verdict.FAILURE)


def test_a_label_depends_on_seed_and_episode_and_not_on_the_order() -> None:
    settings = LabellerSettings(false_positives=0.5)
    first, again = SuccessLabeller(KINDS, settings, seed=1), SuccessLabeller(KINDS, settings, seed=1)
    forward = [first.label(n, success=False, failure="timeout") for n in range(60)]
    backward = [again.label(n, success=False, failure="timeout") for n in reversed(range(60))]
    assert forward == backward[::-1]
    other = SuccessLabeller(KINDS, settings, seed=2)
    assert forward != [other.label(n, success=False, failure="timeout") for n in range(60)]


def test_who_errs_more_errs_in_the_same_episodes_and_in_others() -> None:
    wrong: list[set[int]] = []
    for rate in (0.1, 0.3, 0.6):
        labeller = SuccessLabeller(KINDS, LabellerSettings(false_negatives=rate))
        wrong.append({n for n in range(300) if labeller.label(n, success=True).verdict is Verdict.FAILURE})
    assert wrong[0] < wrong[1] < wrong[2]


def test_settings_and_kinds_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"undecided must be finite and in 0..1, got 1.5"):
        LabellerSettings(undecided=1.5)
    with pytest.raises(ConfigurationError, match="failure kind"):
        SuccessLabeller(())
    with pytest.raises(ConfigurationError, match="wrong_kinds"):
        SuccessLabeller(("timeout",), LabellerSettings(wrong_kinds=0.1))
    with pytest.raises(UnknownNameError, match="dropped"):
        SuccessLabeller(KINDS).label(0, success=False, failure="droped")
