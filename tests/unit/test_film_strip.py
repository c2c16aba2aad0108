"""A film strip shows a row a camera and a column an instant."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.episode_samples import executed
from tutelage.film_strip import COLUMNS, LABEL_HEIGHT_PX, FilmStrip
from tutelage_core.types import EpisodeStep, Observation

pytestmark = pytest.mark.unit

HEIGHT, WIDTH = 10, 32


def image(value: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), (value, 0, 255 - value), np.uint8)


def strip(instants: int, columns: int = COLUMNS) -> FilmStrip:
    """Return a strip whose front camera shows the number of the instant and whose wrist camera shows 100 more."""
    result = FilmStrip(columns)
    for index in range(instants):
        result.add_images(str(index), {"front": image(index), "wrist": image(100 + index)})
    return result


def shown(picture: np.ndarray, row: int) -> list[int]:
    """Return the value that each column of the camera in `row` shows."""
    y = LABEL_HEIGHT_PX + row * HEIGHT + HEIGHT // 2
    return [int(v) for v in picture[y, WIDTH // 2 :: WIDTH, 0]]


def test_short_episode_is_shown_whole_and_in_order() -> None:
    picture = strip(3).draw()
    assert picture.shape == (LABEL_HEIGHT_PX + 2 * HEIGHT, 3 * WIDTH, 3)
    assert picture.dtype == np.uint8
    assert shown(picture, 0) == [0, 1, 2]
    assert shown(picture, 1) == [100, 101, 102]


def test_long_episode_is_thinned_evenly_and_keeps_its_first_and_last_instant() -> None:
    assert shown(strip(21, columns=5).draw(), 0) == [0, 5, 10, 15, 20]


def test_single_instant_is_a_strip() -> None:
    assert shown(strip(1).draw(), 0) == [0]


def test_label_is_written_above_the_images_and_nowhere_else() -> None:
    blank, labelled = FilmStrip(), FilmStrip()
    blank.add_images("", {"front": image(9)})
    labelled.add_images("8 g0.5", {"front": image(9)})
    a, b = blank.draw(), labelled.draw()
    assert (a[:LABEL_HEIGHT_PX] == 255).all()
    assert (b[:LABEL_HEIGHT_PX] < 128).any()
    np.testing.assert_array_equal(a[LABEL_HEIGHT_PX:], b[LABEL_HEIGHT_PX:])


def test_control_period_is_labelled_with_its_number_and_its_gripper_command() -> None:
    by_step, by_hand = FilmStrip(), FilmStrip()
    for index in range(2):
        images = {"front": image(index)}
        by_step.add(EpisodeStep(Observation(index, images, {}), executed(index, value=0.3 * index)))
        by_hand.add_images(f"{index} g{0.3 * index:.1f}", images)
    np.testing.assert_array_equal(by_step.draw(), by_hand.draw())


def test_saved_picture_is_the_drawn_one_with_its_colours_in_a_folder_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "strips" / "a" / "one.png"
    strip(2).save(path)
    saved = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(saved, strip(2).draw())


def test_empty_strip_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one control period"):
        FilmStrip().draw()
