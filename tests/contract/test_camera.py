"""What every `Camera` promises. A new driver joins by a factory in `CAMERAS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import fake_capture
import numpy as np
import pytest
import software_realsense
from fake_capture import FakeDevice, FakeUvcCamera, write_video
from software_realsense import SoftwareRealSense, record

from hardware.camera import Camera, Intrinsics
from hardware.cameras import FileCamera, UvcCamera, make_camera
from hardware.cameras.realsense import RealSenseCamera
from hardware.cameras.realsense_options import RealSenseOptions
from hardware.cameras.uvc import UvcOptions
from sim.twin import Twin
from sim.twin_camera import TwinCamera
from tutelage_core.clock import ManualClock, SteadyClock
from tutelage_core.contract import NS_PER_S, CameraContract, load_contract
from tutelage_core.errors import CameraError, UnknownNameError
from tutelage_core.types import Frame

pytestmark = pytest.mark.contract

TIMEOUT_S = 5.0
"""Nothing that works takes so long."""

RECORDING_HZ = 10
"""Slow enough that a busy machine misses none."""

SIZE = (40, 30)
"""Width and height of the pictures of what is not the twin [px]; the devices' own are 64x48."""


@dataclass
class Rig:
    """A camera, how to let one of its periods pass, the size of its pictures [px], and whether it measures depth."""

    camera: Camera
    wait: Callable[[], None]
    width: int
    height: int
    depth: bool = False


def twin_rig(name: str) -> Rig:
    twin = Twin(load_contract("twin"))
    contract = twin.contract.cameras[name]
    return Rig(TwinCamera(twin, name), lambda: twin.advance(None), contract.width, contract.height)


@cache
def folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="tutelage-camera-test-")


@cache
def video() -> Path:
    return write_video(Path(folder().name) / "noise.avi", frames=20)


@cache
def recording() -> Path:
    return record(Path(folder().name) / "noise.db3", frames=10, rate_hz=RECORDING_HZ)


def file_rig() -> Rig:
    clock = ManualClock()
    camera = make_camera("front", CameraContract(*SIZE, 30.0, "file", {"path": str(video())}), clock)
    assert isinstance(camera, FileCamera)
    return Rig(camera, lambda: clock.advance_ns(NS_PER_S // 30 + 1), *SIZE)


def uvc_rig() -> Rig:
    device = FakeDevice(video())
    contract = CameraContract(*SIZE, fake_capture.RATE_HZ, "uvc")
    return Rig(FakeUvcCamera(contract, UvcOptions(warm_up_frames=0), device), device.show, *SIZE)


class FedRealSense(RealSenseCamera):
    """A RealSense whose software device gives its first frames as soon as it is started."""

    def __init__(self, options: RealSenseOptions) -> None:
        self.software = SoftwareRealSense()
        contract = CameraContract(*SIZE, self.software.rate_hz, "realsense")
        super().__init__("front", contract, options, SteadyClock(), lambda: [self.software.device])

    def start(self) -> None:
        begins = self._device is None
        super().start()
        if begins:
            self.software.feed(2)  # the first depth comes alone: librealsense does not know yet that colour will follow


def software_realsense_rig(depth: bool) -> Rig:
    width, height = software_realsense.WIDTH, software_realsense.HEIGHT
    # without depth both frames are whole: the first is dropped, so that one is left to read
    options = RealSenseOptions(width=width, height=height, depth=depth, warm_up_frames=0 if depth else 1)
    camera = FedRealSense(options)
    return Rig(camera, camera.software.feed, *SIZE, depth)


def recorded_realsense_rig(depth: bool) -> Rig:
    contract = CameraContract(
        *SIZE,
        RECORDING_HZ,
        "realsense",
        {
            "file": str(recording()),
            "width": software_realsense.WIDTH,
            "height": software_realsense.HEIGHT,
            "depth": depth,
            "warm_up_frames": 0,
        },
    )
    return Rig(make_camera("front", contract, SteadyClock()), lambda: None, *SIZE, depth)


CAMERAS: dict[str, Callable[[], Rig]] = {
    "twin front": lambda: twin_rig("front"),
    "twin wrist": lambda: twin_rig("wrist"),
    "video file": file_rig,
    "UVC on a fake device": uvc_rig,
    "RealSense software device": lambda: software_realsense_rig(depth=False),
    "RealSense software device with depth": lambda: software_realsense_rig(depth=True),
    "RealSense recording": lambda: recorded_realsense_rig(depth=False),
    "RealSense recording with depth": lambda: recorded_realsense_rig(depth=True),
}


@pytest.fixture(params=sorted(CAMERAS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    rig = CAMERAS[request.param]()
    yield rig
    rig.camera.stop()


def take(rig: Rig, frames: int) -> list[Frame]:
    """Start the camera and read frames, a period between two."""
    rig.camera.start()
    taken = [rig.camera.read(TIMEOUT_S)]
    for _ in range(frames - 1):
        rig.wait()
        taken.append(rig.camera.read(TIMEOUT_S))
    return taken


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
    frames = take(rig, 4)
    assert [frame.sequence for frame in frames] == [0, 1, 2, 3]
    assert all(a.stamp_ns < b.stamp_ns for a, b in pairwise(frames))


def test_a_frame_is_given_once(rig: Rig) -> None:
    rig.camera.start()
    rig.camera.read(TIMEOUT_S)
    with pytest.raises(CameraError):
        rig.camera.read(0.0)


def test_frames_differ_and_have_depth_exactly_where_it_was_asked_for(rig: Rig) -> None:
    frames = take(rig, 3)
    for frame in frames:
        if rig.depth:
            assert frame.depth_m is not None
            assert (frame.depth_m.shape, frame.depth_m.dtype) == ((rig.height, rig.width), np.float32)
            assert 0.5 < np.nanmean(frame.depth_m) < 3.0
        else:
            assert frame.depth_m is None
    if not isinstance(rig.camera, TwinCamera):  # a still scene is drawn the same
        assert not any(np.array_equal(a.image, b.image) for a, b in pairwise(frames))


def test_second_start_changes_nothing_and_a_start_after_stop_counts_anew(rig: Rig) -> None:
    assert [frame.sequence for frame in take(rig, 2)] == [0, 1]
    rig.wait()
    rig.camera.start()
    assert rig.camera.read(TIMEOUT_S).sequence == 2
    rig.camera.stop()
    rig.wait()
    rig.camera.start()
    assert rig.camera.read(TIMEOUT_S).sequence == 0


def test_intrinsics_are_unknown_or_those_of_the_frames(rig: Rig) -> None:
    rig.camera.start()
    rig.camera.read(TIMEOUT_S)
    known = rig.camera.intrinsics()
    if isinstance(rig.camera, FileCamera | UvcCamera):
        assert known is None
        return
    assert isinstance(known, Intrinsics)
    assert known.fx_px > rig.width / 4
    assert known.fy_px > rig.height / 4
    assert abs(known.cx_px - (rig.width - 1) / 2) <= 1.0
    assert abs(known.cy_px - (rig.height - 1) / 2) <= 1.0


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
