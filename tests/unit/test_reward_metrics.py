"""Metrics of reward models on cases that were worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_models import metrics

pytestmark = pytest.mark.unit

NAN = math.nan


def test_order_correlation_of_rising_falling_and_tied_rewards() -> None:
    assert metrics.value_order_correlation([0.1, 0.2, 0.7, 0.9]) == pytest.approx(1.0)
    assert metrics.value_order_correlation([3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    # ranks of 0 0 1: 1.5 1.5 3 against 1 2 3; covariance 1.5, variances 1.5 and 2: 1.5 / sqrt(3)
    assert metrics.value_order_correlation([0.0, 0.0, 1.0]) == pytest.approx(1.5 / math.sqrt(3.0))
    # one swap in four: 1 - 6 * 2 / (4 * 15)
    assert metrics.value_order_correlation([0.0, 2.0, 1.0, 3.0]) == pytest.approx(0.8)


def test_order_correlation_leaves_out_what_was_not_scored_and_keeps_the_order() -> None:
    assert metrics.value_order_correlation([0.0, NAN, 1.0, NAN, 2.0]) == pytest.approx(1.0)
    for said in ([], [1.0], [NAN, NAN], [1.0, NAN], [0.5, 0.5, 0.5]):
        assert math.isnan(metrics.value_order_correlation(said))
    with pytest.raises(ValueError, match="shape"):
        metrics.value_order_correlation([[1.0, 2.0]])


def test_epic_distance_at_its_anchors() -> None:
    truth = [0.0, 0.0, 1.0, 1.0]
    assert metrics.epic_distance([5.0, 5.0, 9.0, 9.0], truth) == pytest.approx(0.0, abs=1e-7)  # scale and offset
    assert metrics.epic_distance([1.0, 1.0, 0.0, 0.0], truth) == pytest.approx(1.0)
    assert metrics.epic_distance([0.0, 1.0, 0.0, 1.0], truth) == pytest.approx(math.sqrt(0.5))  # rho 0
    # rewards 0 1 1 1: means 3/4 and 1/2, covariance 1/8, variances 3/16 and 1/4: rho = 1 / sqrt(3)
    assert metrics.epic_distance([0.0, 1.0, 1.0, 1.0], truth) == pytest.approx(
        math.sqrt((1.0 - 1.0 / math.sqrt(3.0)) / 2.0)
    )
    assert math.isnan(metrics.epic_distance([1.0, 1.0, 1.0, 1.0], truth))
    assert math.isnan(metrics.epic_distance([0.0, 1.0], [1.0, 1.0]))
    with pytest.raises(ValueError, match="do not go with"):
        metrics.epic_distance([1.0], truth)


def test_tau_counts_pairs_of_different_outcome_and_a_tie_as_not_told_apart() -> None:
    assert metrics.tau_a([1.0, 2.0, 3.0], [0.0, 0.5, 1.0]) == 1.0
    assert metrics.tau_a([3.0, 2.0, 1.0], [0.0, 0.5, 1.0]) == -1.0
    # of the four pairs of a failure and a success two are right, one is wrong, one is tied
    assert metrics.tau_a([1.0, 2.0, 2.0, 1.5], [0.0, 0.0, 1.0, 1.0]) == pytest.approx((2 - 1) / 4)
    assert math.isnan(metrics.tau_a([1.0, 2.0], [1.0, 1.0]))
    assert metrics.tau_a([1.0, NAN, 2.0], [0.0, 1.0, 1.0]) == 1.0


def test_auroc_counts_a_tie_half() -> None:
    assert metrics.auroc([0.1, 0.9], [0.0, 1.0]) == 1.0
    assert metrics.auroc([0.5, 0.5], [0.0, 1.0]) == 0.5
    # pairs of success (0.8, 0.4) and failure (0.4, 0.1): 1 + 1 + 1/2 + 1 of 4
    assert metrics.auroc([0.8, 0.4, 0.4, 0.1], [1.0, 1.0, 0.0, 0.0]) == pytest.approx(3.5 / 4)
    assert math.isnan(metrics.auroc([0.8, 0.4], [1.0, 1.0]))


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=2, max_size=30))
def test_auroc_of_outcomes_is_tau_over_the_same_pairs(cases: list[tuple[float, bool]]) -> None:
    values, outcomes = [c[0] for c in cases], [float(c[1]) for c in cases]
    tau, area = metrics.tau_a(values, outcomes), metrics.auroc(values, outcomes)
    assert (math.isnan(tau) and math.isnan(area)) or tau == pytest.approx(2.0 * area - 1.0)


def test_confusion_and_its_shares() -> None:
    found = metrics.confusion([0.9, 0.6, 0.5, 0.4, 0.1, NAN], [1.0, 0.0, 1.0, 1.0, 0.0, 1.0], 0.5)
    assert (found.right, found.missed, found.false, found.left) == (2, 1, 1, 1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == pytest.approx(2 / 3)
    assert found.false_positive_rate == 0.5
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 0.5) / 2)
    silent = metrics.confusion([0.1, 0.2], [1.0, 0.0], 0.5)
    assert math.isnan(silent.precision)
    assert (silent.recall, silent.false_positive_rate) == (0.0, 0.0)


def test_swap_margin_is_against_the_best_of_the_other_sentences() -> None:
    assert metrics.instruction_swap_margin([[0.9, 0.2, 0.5], [0.1, 0.3, 0.4], [0.0, 0.0, 1.0]]) == pytest.approx(
        (0.4 - 0.1 + 1.0) / 3
    )
    assert metrics.instruction_swap_margin([[0.9, NAN], [0.1, 0.3]]) == pytest.approx(0.2)
    assert math.isnan(metrics.instruction_swap_margin(np.full((2, 2), NAN)))
    for shape in ((1, 1), (2, 3), (2,)):
        with pytest.raises(ValueError, match="n >= 2"):
            metrics.instruction_swap_margin(np.zeros(shape))


def test_progress_error_is_the_mean_of_what_is_known() -> None:
    assert metrics.progress_error([0.0, 0.5, NAN], [0.5, 0.25, 1.0]) == pytest.approx(0.375)
    assert math.isnan(metrics.progress_error([NAN], [1.0]))


def test_best_threshold_parts_successes_from_the_rest() -> None:
    assert metrics.best_threshold([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1]) == 0.8
    # at 0.7: 2 of 3 seen, 0 of 2 false; at 0.4: 3 of 3 seen, 1 of 2 false
    assert metrics.best_threshold([0.9, 0.7, 0.5, 0.4, 0.1], [1, 1, 0, 1, 0]) == 0.7
    assert metrics.best_threshold([0.5, 0.5, 0.5, NAN], [1, 0, 1, 0]) == 0.5, "equal rewards cannot be parted"
    assert math.isnan(metrics.best_threshold([0.1, 0.9], [1, 1]))
    assert math.isnan(metrics.best_threshold([], []))
