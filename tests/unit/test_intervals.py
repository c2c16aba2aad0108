"""Wilson's interval against published values and against SciPy."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from tutelage_core.intervals import wilson_interval

pytestmark = pytest.mark.unit


# Newcombe 1998, Statistics in Medicine 17:857, table I, method 3 (score without continuity correction)
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_is_the_published_one(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("trials", [1, 2, 10, 100, 1000])
def test_interval_is_scipys(trials: int, level: float) -> None:
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    for successes in {0, 1, trials // 3, trials - 1, trials}:
        expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
        assert wilson_interval(successes, trials, z) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_interval_is_the_95_percent_one_unless_told_otherwise() -> None:
    expected = binomtest(7, 10).proportion_ci(0.95, method="wilson")
    assert wilson_interval(7, 10) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("trials", range(1, 30))
def test_interval_stays_in_zero_to_one_and_holds_the_rate(trials: int) -> None:
    for successes in range(trials + 1):
        low, high = wilson_interval(successes, trials)
        assert 0.0 <= low <= successes / trials + 1e-15
        assert successes / trials - 1e-15 <= high <= 1.0
        assert high - low > 0.05


def test_failures_mirror_successes() -> None:
    low, high = wilson_interval(3, 11)
    assert wilson_interval(8, 11) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (1, 0), (-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused_and_named(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"got {successes} of {trials}"):
        wilson_interval(successes, trials)
