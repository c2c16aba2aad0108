"""RealSense cameras to test against: librealsense's software device, and recordings that are made of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from hardware.cameras.realsense_device import load_realsense

WIDTH, HEIGHT = 64, 48
SERIAL = "815412070123"
FOCAL_PX = 60.0
DEPTH_UNIT_M = 0.001
FIRST_NUMBER = 500
"""Devices number their frames from power-up on, not from the start of a stream."""


class SoftwareRealSense:
    """A device of two sensors that gives what it is fed with."""

    def __init__(self, rate_hz: int = 30) -> None:
        """Make the device; colour and depth are seen from the same place."""
        self.rate_hz = rate_hz
        self._rs = rs = load_realsense()
        self.device: Any = rs.software_device()
        self.device.register_info(rs.camera_info.name, "software device")
        self.device.register_info(rs.camera_info.serial_number, SERIAL)
        self._depth = self.device.add_sensor("Stereo Module")
        self.colour = self.device.add_sensor("RGB Camera")
        self._depth_profile = self._depth.add_video_stream(self._stream(rs.stream.depth, rs.format.z16, 1, 2))
        self._colour_profile = self.colour.add_video_stream(self._stream(rs.stream.color, rs.format.rgb8, 2, 3))
        self._depth.add_read_only_option(rs.option.depth_units, DEPTH_UNIT_M)
        legal = rs.option_range()
        legal.min, legal.max, legal.step, legal.default = 1.0, 10000.0, 1.0, 156.0
        self.colour.add_option(rs.option.exposure, legal, True)
        nothing = rs.extrinsics()
        nothing.rotation, nothing.translation = np.eye(3).ravel().tolist(), [0.0, 0.0, 0.0]
        self._depth_profile.as_video_stream_profile().register_extrinsics_to(self._colour_profile, nothing)
        self.device.create_matcher(rs.matchers.default)
        self.fed = 0

    def picture(self, number: int) -> np.ndarray:
        """Return the colour picture `number` of this device, shape (HEIGHT, WIDTH, 3)."""
        return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)

    def depth_m(self, number: int) -> np.ndarray:
        """Return the depth of picture `number` [m], shape (HEIGHT, WIDTH), NaN in its left half."""
        depth_m = np.full((HEIGHT, WIDTH), DEPTH_UNIT_M * (1000 + number), np.float32)
        depth_m[:, : WIDTH // 2] = np.nan
        return depth_m

    def feed(self, frames: int = 1, *, lost: int = 0, depth: bool = True) -> None:
        """Give the next frames, after `lost` ones that nobody sees."""
        self.fed += lost
        for _ in range(frames):
            if depth:
                raw = np.nan_to_num(self.depth_m(self.fed) / DEPTH_UNIT_M).round().astype(np.uint16)
                self._depth.on_video_frame(self._frame(self._depth_profile, raw, 2))
            self.colour.on_video_frame(self._frame(self._colour_profile, self.picture(self.fed), 3))
            self.fed += 1

    def time_ms(self, number: int) -> float:
        """Return the device's stamp of picture `number` [ms].

        Its clock began with its numbers: librealsense takes number by stamp for a software device's rate, and matches
        colour to depth by that.
        """
        return (FIRST_NUMBER + number) * 1000.0 / self.rate_hz

    def _frame(self, profile: Any, pixels: np.ndarray, bytes_per_pixel: int) -> Any:
        frame = self._rs.software_video_frame()
        frame.pixels, frame.stride, frame.bpp = pixels, WIDTH * bytes_per_pixel, bytes_per_pixel
        frame.timestamp, frame.domain = self.time_ms(self.fed), self._rs.timestamp_domain.hardware_clock
        frame.frame_number, frame.profile = FIRST_NUMBER + self.fed, profile.as_video_stream_profile()
        frame.depth_units = DEPTH_UNIT_M
        return frame

    def _stream(self, kind: Any, pixel_format: Any, uid: int, bytes_per_pixel: int) -> Any:
        stream, lens = self._rs.video_stream(), self._rs.intrinsics()
        lens.width, lens.height, lens.fx, lens.fy = WIDTH, HEIGHT, FOCAL_PX, FOCAL_PX
        lens.ppx, lens.ppy, lens.model, lens.coeffs = WIDTH / 2, HEIGHT / 2, self._rs.distortion.none, [0.0] * 5
        stream.type, stream.index, stream.uid, stream.fmt = kind, 0, uid, pixel_format
        stream.width, stream.height, stream.fps, stream.bpp = WIDTH, HEIGHT, self.rate_hz, bytes_per_pixel
        stream.intrinsics = lens
        return stream


def record(path: Path, frames: int, rate_hz: int) -> Path:
    """Write a recording of a software device to the .db3 file `path`; it is played at the pace of its making."""
    rs, software = load_realsense(), SoftwareRealSense(rate_hz)
    recorder = rs.recorder(str(path), software.device)
    syncer = rs.syncer()
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles())
        sensor.start(syncer)
    for _ in range(frames):
        software.feed()
        time.sleep(1.0 / rate_hz)
    for sensor in sensors:
        sensor.stop()
        sensor.close()
    return path
