"""Frames in which nothing happens, and recordings that jump."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from policies.rum.data_filters import FilterSettings, jumps, largest_jump_m, moving_frames
from tutelage_core.errors import ConfigurationError

pytestmark = pytest.mark.unit
DEFAULT = FilterSettings()
STILL = np.array([0.0, 0.0, 0.0, 1.0])


def still(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.zeros((count, 3)), np.tile(STILL, (count, 1)), np.ones(count)


def test_of_a_rest_the_first_and_the_last_frame_stay() -> None:
    assert moving_frames(*still(10), DEFAULT).tolist() == [0, 9]
    assert moving_frames(*still(1), DEFAULT).tolist() == [0]


def test_slow_motion_is_thinned_to_the_distance_that_counts() -> None:
    positions, quaternions, openings = still(11)
    positions[:, 0] = np.arange(11) * 0.001
    assert moving_frames(positions, quaternions, openings, DEFAULT).tolist() == [0, 3, 6, 9, 10]


def test_turn_and_gripper_count_by_themselves() -> None:
    positions, quaternions, openings = still(6)
    quaternions[3:] = Rotation.from_rotvec([0.0, 0.2, 0.0]).as_quat()
    openings[5:] = 0.0
    assert moving_frames(positions, quaternions, openings, DEFAULT).tolist() == [0, 3, 5]


def test_other_sign_of_a_quaternion_is_no_turn() -> None:
    positions, quaternions, openings = still(4)
    quaternions[2] *= -1.0
    assert moving_frames(positions, quaternions, openings, DEFAULT).tolist() == [0, 3]


def test_jump_of_the_tracking_is_found() -> None:
    positions, _, _ = still(5)
    positions[3:, 1] = 0.06
    assert largest_jump_m(positions) == pytest.approx(0.06)
    assert jumps(positions, DEFAULT)
    assert not jumps(positions, FilterSettings(jump_m=0.0)), "0 refuses none"
    assert not jumps(positions[:3], DEFAULT)


def test_what_is_no_recording_is_refused() -> None:
    positions, quaternions, openings = still(3)
    with pytest.raises(ValueError, match="openings"):
        moving_frames(positions, quaternions, openings[1:], DEFAULT)
    with pytest.raises(ValueError, match="finite"):
        moving_frames(positions + np.nan, quaternions, openings, DEFAULT)
    with pytest.raises(ConfigurationError, match="moved_m"):
        FilterSettings(moved_m=float("nan"))
