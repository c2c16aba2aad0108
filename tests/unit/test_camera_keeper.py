"""A camera is kept open: one late frame costs one frame, a lost camera is opened again, a recording ends once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from hardware.camera import CameraEndedError, Intrinsics
from hardware.cameras.freshness import FreshnessSettings
from hardware.cameras.keeper import CameraKeeper, KeeperSettings
from tutelage_core.clock import ManualClock
from tutelage_core.contract import NS_PER_S
from tutelage_core.errors import CameraError
from tutelage_core.types import Frame

pytestmark = pytest.mark.unit

PERIOD_NS = NS_PER_S // 25
MS = 1_000_000


@dataclass
class ScriptedCamera:
    """A camera that a test tells what to do; reading takes a period."""

    clock: ManualClock
    present: bool = True
    failing: bool = False
    over: bool = False
    late_ns: int = 0
    still: bool = False
    starts: int = 0
    stops: int = 0
    running: bool = False
    start_times_ns: list[int] = field(default_factory=list)
    _sequence: int = 0
    _content: int = 0

    def start(self) -> None:
        self.starts += 1
        self.start_times_ns.append(self.clock.now_ns())
        if not self.present:
            raise CameraError("camera front: device cannot be opened; plug it in")
        self.running, self._sequence = True, 0

    def read(self, timeout_s: float) -> Frame:
        if not self.running:
            raise CameraError("camera front: not started")
        if self.over:
            raise CameraEndedError("camera front: video has ended")
        if self.failing or not self.present:
            raise CameraError("camera front: no frame; is it unplugged?")
        self.clock.advance_ns(PERIOD_NS)
        self._content += not self.still
        image = np.full((4, 4, 3), self._content % 251, np.uint8)
        frame = Frame(image, self.clock.now_ns() - self.late_ns, self._sequence)
        self._sequence += 1
        return frame

    def intrinsics(self) -> Intrinsics | None:
        return None

    def stop(self) -> None:
        self.stops += 1
        self.running = False


@pytest.fixture
def camera() -> ScriptedCamera:
    return ScriptedCamera(ManualClock(NS_PER_S))


@pytest.fixture
def keeper(camera: ScriptedCamera) -> CameraKeeper:
    def sleep(duration_s: float) -> None:
        camera.clock.advance_ns(round(duration_s * NS_PER_S))

    return CameraKeeper("front", camera, FreshnessSettings(), camera.clock, camera.clock, sleep)


def run(keeper: CameraKeeper, camera: ScriptedCamera, seconds: float, until: Callable[[], bool] = lambda: False) -> int:
    """Step for so long or until something is so, and return how many frames came."""
    end_ns, frames = camera.clock.now_ns() + round(seconds * NS_PER_S), 0
    while camera.clock.now_ns() < end_ns and not until():
        frames += keeper.step() is not None
    return frames


def test_camera_that_works_is_opened_once_and_gives_every_frame(keeper: CameraKeeper, camera: ScriptedCamera) -> None:
    assert keeper.trouble() == "camera front: no frame yet (try 1 in 0.0 s)"
    assert run(keeper, camera, 10.0) == 250
    assert (camera.starts, camera.stops) == (1, 0)
    assert keeper.trouble() == ""
    assert keeper.values()["fresh"] == 250


def test_one_late_frame_is_skipped_and_counted_and_nothing_else_happens(
    keeper: CameraKeeper, camera: ScriptedCamera
) -> None:
    run(keeper, camera, 1.0)
    camera.clock.advance_ns(200 * MS)
    camera.late_ns = 200 * MS
    assert keeper.step() is None
    camera.late_ns = 0
    assert keeper.trouble() == ""
    assert run(keeper, camera, 1.0) == 25
    assert keeper.values()["late"] == 1
    assert (camera.starts, camera.stops) == (1, 0)


def test_short_silence_is_trouble_but_no_reason_to_open_the_camera_again(
    keeper: CameraKeeper, camera: ScriptedCamera
) -> None:
    run(keeper, camera, 1.0)
    camera.failing = True
    run(keeper, camera, 0.2)
    assert keeper.trouble() == ""
    run(keeper, camera, 0.5)
    assert keeper.trouble() == "camera front: no frame; is it unplugged?"
    camera.failing = False
    assert run(keeper, camera, 1.0) >= 24
    assert keeper.trouble() == ""
    assert camera.starts == 1


def test_unplugged_camera_is_closed_after_a_second_and_tried_ever_more_rarely(
    keeper: CameraKeeper, camera: ScriptedCamera
) -> None:
    run(keeper, camera, 1.0)
    camera.present = False
    run(keeper, camera, 60.0)
    assert camera.stops == 1
    first, *retries = camera.start_times_ns
    gaps_s = np.diff(retries) / NS_PER_S
    np.testing.assert_allclose(gaps_s[:5], [1.0, 2.0, 4.0, 8.0, 8.0], atol=0.01)
    assert 2.0 < (retries[0] - first) / NS_PER_S < 3.5
    assert "camera front: device cannot be opened; plug it in (try " in keeper.trouble()
    camera.present = True
    assert run(keeper, camera, 10.0, until=lambda: keeper.trouble() == "") >= 1
    camera.present = False
    run(keeper, camera, 3.0)
    assert (camera.start_times_ns[-1] - camera.start_times_ns[-2]) / NS_PER_S < 3.0, "patience begins anew"


def test_camera_that_is_missing_at_the_start_is_waited_for(keeper: CameraKeeper, camera: ScriptedCamera) -> None:
    camera.present = False
    assert run(keeper, camera, 5.0) == 0
    camera.present = True
    assert run(keeper, camera, 10.0) > 100
    assert keeper.trouble() == ""


def test_frozen_camera_is_named_and_opened_again_and_gives_nothing_while_it_is_frozen(
    keeper: CameraKeeper, camera: ScriptedCamera
) -> None:
    run(keeper, camera, 1.0)
    camera.still = True
    assert run(keeper, camera, 0.8) <= 10
    assert "pictures in a row are the same: it is frozen or covered" in keeper.trouble()
    assert run(keeper, camera, 30.0) == 0
    assert camera.starts > 2
    camera.still = False
    assert run(keeper, camera, 10.0) > 0
    assert keeper.trouble() == ""


def test_camera_whose_frames_are_all_late_is_opened_again_and_says_why(
    keeper: CameraKeeper, camera: ScriptedCamera
) -> None:
    run(keeper, camera, 1.0)
    camera.late_ns = 200 * MS
    run(keeper, camera, 2.0)
    assert "too old or out of order" in keeper.trouble()
    assert camera.stops == 1


def test_recording_that_is_over_is_not_played_again(keeper: CameraKeeper, camera: ScriptedCamera) -> None:
    run(keeper, camera, 1.0)
    camera.over = True
    assert run(keeper, camera, 60.0) == 0
    assert keeper.trouble() == "camera front: video has ended"
    assert (camera.starts, camera.stops) == (1, 1)


def test_slow_camera_is_waited_for_longer() -> None:
    assert KeeperSettings().at_rate(2.0).read_s == 1.0
    assert KeeperSettings().at_rate(30.0).read_s == KeeperSettings().read_s
