"""Labelled frames of the twin: what the labels say is what the pictures show."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sim.rooms import Room
from sim.trunk_data import AT_REST, MomentSettings, frames_of_room, place_tcp
from sim.twin import Twin
from tutelage.runs.labelled_frames import FramesConfig, labelled_frames
from tutelage_core.contract import load_contract
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import Pose

pytestmark = pytest.mark.sim


@pytest.fixture(scope="module")
def twin() -> Twin:
    return Twin(load_contract("twin"))


def test_visible_cube_is_red_where_its_label_says(twin: Twin) -> None:
    frames = frames_of_room(twin, Room("lab", 3), 3, 24, MomentSettings())
    cube = frames.names.index("cube")
    height, width = frames.images.shape[2:4]
    redder: list[bool] = []
    for moment, camera in zip(*np.nonzero(frames.visible[:, :, cube]), strict=True):
        right, down = ((frames.pixels[moment, camera, cube] + 1.0) / 2.0 * (width, height)).astype(int)
        red, green, blue = frames.images[moment, camera, down, right].astype(int)
        redder.append(red > 1.5 * max(green, blue))
    assert len(redder) > 10
    # a finger between the camera and the middle of a held cube is too near to count as hiding it
    assert np.mean(redder) > 0.7


def test_front_camera_gives_places_in_the_base_frame_and_the_wrist_camera_in_the_hands(twin: Twin) -> None:
    frames = frames_of_room(twin, Room("lab", 4), 4, 3, AT_REST)
    front, wrist = frames.cameras.index("front"), frames.cameras.index("wrist")
    tcp, cube = frames.names.index("tcp"), frames.names.index("cube")
    truth = twin.points()
    assert np.allclose(frames.points[-1, front, tcp], truth["tcp"], atol=1e-5)
    assert np.allclose(frames.points[-1, front, cube], truth["cube"], atol=1e-5)
    assert np.ptp(frames.points[:, wrist, tcp], axis=0).max() < 1e-5
    assert np.ptp(frames.points[:, front, tcp], axis=0).max() > 0.02


def test_same_room_and_seed_give_the_same_frames(twin: Twin) -> None:
    one = frames_of_room(twin, Room("train", 5), 5, 2, MomentSettings())
    frames_of_room(twin, Room("train", 6), 6, 1, MomentSettings())
    again = frames_of_room(twin, Room("train", 5), 5, 2, MomentSettings())
    assert np.array_equal(one.images, again.images)
    assert np.array_equal(one.points, again.points)


def test_tcp_goes_where_it_is_put(twin: Twin) -> None:
    twin.reset(0)
    goal = Pose(np.array([0.45, 0.1, 0.2]), np.array([1.0, 0.0, 0.0, 0.0]))
    place_tcp(twin, goal, 0.5)
    assert np.allclose(twin.points()["tcp"], goal.position, atol=1e-3)


def test_drawn_shards_are_not_drawn_again_and_other_settings_are_refused(tmp_path: Path) -> None:
    config = FramesConfig(split="lab", rooms=2, moments_per_room=2)
    first = labelled_frames(config, tmp_path, processes=1)
    (shard,) = tmp_path.glob("PickCube/*.npz")
    assert zipfile.is_zipfile(shard)
    before = shard.stat().st_mtime_ns
    again = labelled_frames(config, tmp_path, processes=1)
    assert shard.stat().st_mtime_ns == before
    assert np.array_equal(first.images, again.images)
    assert first.rooms.tolist() == [0, 0, 1, 1]
    with pytest.raises(ConfigurationError, match="other settings"):
        labelled_frames(replace(config, moments_per_room=3), tmp_path, processes=1)
