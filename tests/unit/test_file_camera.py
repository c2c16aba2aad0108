"""A video file plays as if it were a live camera, and a name that is wrong is refused with the legal ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hardware.camera import Camera, CameraEndedError
from hardware.cameras import FileCamera, camera_driver_names, make_camera
from tutelage_core.clock import ManualClock
from tutelage_core.contract import CameraContract
from tutelage_core.errors import CameraError, ConfigurationError, UnknownNameError
from tutelage_core.types import Frame

pytestmark = pytest.mark.unit

HEIGHT, WIDTH = 48, 64
GREYS = (20, 80, 140, 200)
"""Grey of each frame; JPEG keeps a flat grey to within a few values."""

PERIOD_NS = 1_000_000


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return written(tmp_path / "grey.avi", [np.full((HEIGHT, WIDTH, 3), grey, np.uint8) for grey in GREYS])


def written(path: Path, images: list[np.ndarray]) -> Path:
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def contract(path: Path, width: int = WIDTH, height: int = HEIGHT, **options: object) -> CameraContract:
    return CameraContract(width, height, 1e9 / PERIOD_NS, "file", {"path": str(path), **options})


class Player:
    """A started file camera and its clock, which passes a period before each frame."""

    def __init__(self, camera: Camera, clock: ManualClock) -> None:
        self.camera, self.clock = camera, clock

    def next(self) -> Frame:
        self.clock.advance_ns(PERIOD_NS)
        return self.camera.read(timeout_s=0.0)

    def grey(self) -> int:
        """Return which of GREYS the next frame shows."""
        mean = float(self.next().image.mean())
        nearest = min(GREYS, key=lambda grey: abs(grey - mean))
        assert abs(nearest - mean) < 10
        return nearest


@contextmanager
def playing(what: CameraContract) -> Iterator[Player]:
    clock = ManualClock()
    camera = make_camera("front", what, clock)
    camera.start()
    yield Player(camera, clock)
    camera.stop()


def test_file_camera_is_a_camera(video: Path) -> None:
    camera = make_camera("front", contract(video), ManualClock())
    assert isinstance(camera, FileCamera)
    assert isinstance(camera, Camera)


def test_frames_come_in_order_with_growing_sequence_and_the_clocks_stamps(video: Path) -> None:
    with playing(contract(video)) as player:
        frames = [player.next() for _ in GREYS]
    assert [f.sequence for f in frames] == [0, 1, 2, 3]
    assert [f.stamp_ns for f in frames] == [PERIOD_NS * n for n in (1, 2, 3, 4)]
    assert [f.image.shape for f in frames] == [(HEIGHT, WIDTH, 3)] * 4
    assert all(f.image.dtype == np.uint8 for f in frames)
    np.testing.assert_allclose([f.image.mean() for f in frames], GREYS, atol=4)


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 255
    with playing(contract(written(tmp_path / "red.avi", [red]))) as player:
        mean = player.next().image.mean(axis=(0, 1))
    assert mean[0] > 200
    assert mean[1:].max() < 60


def test_looping_video_begins_again_and_its_sequence_goes_on(video: Path) -> None:
    with playing(contract(video)) as player:
        assert [player.grey() for _ in range(9)] == [*GREYS, *GREYS, GREYS[0]]
        assert player.next().sequence == 9


def test_video_that_does_not_loop_ends_with_an_error_that_names_it(video: Path) -> None:
    with playing(contract(video, loop=False)) as player:
        for _ in GREYS:
            player.next()
        for _ in range(2):
            with pytest.raises(CameraEndedError, match=r"camera front: video file .*grey\.avi has ended"):
                player.next()


def test_frame_is_not_given_before_its_time(video: Path) -> None:
    with playing(contract(video)) as player:
        player.next()
        with pytest.raises(CameraError, match="no frame within 0 s at 1000 Hz"):
            player.camera.read(timeout_s=0.0)
        assert player.grey() == GREYS[1], "the frame that was not due is not lost"


def test_slow_reader_is_not_flooded_with_the_frames_that_it_missed(video: Path) -> None:
    with playing(contract(video)) as player:
        player.next()
        player.clock.advance_ns(50 * PERIOD_NS)
        due = 0
        for _ in range(10):
            try:
                player.camera.read(timeout_s=0.0)
            except CameraError:
                break
            due += 1
    assert due <= 2


@pytest.mark.parametrize(("width", "height"), [(32, 24), (128, 96), (48, 48), (64, 32), (24, 48)])
def test_video_of_another_size_is_brought_to_the_contracts(video: Path, width: int, height: int) -> None:
    with playing(contract(video, width, height)) as player:
        assert player.next().image.shape == (height, width, 3)


@pytest.mark.parametrize(("width", "height"), [(HEIGHT, HEIGHT), (WIDTH, WIDTH // 4)])
def test_other_aspect_is_cut_from_the_middle_and_not_squeezed(tmp_path: Path, width: int, height: int) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.circle(image, (WIDTH // 2, HEIGHT // 2), 5, (255, 255, 255), -1)
    with playing(contract(written(tmp_path / "dot.avi", [image]), width, height)) as player:
        ys, xs = np.nonzero(player.next().image[..., 0] > 127)
    assert abs(np.ptp(xs) - np.ptp(ys)) <= 1, "a dot stays round"
    assert abs(xs.mean() - (width - 1) / 2) < 1.5
    assert abs(ys.mean() - (height - 1) / 2) < 1.5


def test_missing_file_is_refused_at_start_by_its_path(tmp_path: Path) -> None:
    camera = make_camera("front", contract(tmp_path / "absent.avi"), ManualClock())
    with pytest.raises(CameraError, match=r"camera front: no such video file: .*absent\.avi"):
        camera.start()
    with pytest.raises(CameraError, match="not started"):
        camera.read(timeout_s=0.0)


def test_file_that_is_no_video_is_refused_at_start(tmp_path: Path) -> None:
    path = tmp_path / "notes.avi"
    path.write_text("not a video")
    with pytest.raises(CameraError, match=r"video file .*notes\.avi cannot be opened"):
        make_camera("front", contract(path), ManualClock()).start()


def test_reading_before_start_and_after_stop_is_refused_and_stop_may_be_called_twice(video: Path) -> None:
    camera = make_camera("front", contract(video), ManualClock())
    with pytest.raises(CameraError, match="not started"):
        camera.read(timeout_s=0.0)
    camera.start()
    camera.read(timeout_s=0.0)
    camera.stop()
    camera.stop()
    with pytest.raises(CameraError, match="not started"):
        camera.read(timeout_s=0.0)


def test_second_start_is_harmless_and_a_start_after_stop_begins_at_the_first_frame(video: Path) -> None:
    with playing(contract(video)) as player:
        player.next()
        player.camera.start()
        assert player.grey() == GREYS[1]
        player.camera.stop()
        player.camera.start()
        frame = player.next()
    assert frame.sequence == 0
    assert frame.image.mean() == pytest.approx(GREYS[0], abs=4)


def test_unknown_driver_is_named_with_the_legal_ones(video: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown camera driver 'fiel' .*legal: file, realsense, uvc"):
        make_camera("front", replace(contract(video), driver="fiel"), ManualClock())
    assert camera_driver_names() == ("file", "realsense", "uvc")


def test_unknown_option_is_named_with_the_legal_ones(video: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown key 'lop' in camera front: options; legal: .*loop, path"):
        make_camera("front", contract(video, lop=True), ManualClock())


def test_missing_path_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="camera front: options: key 'path' is missing"):
        make_camera("front", CameraContract(8, 8, 10.0, "file"), ManualClock())


def test_uvc_device_that_is_not_there_is_refused_by_its_number(capfd: pytest.CaptureFixture[str]) -> None:
    camera = make_camera("front", CameraContract(8, 8, 10.0, "uvc", {"device": 97}), ManualClock())
    with pytest.raises(CameraError, match="camera front: UVC device 97 cannot be opened"):
        camera.start()
    capfd.readouterr()
