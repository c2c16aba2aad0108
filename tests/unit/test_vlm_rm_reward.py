"""The reward of VLM-RM against published and hand-made numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reward_models.vlm_rm.goal_baseline import GoalBaseline, normalised
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

GOAL, BASELINE = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
HALF = math.sqrt(0.5)
ALPHAS = (0.0, 0.2, 0.4, 0.5, 0.6, 1.0)
GOLDEN = {
    "between": ((HALF, HALF, 0.0), (0.70710678, 0.72254834, 0.73455844, 0.73927670, 0.74313708, 0.75)),
    "unrelated": ((0.0, 0.0, 1.0), (0.0, 0.27, 0.48, 0.5625, 0.63, 0.75)),
    "baseline": ((0.0, 1.0, 0.0), (0.0,) * 6),
    "goal": ((1.0, 0.0, 0.0), (1.0,) * 6),
    "opposite": ((-1.0, 0.0, 0.0), (-1.0, -0.64, -0.36, -0.25, -0.16, 0.0)),
}

vectors = arrays(np.float64, (3,), elements=st.floats(-5.0, 5.0)).filter(lambda v: float(np.linalg.norm(v)) > 1e-2)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_values(name: str) -> None:
    picture, expected = GOLDEN[name]
    found = [GoalBaseline.of(GOAL, BASELINE, alpha).rewards(np.array([picture]))[0] for alpha in ALPHAS]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(vectors, vectors, vectors, st.floats(0.0, 1.0))
def test_both_published_forms_agree(goal: np.ndarray, baseline: np.ndarray, picture: np.ndarray, alpha: float) -> None:
    g, b, s = (normalised(v[None])[0] for v in (goal, baseline, picture))
    if np.linalg.norm(g - b) < 1e-3:
        return
    along = (g - b) / np.linalg.norm(g - b)
    on_line = b + along * (along @ (s - b))  # proj_L(s)
    by_paper = 1.0 - 0.5 * np.linalg.norm(alpha * on_line + (1.0 - alpha) * s - g) ** 2
    assert GoalBaseline.of(goal[None], baseline[None], alpha).rewards(picture[None])[0] == pytest.approx(by_paper)


def test_without_regularisation_it_is_the_cosine_whatever_the_lengths() -> None:
    rng = np.random.default_rng(0)
    goals, pictures = rng.normal(size=(3, 8)), rng.normal(size=(5, 8))
    reward = GoalBaseline.of(goals)
    mean = (goals / np.linalg.norm(goals, axis=1, keepdims=True)).mean(axis=0)
    cosine = pictures @ mean / np.linalg.norm(pictures, axis=1) / np.linalg.norm(mean)
    np.testing.assert_allclose(reward.rewards(pictures), cosine)
    np.testing.assert_allclose(reward.cosine(pictures), cosine)
    np.testing.assert_allclose(reward.rewards(3.0 * pictures), cosine)


def test_means_of_several_sentences_may_be_left_as_they_are() -> None:
    goals = np.array([[1.0, 0.0], [0.0, 1.0]])  # mean (1/2, 1/2), length sqrt(1/2)
    picture = np.array([[1.0, 0.0]])
    as_published = GoalBaseline.of(goals, renormalise=False)
    assert as_published.rewards(picture)[0] == pytest.approx(1.0 - 0.5 * 0.5)
    assert as_published.cosine(picture)[0] == pytest.approx(HALF)
    assert GoalBaseline.of(goals).rewards(picture)[0] == pytest.approx(HALF)


def test_what_cannot_be_compared_with_is_refused() -> None:
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigurationError, match="alpha must be in"):
            GoalBaseline.of(GOAL, BASELINE, alpha)
    with pytest.raises(ConfigurationError, match="needs a baseline"):
        GoalBaseline.of(GOAL, None, 0.5)
    with pytest.raises(ConfigurationError, match="say the same"):
        GoalBaseline.of(GOAL, 2.0 * GOAL, 0.5)
    with pytest.raises(ValueError, match="length 0"):
        GoalBaseline.of(np.array([[1.0, 0.0], [-1.0, 0.0]]))  # they contradict each other
    with pytest.raises(ValueError, match="finite"):
        GoalBaseline.of(GOAL).rewards(np.array([[np.nan, 0.0, 0.0]]))
    with pytest.raises(ValueError, match="shape"):
        GoalBaseline.of(GOAL).rewards(np.zeros(3))
