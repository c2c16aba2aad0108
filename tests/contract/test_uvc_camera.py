"""A UVC camera that is unplugged, too slow or of another size says so; a slow reader gets the newest frame."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_capture import HEIGHT, RATE_HZ, WIDTH, FakeDevice, FakeUvcCamera, write_video

from hardware.camera import Camera
from hardware.cameras import make_camera
from hardware.cameras.uvc import UvcOptions
from tutelage_core.clock import ManualClock
from tutelage_core.contract import CameraContract
from tutelage_core.errors import CameraError, ConfigurationError
from tutelage_core.types import Frame

pytestmark = pytest.mark.contract

CONTRACT = CameraContract(WIDTH, HEIGHT, RATE_HZ, "uvc")
TIMEOUT_S = 5.0
"""Nothing that works takes so long."""


@pytest.fixture
def device(tmp_path: Path) -> FakeDevice:
    return FakeDevice(write_video(tmp_path / "noise.avi", frames=30))


@pytest.fixture
def cameras() -> Iterator[list[Camera]]:
    """Cameras that are stopped at the end of the test."""
    made: list[Camera] = []
    yield made
    for camera in made:
        camera.stop()


def started(
    device: FakeDevice, cameras: list[Camera], options: UvcOptions | None = None, contract: CameraContract = CONTRACT
) -> FakeUvcCamera:
    camera = FakeUvcCamera(contract, options or UvcOptions(warm_up_frames=0), device)
    cameras.append(camera)
    camera.start()
    return camera


def read_until_refused(camera: Camera) -> str:
    """Read what is left, and return how the camera then refuses."""
    for _ in range(100):
        try:
            camera.read(TIMEOUT_S)
        except CameraError as error:
            return str(error)
    pytest.fail("frames go on")


def frame_once_there(camera: Camera) -> Frame:
    """Read until a frame comes: a device that was refused a moment ago may need another try."""
    end_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            return camera.read(TIMEOUT_S)
        except CameraError:
            assert time.monotonic() < end_s
            time.sleep(0.01)


def test_unplugged_device_is_an_error_that_names_it_and_what_to_do(device: FakeDevice, cameras: list[Camera]) -> None:
    camera = started(device, cameras, UvcOptions(device=3, warm_up_frames=0))
    camera.read(TIMEOUT_S)
    device.unplug()
    said = read_until_refused(camera)
    assert "camera front: UVC device 3 gives no frames any more: is it unplugged?" in said
    assert "Plug it in again" in said


def test_device_that_is_plugged_in_again_is_opened_by_the_next_start(device: FakeDevice, cameras: list[Camera]) -> None:
    camera = started(device, cameras)
    camera.read(TIMEOUT_S)
    device.unplug()
    read_until_refused(camera)
    camera.stop()
    with pytest.raises(CameraError, match=r"UVC device 0 cannot be opened; this machine has: .*plugged in"):
        camera.start()
    device.plug_in()
    device.show()
    camera.start()
    assert camera.read(TIMEOUT_S).sequence == 0


def test_grab_that_fails_once_is_no_end(device: FakeDevice, cameras: list[Camera]) -> None:
    camera = started(device, cameras)
    camera.read(TIMEOUT_S)
    device.unplug()
    read_until_refused(camera)
    device.plug_in()
    device.show()
    assert frame_once_there(camera).sequence == 1


def test_slow_reader_gets_the_newest_frame_and_sees_by_its_sequence_what_it_missed(
    device: FakeDevice, cameras: list[Camera]
) -> None:
    camera = started(device, cameras)
    assert camera.read(TIMEOUT_S).sequence == 0
    device.show(5)
    last = -1
    while last < 5:
        frame = camera.read(TIMEOUT_S)
        assert frame.sequence > last
        last = frame.sequence
    with pytest.raises(CameraError, match="no frame within 0 s"):
        camera.read(0.0)


def test_frames_of_the_warm_up_are_dropped(tmp_path: Path, device: FakeDevice, cameras: list[Camera]) -> None:
    plain = started(device, cameras)
    device.show(4)
    pictures = [plain.read(TIMEOUT_S)]
    while pictures[-1].sequence < 4:
        pictures.append(plain.read(TIMEOUT_S))
    other = FakeDevice(tmp_path / "noise.avi")
    warmed = started(other, cameras, UvcOptions(warm_up_frames=4))
    with pytest.raises(CameraError):
        warmed.read(0.05)
    other.show(4)
    frame = warmed.read(TIMEOUT_S)
    assert frame.sequence == 0
    assert np.array_equal(frame.image, pictures[-1].image)


def test_device_is_opened_by_its_path_if_it_has_one(device: FakeDevice, cameras: list[Camera]) -> None:
    started(device, cameras, UvcOptions(device=2, warm_up_frames=0))
    assert device.opened == [2]
    stable = "/dev/v4l/by-id/usb-camera-video-index0"
    started(device, cameras, UvcOptions(path=stable))
    assert device.opened == [2, stable]


@pytest.mark.parametrize(
    ("options", "rate_hz", "said"),
    [
        (UvcOptions(width=1280, height=720), RATE_HZ, "gives 64x48 px, asked for 1280x720 px"),
        (UvcOptions(pixel_format="YUYV"), RATE_HZ, "gives pixel format 'MJPG', asked for 'YUYV'"),
        (UvcOptions(), 60.0, "gives 25 Hz at 64x48 px, asked for 60 Hz"),
    ],
)
def test_device_that_does_not_give_what_is_asked_for_is_refused_with_both(
    device: FakeDevice, cameras: list[Camera], options: UvcOptions, rate_hz: float, said: str
) -> None:
    with pytest.raises(CameraError, match=f"camera front: UVC device 0 {said}"):
        started(device, cameras, options, CameraContract(WIDTH, HEIGHT, rate_hz, "uvc"))
    with pytest.raises(CameraError, match="not started"):
        cameras[0].read(0.0)


def test_device_that_gives_what_is_asked_for_is_taken(device: FakeDevice, cameras: list[Camera]) -> None:
    options = UvcOptions(width=WIDTH, height=HEIGHT, pixel_format="MJPG", warm_up_frames=0)
    camera = started(device, cameras, options, CameraContract(32, 32, 15.0, "uvc"))
    assert camera.read(TIMEOUT_S).image.shape == (32, 32, 3)


@pytest.mark.parametrize(
    "options", [{"width": 640}, {"pixel_format": "MJPEG"}, {"device": -1}, {"warm_up_frames": -1}, {"width": -2}]
)
def test_options_that_no_device_can_have_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        make_camera("front", CameraContract(8, 8, 30.0, "uvc", options), ManualClock())
