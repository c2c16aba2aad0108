"""Cameras that OpenCV's VideoCapture can open: UVC devices and video files."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import cv2

from tutelage_core.clock import Clock
from tutelage_core.contract import NS_PER_S, CameraContract
from tutelage_core.errors import CameraError
from tutelage_core.types import Frame


class CaptureCamera(ABC):
    """A `Camera` on top of `cv2.VideoCapture`; images are cut to the contract's aspect and resized to its size."""

    def __init__(self, name: str, contract: CameraContract, clock: Clock) -> None:
        """Stamp frames with `clock`."""
        self._name, self._contract, self._clock = name, contract, clock
        self._capture: cv2.VideoCapture | None = None
        self._sequence = 0

    @abstractmethod
    def _open(self) -> cv2.VideoCapture:
        """Open the device."""

    def start(self) -> None:
        """Open the device."""
        if self._capture is not None:
            return
        capture = self._open()
        if not capture.isOpened():
            raise CameraError(f"camera {self._name}: {self._describe()} cannot be opened")
        self._capture = capture
        self._sequence = 0

    def stop(self) -> None:
        """Close the device."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def read(self, timeout_s: float) -> Frame:
        """Return the next frame."""
        if self._capture is None:
            raise CameraError(f"camera {self._name}: not started")
        self._wait_for_frame(timeout_s)
        got, pixels = self._capture.read()
        stamp_ns = self._clock.now_ns()
        if not got:
            got, pixels = self._at_end()
        if not got or pixels is None:
            raise CameraError(f"camera {self._name}: {self._describe()} gave no frame within {timeout_s:g} s")
        image = cv2.cvtColor(self._fit(pixels), cv2.COLOR_BGR2RGB)
        frame = Frame(image, stamp_ns, self._sequence)  # type: ignore[arg-type]
        self._sequence += 1
        return frame

    def _describe(self) -> str:
        return self._contract.driver

    def _wait_for_frame(self, timeout_s: float) -> None:
        """Pace a source that does not pace itself; a live device does."""
        return

    def _at_end(self) -> tuple[bool, cv2.typing.MatLike | None]:
        return False, None

    def _fit(self, pixels: cv2.typing.MatLike) -> cv2.typing.MatLike:
        height, width = pixels.shape[:2]
        want_width, want_height = self._contract.width, self._contract.height
        if (width, height) == (want_width, want_height):
            return pixels
        cut_width = min(width, round(height * want_width / want_height))
        cut_height = min(height, round(width * want_height / want_width))
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        cut = pixels[top : top + cut_height, left : left + cut_width]
        return cv2.resize(cut, (want_width, want_height), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class UvcOptions:
    """Options of a UVC camera: its device number."""

    device: int = 0


class UvcCamera(CaptureCamera):
    """A USB video class camera."""

    Options = UvcOptions

    def __init__(self, name: str, contract: CameraContract, options: UvcOptions, clock: Clock) -> None:
        """Use the device that `options` name."""
        super().__init__(name, contract, clock)
        self._options = options

    def _describe(self) -> str:
        return f"UVC device {self._options.device}"

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._options.device)
        capture.set(cv2.CAP_PROP_FPS, self._contract.rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame is worth more than an old one
        return capture


@dataclass(frozen=True)
class FileOptions:
    """Options of a file camera: the video, and whether it begins again at its end."""

    path: str
    loop: bool = True


class FileCamera(CaptureCamera):
    """Plays a video file at the contract's rate, as if it were live."""

    Options = FileOptions

    def __init__(self, name: str, contract: CameraContract, options: FileOptions, clock: Clock) -> None:
        """Play the file that `options` name."""
        super().__init__(name, contract, clock)
        self._options = options
        self._next_ns: int | None = None

    def _describe(self) -> str:
        return f"video file {self._options.path}"

    def _open(self) -> cv2.VideoCapture:
        if not Path(self._options.path).is_file():
            raise CameraError(f"camera {self._name}: no such video file: {self._options.path}")
        self._next_ns = None
        return cv2.VideoCapture(self._options.path)

    def _wait_for_frame(self, timeout_s: float) -> None:
        now_ns = self._clock.now_ns()
        if self._next_ns is None:
            self._next_ns = now_ns
        wait_s = (self._next_ns - now_ns) / NS_PER_S
        if wait_s > timeout_s:
            time.sleep(timeout_s)
            raise CameraError(f"camera {self._name}: no frame within {timeout_s:g} s at {self._contract.rate_hz:g} Hz")
        if wait_s > 0:
            time.sleep(wait_s)
        self._next_ns = max(self._next_ns, now_ns - round(NS_PER_S / self._contract.rate_hz))
        self._next_ns += round(NS_PER_S / self._contract.rate_hz)

    def _at_end(self) -> tuple[bool, cv2.typing.MatLike | None]:
        if self._capture is None or not self._options.loop:
            return False, None
        self._capture.release()
        self._capture = cv2.VideoCapture(self._options.path)
        return self._capture.read()
