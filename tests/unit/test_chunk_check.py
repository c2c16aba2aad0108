"""One bad step makes the whole chunk worthless."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.safety.chunk_check import object_to_chunk
from tests.unit.gate_samples import LIMITS

pytestmark = pytest.mark.unit


def test_legal_chunk_is_taken() -> None:
    steps = np.zeros((8, 7))
    steps[:, 0] = LIMITS.max_step_m * LIMITS.refuse_ratio
    assert object_to_chunk(steps, LIMITS) == ""


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((3, 1), np.nan, "step 3 of 8 is not finite"),
        ((7, 6), np.inf, "step 7 of 8 is not finite"),
        ((2, 0), 1.0, "step 2 of 8 is 1 m long, 50 times the limit of 0.02 m"),
        ((5, 4), -3.0, "step 5 of 8 is 3 rad long, 20 times the limit of 0.15 rad"),
        ((5, 2), 1e308, "inf"),
    ],
)
def test_one_bad_step_is_named(place: tuple[int, int], value: float, words: str) -> None:
    steps = np.zeros((8, 7))
    steps[place] = value
    if value == 1e308:
        steps[place[0], 0] = value
    assert words in object_to_chunk(steps, LIMITS)


@pytest.mark.parametrize("shape", [(0, 7), (8, 6), (7,), (2, 8, 7)])
def test_shape_that_is_none_is_named(shape: tuple[int, ...]) -> None:
    assert "is needed" in object_to_chunk(np.zeros(shape), LIMITS)
