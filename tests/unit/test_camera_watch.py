"""A camera that is silent or frozen is found; a still scene and a late picture are no fault."""

from __future__ import annotations

import numpy as np
import pytest

from tutelage_core.camera_watch import CameraWatch, CameraWatchSettings
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit

MS = 1_000_000


def picture(value: int) -> np.ndarray:
    return np.full((128, 128, 3), value, np.uint8)


def watch() -> CameraWatch:
    return CameraWatch("front", CameraWatchSettings(), 0)


def test_camera_that_gives_new_pictures_is_in_order() -> None:
    camera = watch()
    for i in range(100):
        camera.see(picture(i), i * 100 * MS)
        camera.move(np.array([0.01 * i, 0.0, 0.0]))
        assert camera.trouble(i * 100 * MS) == ("", False)


@pytest.mark.parametrize(("late_ms", "said", "ends"), [(290, False, False), (310, True, False), (1010, True, True)])
def test_silence_pauses_and_then_ends(late_ms: int, said: bool, ends: bool) -> None:
    camera = watch()
    camera.see(picture(0), 0)
    trouble, end = camera.trouble(late_ms * MS)
    assert ("no picture" in trouble) is said
    assert end is ends
    camera.see(picture(1), late_ms * MS)
    assert camera.trouble(late_ms * MS) == ("", False)


def test_camera_that_never_says_anything_is_found_too() -> None:
    assert watch().trouble(900 * MS) == ("", False)
    said, ends = watch().trouble(1100 * MS)
    assert "front" in said
    assert ends


def test_same_picture_while_the_arm_moves_is_a_frozen_camera_within_ten_frames() -> None:
    camera = watch()
    found = None
    for i in range(20):
        camera.see(picture(7), i * 100 * MS)
        camera.move(np.array([0.005 * i, 0.0, 0.0]))
        if camera.trouble(i * 100 * MS)[0] and found is None:
            found = i
    assert found == 10
    assert "frozen" in camera.trouble(1900 * MS)[0]
    camera.see(picture(8), 2000 * MS)
    assert camera.trouble(2000 * MS) == ("", False)


def test_same_picture_of_a_still_arm_is_no_fault() -> None:
    camera = watch()
    for i in range(50):
        camera.see(picture(7), i * 100 * MS)
        camera.move(np.array([0.5, 0.0, 0.0]) + 1e-5 * (i % 2))
    assert camera.trouble(5000 * MS)[0] == ""


def test_nonsense_of_a_place_does_not_hide_or_make_a_fault() -> None:
    camera = watch()
    camera.see(picture(7), 0)
    camera.move(np.array([np.nan, 0.0, 0.0]))
    camera.move(np.array([0.0, np.inf, 0.0]))
    assert camera.trouble(0) == ("", False)


def test_new_episode_forgets_the_old_one() -> None:
    camera = watch()
    camera.restart(5000 * MS)
    assert camera.trouble(5200 * MS) == ("", False)


@pytest.mark.parametrize(("pause_s", "end_s"), [(0.0, 1.0), (2.0, 1.0), (0.3, float("inf")), (float("nan"), 1.0)])
def test_times_that_make_no_sense_are_refused(pause_s: float, end_s: float) -> None:
    with pytest.raises(ConfigurationError, match="the first must be above 0 and not above the second"):
        CameraWatchSettings(pause_s, end_s)
