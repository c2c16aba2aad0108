"""A UVC device to test against: OpenCV reads a video file where it would read the device."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from hardware.cameras.uvc import UvcCamera, UvcOptions
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import CameraContract

WIDTH, HEIGHT, RATE_HZ = 64, 48, 25


def write_video(path: Path, frames: int, seed: int = 0) -> Path:
    """Write a Motion-JPEG video of noise at `path`."""
    rng = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE_HZ, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for _ in range(frames):
        writer.write(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    writer.release()
    return path


class FakeDevice:
    """Opens captures of one video. A grab waits until the test lets a frame come, as that of a device waits for one."""

    def __init__(self, video: Path) -> None:
        """Stand for a device that sees `video`; one frame is there from the start."""
        self._video = video
        self._frames = threading.Semaphore(1)
        self._open: list[_Capture] = []
        self.plugged = True
        self.opened: list[int | str] = []

    def open(self, device: int | str) -> cv2.VideoCapture:
        """Return a capture of this device."""
        self.opened.append(device)
        if not self.plugged:
            return cv2.VideoCapture()
        self._open.append(_Capture(self, cv2.VideoCapture(str(self._video))))
        return cast("cv2.VideoCapture", self._open[-1])

    def show(self, frames: int = 1) -> None:
        """Let `frames` frames come."""
        self._frames.release(frames)

    def unplug(self) -> None:
        """Every grab fails from now on, and the device cannot be opened."""
        self.plugged = False

    def plug_in(self) -> None:
        """The device can be opened again."""
        self.plugged = True

    def let_go(self) -> None:
        """Grabs that wait now end without a frame: a device that runs would end them with its next one."""
        for capture in self._open:
            capture.over = True

    def take(self) -> bool:
        """Take a frame if there is one."""
        return self._frames.acquire(timeout=0.01)


class _Capture:
    """A capture whose grabs wait for the device. No subclass: OpenCV frees its objects in a way that breaks those."""

    def __init__(self, device: FakeDevice, capture: cv2.VideoCapture) -> None:
        self._device, self._capture = device, capture
        self.over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)

    def grab(self) -> bool:
        while self._device.plugged and not self.over:
            if self._device.take():
                return self._capture.grab()
        return False


class FakeUvcCamera(UvcCamera):
    """The production camera on a fake device."""

    def __init__(self, contract: CameraContract, options: UvcOptions, device: FakeDevice) -> None:
        """Use `device` as camera `front`, stamped by the steady clock."""
        super().__init__("front", contract, options, SteadyClock(), device.open)
        self._device = device

    def stop(self) -> None:
        self._device.let_go()
        super().stop()
