"""What the RealSense driver makes of colour, depth, time and numbers; and what it says when it cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from software_realsense import FOCAL_PX, HEIGHT, SERIAL, WIDTH, SoftwareRealSense, record

from hardware.camera import CameraEndedError
from hardware.cameras import make_camera
from hardware.cameras.realsense import RealSenseCamera
from hardware.cameras.realsense_options import RealSenseOptions
from tutelage_core.clock import Clock, ManualClock, SteadyClock
from tutelage_core.contract import NS_PER_S, CameraContract
from tutelage_core.errors import CameraError, ConfigurationError

pytestmark = pytest.mark.contract

TIMEOUT_S = 5.0
"""Nothing that works takes so long."""


def camera_of(
    *devices: SoftwareRealSense,
    clock: Clock | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate_hz: float = 30.0,
    **options: object,
) -> RealSenseCamera:
    """Return a camera that may choose among `devices`."""
    asked = RealSenseOptions(**{"width": WIDTH, "height": HEIGHT, "warm_up_frames": 0, **options})  # type: ignore[arg-type]
    contract = CameraContract(*size, rate_hz, "realsense")
    return RealSenseCamera("front", contract, asked, clock or SteadyClock(), lambda: [d.device for d in devices])


@pytest.fixture
def software() -> SoftwareRealSense:
    return SoftwareRealSense()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("realsense") / "noise.db3", frames=5, rate_hz=10)


def recorded(path: Path, **options: object) -> CameraContract:
    given = {"file": str(path), "width": WIDTH, "height": HEIGHT, "warm_up_frames": 0, **options}
    return CameraContract(WIDTH, HEIGHT, 10.0, "realsense", given)


def test_colour_comes_out_bit_for_bit(software: SoftwareRealSense) -> None:
    camera = camera_of(software)
    camera.start()
    software.feed()
    assert np.array_equal(camera.read(TIMEOUT_S).image, software.picture(0))
    camera.stop()


def test_depth_is_in_metres_where_the_colour_is_and_nan_where_nothing_was_measured(software: SoftwareRealSense) -> None:
    camera = camera_of(software, depth=True)
    camera.start()
    software.feed(2)
    frame = camera.read(TIMEOUT_S)
    number = next(n for n in range(2) if np.array_equal(frame.image, software.picture(n)))
    assert frame.depth_m is not None
    assert np.isnan(frame.depth_m[:, : WIDTH // 2 - 1]).all()
    np.testing.assert_allclose(frame.depth_m[:, WIDTH // 2 + 1 : -1], software.depth_m(number)[0, -1], rtol=1e-6)
    camera.stop()


def test_colour_without_its_depth_is_skipped_and_its_number_left_out(software: SoftwareRealSense) -> None:
    camera = camera_of(software, depth=True)
    camera.start()
    software.feed(2)
    first = camera.read(TIMEOUT_S)
    software.feed(1, depth=False)
    software.feed(2)
    later = camera.read(TIMEOUT_S)
    assert later.depth_m is not None
    assert later.sequence - first.sequence >= 2
    camera.stop()


def test_frames_that_the_device_lost_are_a_gap_in_the_sequence(software: SoftwareRealSense) -> None:
    camera = camera_of(software)
    camera.start()
    seen = []
    for lost in (0, 0, 3, 0):
        software.feed(lost=lost)
        seen.append(camera.read(TIMEOUT_S).sequence)
    assert seen == [0, 1, 5, 6]
    camera.stop()


def test_stamps_keep_the_devices_pace_however_unevenly_frames_arrive(software: SoftwareRealSense) -> None:
    clock = ManualClock()
    camera = camera_of(software, clock=clock)
    camera.start()
    delays_ns = (4_000_000, 9_000_000, 4_500_000, 20_000_000, 5_000_000)
    begun_ns, stamps_ns = 7 * NS_PER_S, []
    for number, delay_ns in enumerate(delays_ns):
        taken_ns = begun_ns + round(number * NS_PER_S / software.rate_hz)
        clock.set_ns(taken_ns + delay_ns)
        software.feed()
        stamps_ns.append(camera.read(TIMEOUT_S).stamp_ns - taken_ns)
    # the smallest delay is all that is left of them
    np.testing.assert_allclose(stamps_ns, delays_ns[0], atol=2)
    camera.stop()


def test_warm_up_frames_are_dropped(software: SoftwareRealSense) -> None:
    camera = camera_of(software, warm_up_frames=1)
    camera.start()
    software.feed(2)
    frame = camera.read(TIMEOUT_S)
    assert frame.sequence == 0
    assert np.array_equal(frame.image, software.picture(1))
    camera.stop()


def test_intrinsics_are_those_of_the_part_that_is_kept(software: SoftwareRealSense) -> None:
    camera = camera_of(software, size=(24, 24))
    assert camera.intrinsics() is None
    camera.start()
    known = camera.intrinsics()
    assert known is not None
    assert (known.fx_px, known.fy_px) == (FOCAL_PX / 2, FOCAL_PX / 2)
    # 64x48 is cut to 48x48 from column 8 on; the device's principal point is (32, 24)
    assert (known.cx_px, known.cy_px) == ((32 - 8 + 0.5) / 2 - 0.5, (24 + 0.5) / 2 - 0.5)
    assert known.distortion_model == "plumb_bob"
    camera.stop()


def test_options_of_the_sensor_are_set(software: SoftwareRealSense) -> None:
    import pyrealsense2

    camera = camera_of(software, colour_options={"exposure": 120.0})
    camera.start()
    assert software.colour.get_option(pyrealsense2.option.exposure) == 120.0
    camera.stop()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda d: camera_of(), "exactly one RealSense must be attached; this machine has: none"),
        (lambda d: camera_of(d, serial="7"), f"no device with serial 7; this machine has: {SERIAL}. Is it plugged in"),
        (lambda d: camera_of(d, width=1280, height=720), "no color pictures of 1280x720 px at 30 Hz; it gives: 64x48"),
        (lambda d: camera_of(d, rate_hz=60.0), "no color pictures of 64x48 px at 60 Hz; it gives: 64x48 at 30 Hz"),
        (lambda d: camera_of(d, colour_options={"exposur": 1.0}), "unknown RealSense option 'exposur'; legal: expos"),
        (lambda d: camera_of(d, colour_options={"exposure": 0.0}), r"exposure must be in \[1, 10000\], got 0"),
    ],
)
def test_what_cannot_be_is_refused_at_start_by_name(
    software: SoftwareRealSense, make: Callable[[SoftwareRealSense], RealSenseCamera], said: str
) -> None:
    camera = make(software)
    with pytest.raises(CameraError, match=f"camera front: RealSense.*{said}"):
        camera.start()
    with pytest.raises(CameraError, match="not started"):
        camera.read(0.0)


def test_device_is_found_by_its_serial(software: SoftwareRealSense) -> None:
    camera = camera_of(software, serial=SERIAL)
    camera.start()
    software.feed()
    assert camera.read(TIMEOUT_S).sequence == 0
    camera.stop()


def test_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    camera = make_camera("front", CameraContract(WIDTH, HEIGHT, 30.0, "realsense"), SteadyClock())
    with pytest.raises(CameraError, match=r"pip install --no-deps pyrealsense2==.*apt-get install libusb-1\.0-0"):
        camera.start()


def test_recording_plays_what_was_recorded_and_then_ends_by_name(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = make_camera("front", recorded(recording, loop=False), SteadyClock())
    camera.start()
    source = SoftwareRealSense()
    for number in range(4):
        frame = camera.read(TIMEOUT_S)
        assert frame.sequence == number
        assert np.array_equal(frame.image, source.picture(number))
    # librealsense plays in real time, and at the end may throw away the last frame before it was fetched
    with suppress(CameraEndedError):
        assert camera.read(TIMEOUT_S).sequence == 4
    for _ in range(2):
        with pytest.raises(CameraEndedError, match=r"RealSense recording .*noise\.db3 has ended"):
            camera.read(TIMEOUT_S)
    # a frame that was still on its way may come out now: the end stays the end
    monkeypatch.setattr(camera, "_read", lambda _: pytest.fail("it was asked for another frame"))
    with pytest.raises(CameraEndedError):
        camera.read(TIMEOUT_S)
    camera.stop()


def test_recording_that_loops_goes_on_with_new_numbers_and_stamps(recording: Path) -> None:
    camera = make_camera("front", recorded(recording), SteadyClock())
    camera.start()
    frames = [camera.read(TIMEOUT_S) for _ in range(12)]
    assert [frame.sequence for frame in frames] == list(range(12))
    assert all(a.stamp_ns < b.stamp_ns for a, b in pairwise(frames))
    firsts = [n for n, frame in enumerate(frames) if np.array_equal(frame.image, frames[0].image)]
    assert len(firsts) == 3
    assert all(later - earlier in (4, 5) for earlier, later in pairwise(firsts))
    camera.stop()


def test_recording_that_is_not_there_is_refused_by_its_path(tmp_path: Path) -> None:
    camera = make_camera("front", recorded(tmp_path / "absent.db3"), SteadyClock())
    with pytest.raises(CameraError, match=r"RealSense recording .*absent\.db3: no such file"):
        camera.start()


def test_file_that_is_no_recording_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "notes.db3"
    path.write_text("not a recording", encoding="utf-8")
    with pytest.raises(CameraError, match=r"camera front: RealSense recording .*notes\.db3: "):
        make_camera("front", recorded(path), SteadyClock()).start()


@pytest.mark.parametrize(
    "options",
    [
        {"serial": "1", "file": "a.db3"},
        {"depth_options": {"laser_power": 1.0}},
        {"file": "a.db3", "colour_options": {"exposure": 1.0}},
        {"width": 0},
        {"warm_up_frames": -1},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        make_camera("front", CameraContract(8, 8, 30.0, "realsense", options), SteadyClock())
