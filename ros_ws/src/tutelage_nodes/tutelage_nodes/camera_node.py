"""One camera: fresh frames out as images, with rate, age and losses in the diagnostics."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from hardware.cameras import freshness_settings, make_camera
from hardware.cameras.keeper import CameraKeeper, KeeperSettings
from tutelage_core.clock import SteadyClock
from tutelage_core.contract import NS_PER_S, CameraContract, load_contract
from tutelage_core.errors import ConfigurationError, UnknownNameError
from tutelage_nodes.camera_outputs import CameraOutputs
from tutelage_nodes.node import NodeClock, TutelageNode, run_node

RATE_FRAMES = 60
"""Over so many frames the rate is measured."""

OWN_PARAMETERS = ("driver", "width", "height", "rate_hz", "path", "device")
"""What describes a camera that is in no contract."""


@dataclass(frozen=True)
class CameraNodeParameters:
    """Parameters of `camera_node`.

    Attributes:
        camera: name of the camera; its topics are /camera/<name>/...
        robot: contract that describes it; empty to describe it by the parameters below.
        driver: file, realsense or uvc.
        width, height: size of the published image [px].
        rate_hz: rate that the driver is asked for [Hz].
        path: video of the file driver.
        device: number of the uvc driver's device.
        jpeg_quality: 1..100 publishes JPEG too; 0 does not.
    """

    camera: str = "front"
    robot: str = ""
    driver: str = "uvc"
    width: int = 640
    height: int = 480
    rate_hz: float = 30.0
    path: str = ""
    device: int = 0
    jpeg_quality: int = 0


class CameraNode(TutelageNode[CameraNodeParameters]):
    """Reads a driver in a thread of its own and publishes from there."""

    def __init__(self) -> None:
        """Declare the parameters."""
        super().__init__("camera_node", CameraNodeParameters)
        self._thread: threading.Thread | None = None
        self._end = threading.Event()

    def setup(self) -> None:
        """Refuse settings that cannot be; a camera that is not there is waited for."""
        p = self.params
        if not 0 <= p.jpeg_quality <= 100:
            raise ConfigurationError(f"camera_node: jpeg_quality must be 0 (none) to 100, got {p.jpeg_quality}")
        contract = self._contract()
        clock = NodeClock(self)
        self._camera = make_camera(p.camera, contract, clock)
        self._keeper = CameraKeeper(
            p.camera,
            self._camera,
            freshness_settings(p.camera, contract),
            clock,
            SteadyClock(),
            self._end.wait,
            KeeperSettings().at_rate(contract.rate_hz),
        )
        self._outputs = CameraOutputs(self, p.camera, contract, p.jpeg_quality)
        self._stamps: deque[int] = deque(maxlen=RATE_FRAMES)
        self._thread = threading.Thread(target=self._run, name=f"camera {p.camera}")
        self._thread.start()

    def teardown(self) -> None:
        """Close the device."""
        if self._thread is not None:
            self._end.set()
            self._thread.join()
            self._thread = None

    def diagnose(self) -> tuple[bool, str, dict[str, object]]:
        """Say whether frames come, at what rate, how old the newest is, and what was lost."""
        stamps = tuple(self._stamps)
        lasted_s = (stamps[-1] - stamps[0]) / NS_PER_S if len(stamps) > 1 else 0.0
        values: dict[str, object] = {
            "rate_hz": round((len(stamps) - 1) / lasted_s, 1) if lasted_s > 0.0 else 0.0,
            **self._keeper.values(),
            "intrinsics": "known" if self._camera.intrinsics() else "unknown: camera_info has K = 0",
        }
        trouble = self._keeper.trouble()
        return not trouble, trouble or "streaming", values

    def _contract(self) -> CameraContract:
        """Return the camera's contract: that of the robot, or one made of the parameters."""
        p = self.params
        if p.robot:
            given = [name for name in OWN_PARAMETERS if name in self._parameter_overrides]
            if given:
                raise ConfigurationError(
                    f"camera_node: {', '.join(given)} come from the contract of robot '{p.robot}'; leave them out, or "
                    "leave out robot"
                )
            cameras = load_contract(p.robot).cameras
            if p.camera not in cameras:
                raise UnknownNameError("camera", p.camera, cameras, f"robot '{p.robot}'")
            return cameras[p.camera]
        if p.driver == "file" and not p.path:
            raise ConfigurationError("camera_node: driver 'file' needs the parameter 'path'")
        options: dict[str, dict[str, object]] = {"file": {"path": p.path}, "uvc": {"device": p.device}}
        return CameraContract(p.width, p.height, p.rate_hz, p.driver, options.get(p.driver, {}))

    def _run(self) -> None:
        said = self._keeper.trouble()
        while not self._end.is_set():
            frame = self._keeper.step()
            if frame is not None:
                self._outputs.publish(frame, self._camera.intrinsics())
                self._stamps.append(frame.stamp_ns)
            trouble = self._keeper.trouble().partition(" (try ")[0]
            if trouble != said:
                said = trouble
                self.get_logger().error(trouble) if trouble else self.get_logger().info("streaming")
        self._keeper.close()


def main() -> None:
    """Run the node."""
    run_node(CameraNode)
