"""A motion's phrase says what the motion does, largest part first, and can be read back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_core.motion_phrases import STOP, WORDS, Part, PhraseSettings, motion_of, parse, parts_of, phrase_of, say

pytestmark = pytest.mark.property

QUICK = settings(max_examples=200, deadline=None)
SCALE = np.array([0.02] * 3 + [0.2] * 3 + [1.0])
MOTIONS = arrays(np.float64, 7, elements=st.floats(-1.0, 1.0)).map(lambda shares: shares * SCALE)
PARTS = st.permutations(range(7)).flatmap(
    lambda axes: st.lists(st.sampled_from([-1, 1]), max_size=7).map(lambda signs: tuple(zip(axes, signs, strict=False)))
)
LEAST = np.array([0.004] * 3 + [0.04] * 3 + [0.15])


@QUICK
@given(PARTS)
def test_every_phrase_reads_back_as_the_parts_it_was_made_of(parts: tuple[Part, ...]) -> None:
    assert parse(say(parts)) == parts


@QUICK
@given(MOTIONS)
def test_the_phrase_of_a_motion_names_its_signed_parts(motion: np.ndarray) -> None:
    parts = parse(phrase_of(motion))
    assert parts == parts_of(motion)
    for axis, sign in parts:
        assert sign * motion[axis] >= LEAST[axis]


@QUICK
@given(MOTIONS)
def test_parts_come_in_order_of_magnitude_and_no_large_one_is_left_out(motion: np.ndarray) -> None:
    magnitudes = np.abs(motion) / LEAST
    named = [axis for axis, _ in parts_of(motion, PhraseSettings(least_share=0.0))]
    assert all(magnitudes[a] >= magnitudes[b] for a, b in itertools.pairwise(named))
    assert set(named) == {axis for axis in range(7) if magnitudes[axis] >= 1.0}


@QUICK
@given(MOTIONS)
def test_the_opposite_motion_has_the_opposite_words(motion: np.ndarray) -> None:
    assert parts_of(-motion) == tuple((axis, -sign) for axis, sign in parts_of(motion))


@QUICK
@given(MOTIONS, st.floats(1.0, 5.0))
def test_a_larger_motion_of_the_same_shape_keeps_its_first_word(motion: np.ndarray, factor: float) -> None:
    second, first = np.sort(np.abs(motion[:6]) / LEAST[:6])[-2:]
    assume(first >= 1.0 and first > 1.001 * second)  # equal parts may change places by rounding
    motion[6] = 0.0
    assert parts_of(factor * motion)[0] == parts_of(motion)[0]


@QUICK
@given(arrays(np.float64, (4, 7), elements=st.floats(-0.01, 0.01)), st.floats(0.0, 1.0))
def test_steps_add_up_to_one_motion_and_the_last_opening_counts(steps: np.ndarray, opening: float) -> None:
    motion = motion_of(steps, opening)
    np.testing.assert_allclose(motion[:6], steps[:, :6].sum(axis=0))
    assert motion[6] == steps[-1, 6] - opening
    np.testing.assert_array_equal(motion_of(steps[0], opening)[:6], steps[0, :6])


def test_no_part_is_named_while_all_are_small() -> None:
    assert phrase_of(0.99 * LEAST) == STOP
    assert parse(STOP) == ()


def test_phrases_read_as_one_would_say_them() -> None:
    assert phrase_of(np.array([0.02, 0.012, 0.0, 0.0, 0.0, 0.0, -1.0])) == (
        "close gripper and move arm forward and left"
    )
    assert phrase_of(np.array([0.0, 0.0, -0.015, 0.0, 0.0, -0.1, 0.0])) == "move arm down and rotate arm clockwise"


def test_a_slight_slant_is_left_out_but_the_gripper_never() -> None:
    motion = np.array([0.05, 0.005, 0.0, 0.0, 0.0, 0.0, 0.2])
    assert phrase_of(motion) == "move arm forward and open gripper"
    assert phrase_of(motion, PhraseSettings(least_share=0.0)) == "move arm forward and open gripper and move arm left"


def test_typed_phrases_may_be_sloppy_in_case_and_blanks() -> None:
    assert parse("  Move arm  UP and close   gripper ") == ((2, 1), (6, -1))


@pytest.mark.parametrize("phrase", ["move arm sideways", "up", "", "move arm up and", "open gripper and up"])
def test_words_that_are_no_motion_are_refused_with_the_legal_ones(phrase: str) -> None:
    with pytest.raises(UnknownNameError, match="move arm forward"):
        parse(phrase)


@pytest.mark.parametrize("phrase", ["move arm left and right", "open gripper and close gripper"])
def test_an_axis_named_twice_is_refused(phrase: str) -> None:
    with pytest.raises(ConfigurationError, match="once"):
        parse(phrase)


@pytest.mark.parametrize("motion", [np.zeros(6), np.full(7, np.nan)])
def test_what_is_no_motion_has_no_phrase(motion: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match="finite"):
        phrase_of(motion)


@pytest.mark.parametrize("field", ["least_m", "least_rad", "least_opening", "least_share"])
def test_thresholds_that_are_none_are_refused(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        PhraseSettings(**{field: -1.0})


def test_each_axis_has_two_words() -> None:
    assert set(WORDS) == {(axis, sign) for axis in range(7) for sign in (-1, 1)}
    assert len(set(WORDS.values())) == 14
