"""What every `Camera` promises. A new driver joins by a factory in `CAMERAS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from hardware.camera import Camera
from sim.twin import Twin
from sim.twin_camera import TwinCamera
from tutelage_core.contract import load_contract
from tutelage_core.errors import CameraError, UnknownNameError

TIMEOUT_S = 1.0


@dataclass
class Rig:
    """A camera, how to let one of its periods pass, and the size of its pictures [px]."""

    camera: Camera
    wait: Callable[[], None]
    width: int
    height: int


def twin_rig(name: str) -> Rig:
    twin = Twin(load_contract("twin"))
    contract = twin.contract.cameras[name]
    return Rig(TwinCamera(twin, name), lambda: twin.advance(None), contract.width, contract.height)


CAMERAS = {"twin front": lambda: twin_rig("front"), "twin wrist": lambda: twin_rig("wrist")}


@pytest.fixture(params=sorted(CAMERAS))
def rig(request: pytest.FixtureRequest) -> Rig:
    return CAMERAS[request.param]()


def test_it_is_a_camera(rig: Rig) -> None:
    assert isinstance(rig.camera, Camera)


def test_reading_before_start_and_after_stop_is_refused(rig: Rig) -> None:
    with pytest.raises(CameraError, match="start"):
        rig.camera.read(TIMEOUT_S)
    rig.camera.start()
    rig.camera.read(TIMEOUT_S)
    rig.camera.stop()
    rig.camera.stop()
    with pytest.raises(CameraError, match="start"):
        rig.camera.read(TIMEOUT_S)


def test_frames_have_the_contracts_size_and_show_something(rig: Rig) -> None:
    rig.camera.start()
    image = rig.camera.read(TIMEOUT_S).image
    assert image.shape == (rig.height, rig.width, 3)
    assert image.dtype == np.uint8
    assert image.std() > 5.0


def test_stamps_and_sequences_grow(rig: Rig) -> None:
    rig.camera.start()
    frames = []
    for _ in range(4):
        frames.append(rig.camera.read(TIMEOUT_S))
        rig.wait()
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert all(a.stamp_ns < b.stamp_ns for a, b in pairwise(frames))


def test_a_frame_is_given_once(rig: Rig) -> None:
    rig.camera.start()
    rig.camera.read(TIMEOUT_S)
    with pytest.raises(CameraError):
        rig.camera.read(0.0)


def test_frames_that_were_read_do_not_change_later(rig: Rig) -> None:
    rig.camera.start()
    image = rig.camera.read(TIMEOUT_S).image
    kept = image.copy()
    rig.wait()
    rig.camera.read(TIMEOUT_S)
    assert np.array_equal(image, kept)


def test_unknown_cameras_are_refused_with_the_legal_ones() -> None:
    with pytest.raises(UnknownNameError, match="wrist"):
        TwinCamera(Twin(load_contract("twin")), "wirst")


def test_a_twin_that_was_reset_gives_a_new_frame_at_time_zero() -> None:
    twin = Twin(load_contract("twin"))
    camera = TwinCamera(twin, "front")
    camera.start()
    camera.read(TIMEOUT_S)
    twin.reset(1)
    frame = camera.read(TIMEOUT_S)
    assert (frame.stamp_ns, frame.sequence) == (0, 1)
