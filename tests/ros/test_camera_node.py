"""A camera node gives fresh frames with right stamps; what its camera does wrong it says, and it lives on."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from running_graph import test_environment
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from tutelage.launch import packages
from tutelage.launch.runner import LaunchRunner
from tutelage_core.contract import NS_PER_S
from tutelage_nodes import convert, topics

pytestmark = pytest.mark.ros

WIDTH, HEIGHT, RATE_HZ = 64, 48, 20.0
LIMIT_S = 40.0
"""Nothing that works takes so long, on a machine however busy."""


def write_video(path: Path, frames: int, *, still: bool = False) -> Path:
    """Write a video whose frame i is as grey as 20 + 10 i, or all the same."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE_HZ, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((HEIGHT, WIDTH, 3), 20 if still else 20 + 10 * number, np.uint8))
    writer.release()
    return path


class Listener:
    """Hears what a camera node publishes."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = Node("listener", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self.jpegs: list[CompressedImage] = []
        self.statuses: list[DiagnosticStatus] = []
        for kind, topic, heard, quality in (
            (Image, topics.camera_image("front"), self.images, topics.reliable(50)),
            (CameraInfo, topics.camera_info("front"), self.infos, topics.reliable(50)),
            (CompressedImage, topics.camera_compressed("front"), self.jpegs, topics.newest(50)),
        ):
            self.node.create_subscription(kind, topic, heard.append, quality)
        self.node.create_subscription(
            DiagnosticArray, topics.DIAGNOSTICS, lambda m: self.statuses.extend(m.status), topics.reliable()
        )

    def until(self, what: str, met: Callable[[], bool]) -> None:
        """Listen until something is so."""
        end_s = time.monotonic() + LIMIT_S
        while not met():
            said = [f"{s.name}: {s.message}" for s in self.statuses[-3:]]
            assert time.monotonic() < end_s, f"{what}: not within {LIMIT_S} s; last heard: {said}"
            self._executor.spin_once(timeout_sec=0.1)

    def until_frames(self, count: int) -> None:
        """Listen until `count` more frames have come."""
        wanted = len(self.images) + count
        self.until(f"{count} frames", lambda: len(self.images) >= wanted)

    def until_status(self, level: bytes, text: str) -> DiagnosticStatus:
        """Listen until a new status has this level and text, and return it."""
        del self.statuses[:]
        self.until(text, lambda: any(s.level == level and text in s.message for s in self.statuses))
        return next(s for s in self.statuses if s.level == level and text in s.message)

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def listener(domain: int) -> Iterator[Listener]:
    listener = Listener(domain)
    yield listener
    listener.close()


class Running:
    """A camera node that runs."""

    def __init__(self, runner: LaunchRunner, output: io.StringIO) -> None:
        self.runner, self.output = runner, output

    def lives(self) -> bool:
        return all(process.returncode is None for process in self.runner.processes.values())

    def end(self) -> None:
        """End it, and see that it ends in order."""
        assert self.lives(), self.output.getvalue()
        assert self.runner.shutdown() == 0, self.output.getvalue()


@contextmanager
def camera_node(domain: int, folder: Path, parameters: Mapping[str, object]) -> Iterator[Running]:
    """Run a camera node with these parameters."""
    node = {
        "pkg": "tutelage_nodes",
        "exec": "camera_node",
        "name": "camera_node",
        "param": [{"name": name, "value": value} for name, value in parameters.items()],
    }
    path = folder / "camera.launch.yaml"
    path.write_text(json.dumps({"launch": [{"node": node}]}), encoding="utf-8")
    with running(domain, path, {}) as node_running:
        yield node_running


@contextmanager
def running(domain: int, launch_file: Path, arguments: Mapping[str, str]) -> Iterator[Running]:
    output = io.StringIO()
    with LaunchRunner(environment=test_environment(domain), stream=output) as runner:
        runner.start(launch_file, dict(arguments))
        yield Running(runner, output)


def of_video(video: Path, **more: object) -> dict[str, object]:
    size = {"width": WIDTH, "height": HEIGHT, "rate_hz": RATE_HZ}
    return {"camera": "front", "driver": "file", "path": str(video), **size, **more}


def contract_of_video(folder: Path, video: Path, **options: object) -> Path:
    """Write a robot's contract whose front camera plays `video`."""
    camera = {
        "width": WIDTH,
        "height": HEIGHT,
        "rate_hz": RATE_HZ,
        "driver": "file",
        "options": {"path": str(video), **options},
    }
    text = Path("hardware/robots/twin.yaml").read_text(encoding="utf-8")
    old = "front: {width: 128, height: 128, rate_hz: 10.0, driver: twin}"
    assert old in text
    path = folder / "robot.yaml"
    path.write_text(text.replace(old, f"front: {json.dumps(camera)}"), encoding="utf-8")
    return path


def test_frames_arrive_with_size_encoding_and_growing_stamps_of_the_nodes_clock(
    domain: int, tmp_path: Path, listener: Listener
) -> None:
    video = write_video(tmp_path / "grey.avi", 20)
    with camera_node(domain, tmp_path, of_video(video, jpeg_quality=95)) as node:
        listener.until_frames(15)
        listener.until("JPEG", lambda: len(listener.jpegs) >= 3)
        status = listener.until_status(DiagnosticStatus.OK, "streaming")
        node.end()
    stamps_ns = [convert.to_ns(image.header.stamp) for image in listener.images]
    assert (np.diff(stamps_ns) > 0).all()
    now_ns = listener.node.get_clock().now().nanoseconds
    assert now_ns - 300 * NS_PER_S < stamps_ns[0] < stamps_ns[-1] <= now_ns
    for image in listener.images:
        assert (image.width, image.height, image.encoding, image.step) == (WIDTH, HEIGHT, "rgb8", WIDTH * 3)
        assert image.header.frame_id == "front_optical"
    greys = [convert.from_image_msg(image).image.mean() for image in listener.images]
    assert np.abs(np.subtract(greys, np.round(greys, -1))).max() < 4.0, "each picture is one of the video's"
    assert len(set(np.round(greys, -1))) > 5
    values = {pair.key: pair.value for pair in status.values}
    assert int(values["fresh"]) > 0
    assert float(values["rate_hz"]) > 0.0
    assert values["frozen"] == "0"


def test_camera_info_and_jpeg_go_with_the_image_of_the_same_stamp(
    domain: int, tmp_path: Path, listener: Listener
) -> None:
    video = write_video(tmp_path / "grey.avi", 20)
    with camera_node(domain, tmp_path, of_video(video, jpeg_quality=95)) as node:
        listener.until_frames(5)
        listener.until("JPEG", lambda: len(listener.jpegs) >= 5)
        status = listener.until_status(DiagnosticStatus.OK, "streaming")
        node.end()
    images = {convert.to_ns(image.header.stamp): image for image in listener.images}
    infos = {convert.to_ns(info.header.stamp): info for info in listener.infos}
    common = images.keys() & infos.keys()
    assert len(common) >= 3
    info = infos[max(common)]
    assert (info.width, info.height, info.header.frame_id) == (WIDTH, HEIGHT, "front_optical")
    assert not info.k.any(), "a video's lens is unknown"
    assert "K = 0" in {pair.key: pair.value for pair in status.values}["intrinsics"]
    jpegs = [jpeg for jpeg in listener.jpegs if convert.to_ns(jpeg.header.stamp) in images]
    assert jpegs
    for jpeg in jpegs:
        assert "jpeg" in jpeg.format
        picture = cv2.imdecode(np.frombuffer(jpeg.data, np.uint8), cv2.IMREAD_COLOR)
        raw = convert.from_image_msg(images[convert.to_ns(jpeg.header.stamp)]).image
        assert np.abs(picture[..., ::-1].astype(int) - raw).max() <= 4


def test_launch_file_runs_the_camera_of_a_contract(domain: int, tmp_path: Path, listener: Listener) -> None:
    robot = contract_of_video(tmp_path, write_video(tmp_path / "grey.avi", 20))
    share = packages.package_share("tutelage_bringup", test_environment(domain))
    with running(domain, share / "launch" / "camera.launch.yaml", {"robot": str(robot), "camera": "front"}) as node:
        listener.until_frames(5)
        assert listener.until_status(DiagnosticStatus.OK, "streaming").name == "/camera_front"
        node.end()
    assert listener.images[0].width == WIDTH


def test_video_that_ends_is_an_error_that_says_so_and_the_node_lives(
    domain: int, tmp_path: Path, listener: Listener
) -> None:
    robot = contract_of_video(tmp_path, write_video(tmp_path / "short.avi", 10), loop=False)
    with camera_node(domain, tmp_path, {"robot": str(robot), "camera": "front"}) as node:
        status = listener.until_status(DiagnosticStatus.ERROR, "has ended; set its option loop")
        assert "camera front: video file" in status.message
        listener.until_status(DiagnosticStatus.ERROR, "has ended")
        node.end()


def test_video_that_is_taken_away_is_an_error_and_goes_on_once_it_is_back(
    domain: int, tmp_path: Path, listener: Listener
) -> None:
    video, away = write_video(tmp_path / "short.avi", 5), tmp_path / "away.avi"
    with camera_node(domain, tmp_path, of_video(video)) as node:
        listener.until_frames(5)
        video.rename(away)
        status = listener.until_status(DiagnosticStatus.ERROR, "no such video file")
        assert str(video) in status.message
        listener.until_status(DiagnosticStatus.ERROR, "(try ")
        away.rename(video)
        listener.until_frames(10)
        listener.until_status(DiagnosticStatus.OK, "streaming")
        node.end()


def test_frozen_camera_is_an_error_and_its_frames_are_not_passed_on(
    domain: int, tmp_path: Path, listener: Listener
) -> None:
    robot = contract_of_video(tmp_path, write_video(tmp_path / "still.avi", 5, still=True), frozen_frames=10)
    with camera_node(domain, tmp_path, {"robot": str(robot), "camera": "front"}) as node:
        status = listener.until_status(DiagnosticStatus.ERROR, "pictures in a row are the same")
        assert "unplug it and plug it in again" in status.message
        node.end()
    assert len(listener.images) <= 9


def test_device_that_is_not_there_is_an_error_that_says_what_to_do_and_the_node_waits_for_it(
    domain: int, tmp_path: Path, listener: Listener
) -> None:
    with camera_node(domain, tmp_path, {"camera": "front", "driver": "uvc", "device": 97}) as node:
        status = listener.until_status(DiagnosticStatus.ERROR, "UVC device 97 cannot be opened")
        assert "Is it plugged in" in status.message
        node.end()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"robot": "twin", "camera": "top"}, "unknown camera 'top' in robot 'twin'; legal: front, wrist"),
        ({"robot": "twin"}, "unknown camera driver 'twin' in camera front; legal: file, realsense, uvc"),
        ({"robot": "franka", "driver": "file"}, "driver come from the contract of robot 'franka'"),
        ({"driver": "file"}, "driver 'file' needs the parameter 'path'"),
        ({"driver": "uvc", "jpeg_quality": 101}, "jpeg_quality must be 0 (none) to 100, got 101"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(
    domain: int, tmp_path: Path, parameters: dict[str, object], said: str
) -> None:
    with camera_node(domain, tmp_path, parameters) as node:
        assert node.runner.wait(LIMIT_S) == 1
        assert said in node.output.getvalue()
