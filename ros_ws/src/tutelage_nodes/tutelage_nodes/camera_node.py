"""One camera: driver frames out as raw images, with rate, age and losses in the diagnostics."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from sensor_msgs.msg import Image

from hardware.cameras import make_camera
from tutelage_core.contract import CameraContract
from tutelage_core.errors import CameraError, ConfigurationError
from tutelage_core.types import Frame
from tutelage_nodes import convert, topics
from tutelage_nodes.node import TutelageNode, run_node


@dataclass(frozen=True)
class CameraNodeParameters:
    """Parameters of `camera_node`.

    Attributes:
        camera: name of the camera; its topics are /camera/<name>/...
        driver: file or uvc.
        width, height: size of the published image [px].
        rate_hz: rate that the driver is asked for [Hz].
        path: video of the file driver.
        device: number of the uvc driver's device.
    """

    camera: str = "front"
    driver: str = "uvc"
    width: int = 640
    height: int = 480
    rate_hz: float = 30.0
    path: str = ""
    device: int = 0


class CameraNode(TutelageNode[CameraNodeParameters]):
    """Reads a driver in a thread of its own and publishes from there."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("camera_node", CameraNodeParameters)
        self._thread: threading.Thread | None = None
        self._end = threading.Event()

    def setup(self) -> None:
        """Open the device."""
        p = self.params
        options: dict[str, object] = {"path": p.path} if p.driver == "file" else {"device": p.device}
        if p.driver == "file" and not p.path:
            raise ConfigurationError("camera_node: driver 'file' needs the parameter 'path'")
        contract = CameraContract(p.width, p.height, p.rate_hz, p.driver, options)
        self._camera = make_camera(p.camera, contract, _NodeClock(self))
        self._camera.start()
        self._message = convert.ImageMessage(p.camera, p.width, p.height)
        self._publisher = self.create_publisher(Image, topics.camera_image(p.camera), topics.reliable(2))
        self._stamps: deque[int] = deque(maxlen=60)
        self._thread = threading.Thread(target=self._run, name=f"camera {p.camera}")
        self._thread.start()

    def teardown(self) -> None:
        """Close the device."""
        if self._thread is not None:
            self._end.set()
            self._thread.join()
            self._thread = None
            self._camera.stop()

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say at what rate frames come, and how old the newest is."""
        if len(self._stamps) < 2:
            return False, "no frames yet", {}
        rate_hz = (len(self._stamps) - 1) / max((self._stamps[-1] - self._stamps[0]) / 1e9, 1e-9)
        age_s = (self.get_clock().now().nanoseconds - self._stamps[-1]) / 1e9
        well = age_s < max(1.0, 3.0 / self.params.rate_hz)
        return (
            well,
            "streaming" if well else f"no frame for {age_s:.1f} s",
            {"rate_hz": round(rate_hz, 1), "age_s": round(age_s, 3)},
        )

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                frame: Frame = self._camera.read(timeout_s=1.0)
            except CameraError as error:
                self.count("missed_frames")
                self.get_logger().error(str(error), throttle_duration_sec=1.0)
                self._end.wait(0.1)
                continue
            self._publisher.publish(self._message.fill(frame.image, frame.stamp_ns))
            self._stamps.append(frame.stamp_ns)
            self.count("frames")


class _NodeClock:
    """The node's ROS clock as a core clock."""

    def __init__(self, node: CameraNode) -> None:
        self._clock = node.get_clock()

    def now_ns(self) -> int:
        return self._clock.now().nanoseconds


def main() -> None:
    """Run the node."""
    run_node(CameraNode)
