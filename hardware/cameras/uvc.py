"""USB video class cameras, through OpenCV."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hardware.camera import Intrinsics
from hardware.cameras.crop import Crop
from tutelage_core.clock import Clock
from tutelage_core.contract import CameraContract
from tutelage_core.errors import CameraError, ConfigurationError
from tutelage_core.types import Frame

STOP_S = 2.0
"""A driver that hangs may keep `stop` for so long [s]; its thread then ends by itself once the driver answers."""

RATE_SLACK = 0.99
"""A device that promises this part of the contract's rate is fast enough: 29.97 Hz are 30 Hz."""


@dataclass(frozen=True)
class UvcOptions:
    """Options of a UVC camera.

    Attributes:
        device: its number; numbers may change when something is plugged in or out.
        path: a stable name, such as one of /dev/v4l/by-id; empty to use the number.
        width, height: size that the device is asked for [px]; 0 for its own. Pictures are cut and resized from it.
        pixel_format: four letters, such as MJPG or YUYV; empty for the device's own. Two cameras at one USB controller
            often have room for MJPG only.
        warm_up_frames: pictures that are dropped after a start, until exposure has settled.
        frozen_frames: so many pictures of the same content in a row are a frozen camera; 0 for none.
    """

    device: int = 0
    path: str = ""
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    warm_up_frames: int = 5
    frozen_frames: int = 10

    def __post_init__(self) -> None:
        """Refuse what no device can be asked for."""
        if self.device < 0 or self.warm_up_frames < 0:
            raise ConfigurationError(
                f"device and warm_up_frames must be at least 0, got {self.device} and {self.warm_up_frames}"
            )
        if min(self.width, self.height) < 0 or (self.width == 0) != (self.height == 0):
            raise ConfigurationError(f"width and height go together, or both are 0, got {self.width}x{self.height}")
        if len(self.pixel_format) not in (0, 4):
            raise ConfigurationError(f"pixel_format must be four letters such as MJPG, got '{self.pixel_format}'")


def open_device(device: int | str) -> cv2.VideoCapture:
    """Open a device by its number or path."""
    return cv2.VideoCapture(device)


class UvcCamera:
    """Grabs in a thread of its own: frames are stamped as they come, and the newest one waits for its reader."""

    Options = UvcOptions

    def __init__(
        self,
        name: str,
        contract: CameraContract,
        options: UvcOptions,
        clock: Clock,
        open_capture: Callable[[int | str], cv2.VideoCapture] = open_device,
    ) -> None:
        """Use the device that `options` name.

        Args:
            name: of the camera.
            contract: size and rate that are wanted.
            options: of the device.
            clock: stamps the frames.
            open_capture: opens a device by its number or path.
        """
        self._name, self._contract, self._options, self._clock = name, contract, options, clock
        self._open_capture = open_capture
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._newest: Frame | None = None
        self._trouble = ""

    def start(self) -> None:
        """Open the device and begin to grab."""
        if self._thread is not None:
            return
        capture = self._open_capture(self._options.path or self._options.device)
        try:
            self._negotiate(capture)
        except CameraError:
            capture.release()
            raise
        self._over, self._newest, self._trouble = threading.Event(), None, ""
        self._thread = threading.Thread(
            target=self._grab, args=(capture, self._over), name=f"camera {self._name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End grabbing and close the device."""
        if self._thread is not None:
            self._over.set()
            self._thread.join(STOP_S)
            self._thread = None

    def intrinsics(self) -> Intrinsics | None:
        """Return None: a UVC device does not know its lens."""
        return None

    def read(self, timeout_s: float) -> Frame:
        """Return the newest frame, once."""
        if self._thread is None:
            raise CameraError(f"camera {self._name}: not started")
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._trouble, timeout_s)
            frame, self._newest = self._newest, None
            if frame is not None:
                return frame
            raise CameraError(
                self._trouble or f"camera {self._name}: {self._describe()} gave no frame within {timeout_s:g} s"
            )

    def _describe(self) -> str:
        return f"UVC device {self._options.path or self._options.device}"

    def _negotiate(self, capture: cv2.VideoCapture) -> None:
        """Ask the device for what options and contract say, and refuse it if it does not give that."""
        asked = self._options
        if not capture.isOpened():
            devices = ", ".join(sorted(map(str, Path("/dev").glob("video*")))) or "none"
            raise CameraError(
                f"camera {self._name}: {self._describe()} cannot be opened; this machine has: {devices}. "
                "Is it plugged in, is another program using it, are you in the group `video`?"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest frame is worth more than an old one
        if asked.pixel_format:  # first: sizes and rates depend on it
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*asked.pixel_format))
        if asked.width:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, asked.width)
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, asked.height)
        capture.set(cv2.CAP_PROP_FPS, self._contract.rate_hz)
        size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if asked.width and size != (asked.width, asked.height):
            self._refuse(f"{size[0]}x{size[1]} px", f"{asked.width}x{asked.height} px")
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        given = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
        if asked.pixel_format and given != asked.pixel_format:
            self._refuse(f"pixel format {given!r}", f"{asked.pixel_format!r}")
        rate_hz = capture.get(cv2.CAP_PROP_FPS)
        if 0.0 < rate_hz < RATE_SLACK * self._contract.rate_hz:  # 0: the driver does not know
            self._refuse(f"{rate_hz:g} Hz at {size[0]}x{size[1]} px", f"{self._contract.rate_hz:g} Hz")

    def _refuse(self, gives: str, asked: str) -> None:
        raise CameraError(
            f"camera {self._name}: {self._describe()} gives {gives}, asked for {asked}; "
            "`v4l2-ctl --list-formats-ext` lists what it can do"
        )

    def _grab(self, capture: cv2.VideoCapture, over: threading.Event) -> None:
        """Take frames until `over`; this thread owns the capture, for it may hang in it."""
        sequence = -self._options.warm_up_frames
        while not over.is_set():
            got = capture.grab()
            stamp_ns = self._clock.now_ns()
            if got:
                got, pixels = capture.retrieve()
                if got and sequence >= 0:
                    self._give(Frame(self._convert(np.asarray(pixels, dtype=np.uint8)), stamp_ns, sequence))
            if got:
                sequence += 1
                continue
            with self._changed:
                self._trouble = (
                    f"camera {self._name}: {self._describe()} gives no frames any more: is it unplugged? "
                    "Plug it in again, at a port of its own"
                )
                self._changed.notify_all()
            over.wait(1.0 / self._contract.rate_hz)
        capture.release()

    def _give(self, frame: Frame) -> None:
        with self._changed:
            self._newest, self._trouble = frame, ""
            self._changed.notify_all()

    def _convert(self, pixels: np.ndarray) -> np.ndarray:
        crop = Crop.middle(pixels.shape[1], pixels.shape[0], self._contract.width, self._contract.height)
        return np.asarray(cv2.cvtColor(crop.image(pixels), cv2.COLOR_BGR2RGB), dtype=np.uint8)
