"""Intel RealSense cameras: colour, and depth laid over it.

A device on USB, a recording (`.db3`) and librealsense's software device all run through the same code: sensors are
opened one by one and feed a syncer. `rs.pipeline` would be shorter, but cannot open a software device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hardware.camera import CameraEndedError, Intrinsics
from hardware.cameras.crop import Crop
from hardware.cameras.device_clock import DeviceClock
from hardware.cameras.realsense_device import (
    attached_devices,
    choose_profile,
    find_device,
    intrinsics_of,
    load_realsense,
    set_options,
)
from hardware.cameras.realsense_options import RealSenseOptions
from tutelage_core.clock import Clock, SteadyClock
from tutelage_core.contract import NS_PER_S, CameraContract
from tutelage_core.errors import CameraError
from tutelage_core.types import DepthArray, Frame

QUEUE_FRAMES = 2
"""Sets of frames that wait for their reader; the oldest is lost."""

LOOK_MS = 50
"""So often a read that waits looks whether a recording is over [ms]."""

NS_PER_MS = 1_000_000


class RealSenseCamera:
    """Colour frames of a RealSense, cut and resized to the contract's size; with depth where that is asked for."""

    Options = RealSenseOptions

    def __init__(
        self,
        name: str,
        contract: CameraContract,
        options: RealSenseOptions,
        clock: Clock,
        find_devices: Callable[[], Iterable[Any]] = attached_devices,
    ) -> None:
        """Use the device or recording that `options` name.

        Args:
            name: of the camera.
            contract: size and rate that are wanted.
            options: of the device.
            clock: the clock that frames are stamped on.
            find_devices: returns the devices to choose from.
        """
        self._name, self._contract, self._options, self._clock = name, contract, options, clock
        self._find_devices = find_devices
        self._steady = SteadyClock()
        self._device_clock = DeviceClock()
        self._rs: Any = None
        self._device: Any = None
        self._syncer: Any = None
        self._align: Any = None
        self._streaming: list[Any] = []
        self._sequence, self._to_drop, self._playing, self._over = -1, 0, False, False
        self._number: int | None = None
        self._intrinsics: Intrinsics | None = None
        self._crop = Crop.middle(options.width, options.height, contract.width, contract.height)

    def start(self) -> None:
        """Open the device, or begin the recording."""
        if self._device is not None:
            return
        try:
            self._rs = load_realsense()
            self._device = find_device(self._rs, self._options, self._find_devices)
            self._align = self._rs.align(self._rs.stream.color)
            self._device_clock.restart()
            self._sequence, self._to_drop, self._over = -1, self._options.warm_up_frames, False
            self._stream()
        except (CameraError, RuntimeError) as error:
            self.stop()
            raise CameraError(f"camera {self._name}: {self._describe()}: {error}") from error

    def stop(self) -> None:
        """Close the device."""
        self._close_sensors()
        self._device, self._syncer = None, None

    def intrinsics(self) -> Intrinsics | None:
        """Return how the colour pictures project, as the device was calibrated; None before it was started."""
        return self._intrinsics

    def read(self, timeout_s: float) -> Frame:
        """Return the next frame; its stamp is the device's own, brought onto the clock."""
        if self._device is None:
            raise CameraError(f"camera {self._name}: not started")
        if self._over:
            raise self._ended()  # a frame may still come out of the syncer: the end that was told stays the end
        try:
            return self._read(self._steady.now_ns() + round(timeout_s * NS_PER_S))
        except RuntimeError as error:  # librealsense's own
            raise CameraError(f"camera {self._name}: {self._describe()}: {error}") from error

    def _read(self, end_ns: int) -> Frame:
        while True:
            left_ms = max(0, end_ns - self._steady.now_ns()) // NS_PER_MS
            got, frames = self._syncer.try_wait_for_frames(min(left_ms, LOOK_MS))
            frame = self._take(frames) if got else None
            if frame is not None:
                return frame
            if got:
                continue
            if self._has_ended():
                self._begin_again()
            elif self._steady.now_ns() >= end_ns:
                lost = "" if self._device.is_connected() else "; it is unplugged: plug it in again, at a USB 3 port"
                raise CameraError(f"camera {self._name}: {self._describe()} gave no frame in time{lost}")

    def _take(self, frames: Any) -> Frame | None:
        """Return the frame of a set; None if the set is not whole, was seen before, or is to be dropped."""
        now_ns = self._clock.now_ns()
        self._playing = True
        colour = frames.get_color_frame()
        if not colour or colour.get_frame_number() == self._number:
            return None
        stamp_ns = self._device_clock.stamp_ns(round(colour.get_timestamp() * NS_PER_MS), now_ns)
        depth_m = None
        if self._options.depth:
            if not frames.get_depth_frame():
                return None
            depth_m = self._crop.depth(_metres(self._align.process(frames).get_depth_frame()))
        if self._to_drop:
            self._to_drop -= 1
            return None
        sequence = self._count(colour.get_frame_number())
        return Frame(self._crop.image(np.asanyarray(colour.get_data())), stamp_ns, sequence, depth_m)

    def _count(self, number: int) -> int:
        """Return the sequence of the frame with the device's `number`; a device that counts anew is followed."""
        if self._number is None:
            self._sequence += 1
        else:
            self._sequence += number - self._number if number > self._number else 1
        self._number = number
        return self._sequence

    def _describe(self) -> str:
        if self._options.file:
            return f"RealSense recording {self._options.file}"
        return f"RealSense {self._options.serial}".strip()

    def _stream(self) -> None:
        """Open the sensors with what is wanted of them, and start them into a new syncer."""
        rs, options = self._rs, self._options
        mode = (options.width, options.height, round(self._contract.rate_hz))
        sensors: list[Any] = list(self._device.query_sensors())
        wanted = [(rs.stream.color, rs.format.rgb8, options.colour_options)]
        if options.depth:
            wanted.append((rs.stream.depth, rs.format.z16, options.depth_options))
        profiles: list[list[Any]] = [[] for _ in sensors]  # a sensor that gives both is opened once, with both
        for stream, pixel_format, settings in wanted:
            index, profile = choose_profile(sensors, stream, pixel_format, mode)
            profiles[index].append(profile)
            if not options.file:
                set_options(rs, sensors[index], settings)
            if stream == rs.stream.color:
                self._intrinsics = self._crop.intrinsics(intrinsics_of(profile))
        self._syncer, self._playing, self._number = rs.syncer(QUEUE_FRAMES), False, None
        for sensor, chosen in zip(sensors, profiles, strict=True):
            if chosen:
                sensor.open(chosen)
                self._streaming.append(sensor)
        for sensor in self._streaming:
            sensor.start(self._syncer)

    def _has_ended(self) -> bool:
        """Say whether a recording is over; before its first frame it only seems so."""
        if not self._options.file or not self._playing:
            return False
        return bool(self._device.current_status() == self._rs.playback_status.stopped)

    def _begin_again(self) -> None:
        if not self._options.loop:
            self._over = True
            raise self._ended()
        self._close_sensors()
        self._device_clock.restart()
        self._stream()

    def _ended(self) -> CameraEndedError:
        return CameraEndedError(
            f"camera {self._name}: {self._describe()} has ended; set its option loop, or start the camera again"
        )

    def _close_sensors(self) -> None:
        for sensor in self._streaming:
            try:
                sensor.stop()
                sensor.close()
            except RuntimeError:
                continue  # it is unplugged, or was opened and never started: there is nothing left to end
        self._streaming = []


def _metres(depth: Any) -> DepthArray:
    """Return a depth frame in metres, NaN where nothing was measured."""
    raw = np.asanyarray(depth.get_data())
    return np.where(raw == 0, np.float32(np.nan), raw * np.float32(depth.get_units())).astype(np.float32)
