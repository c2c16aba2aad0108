"""A video file that plays as if it were a live camera."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hardware.camera import CameraEndedError, Intrinsics
from hardware.cameras.crop import Crop
from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S, CameraContract
from tutelage_core.errors import CameraError
from tutelage_core.types import Frame


@dataclass(frozen=True)
class FileOptions:
    """Options of a file camera.

    Attributes:
        path: the video.
        loop: whether it begins again at its end.
        frozen_frames: so many pictures of the same content in a row are a fault; 0 for none: a video may hold a still.
    """

    path: str
    loop: bool = True
    frozen_frames: int = 0


class FileCamera:
    """Plays a video file at the contract's rate, whatever rate it was recorded at."""

    Options = FileOptions

    def __init__(self, name: str, contract: CameraContract, options: FileOptions, clock: Clock) -> None:
        """Play the file that `options` name, as camera `name`, paced and stamped by `clock`."""
        self._name, self._contract, self._options, self._clock = name, contract, options, clock
        self._period_ns = round(NS_PER_S / contract.rate_hz)
        self._capture: cv2.VideoCapture | None = None
        self._sequence = 0
        self._next_ns: int | None = None

    def start(self) -> None:
        """Open the file."""
        if self._capture is None:
            self._capture = self._open()
            self._sequence, self._next_ns = 0, None

    def stop(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def intrinsics(self) -> Intrinsics | None:
        """Return None: a video does not say how it was filmed."""
        return None

    def read(self, timeout_s: float) -> Frame:
        """Return the next picture when its time has come."""
        if self._capture is None:
            raise CameraError(f"camera {self._name}: not started")
        self._wait_for_turn(timeout_s)
        got, pixels = self._capture.read()
        if not got:
            if not self._options.loop:
                raise CameraEndedError(
                    f"camera {self._name}: video file {self._options.path} has ended; "
                    "set its option loop, or start the camera again"
                )
            self._capture.release()
            self._capture = self._open()
            got, pixels = self._capture.read()
            if not got:
                raise CameraError(f"camera {self._name}: video file {self._options.path} holds no picture")
        pixels = np.asarray(pixels, dtype=np.uint8)
        crop = Crop.middle(pixels.shape[1], pixels.shape[0], self._contract.width, self._contract.height)
        image = np.asarray(cv2.cvtColor(crop.image(pixels), cv2.COLOR_BGR2RGB), dtype=np.uint8)
        frame = Frame(image, self._clock.now_ns(), self._sequence)
        self._sequence += 1
        return frame

    def _open(self) -> cv2.VideoCapture:
        if not Path(self._options.path).is_file():
            raise CameraError(f"camera {self._name}: no such video file: {self._options.path}")
        capture = cv2.VideoCapture(self._options.path)
        if not capture.isOpened():
            raise CameraError(f"camera {self._name}: video file {self._options.path} cannot be opened: is it a video?")
        return capture

    def _wait_for_turn(self, timeout_s: float) -> None:
        now_ns = self._clock.now_ns()
        if self._next_ns is None:
            self._next_ns = now_ns
        wait_s = (self._next_ns - now_ns) / NS_PER_S
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            raise CameraError(f"camera {self._name}: no frame within {timeout_s:g} s at {self._contract.rate_hz:g} Hz")
        if wait_s > 0:
            time.sleep(wait_s)
        # a reader that was away gets one frame that is overdue, not all that it missed
        self._next_ns = max(self._next_ns, now_ns - self._period_ns) + self._period_ns
