"""What the twin's cameras see, on the network: images, and how they project."""

from __future__ import annotations

from collections.abc import Mapping

from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from sim.twin import Twin
from tutelage_core.contract import CameraContract
from tutelage_nodes import convert, topics
from tutelage_nodes.faults import FaultInjector


class TwinCameras:
    """Publishes the pictures of all cameras of a twin, on their way through the injected faults."""

    def __init__(self, node: Node, cameras: Mapping[str, CameraContract]) -> None:
        """Publish on `node` for the `cameras` of the twin's contract."""
        self._images = {name: convert.ImageMessage(name, c.width, c.height) for name, c in cameras.items()}
        self._info_pubs = {
            name: node.create_publisher(CameraInfo, topics.camera_info(name), topics.latched()) for name in cameras
        }
        self._image_pubs = {
            name: node.create_publisher(Image, topics.camera_image(name), topics.reliable()) for name in cameras
        }
        self._faults = {name: FaultInjector(node, f"camera/{name}", "data") for name in cameras}

    def describe(self, twin: Twin) -> None:
        """Publish how the cameras of `twin` project; each room has its own."""
        for name, publisher in self._info_pubs.items():
            size = twin.contract.cameras[name]
            publisher.publish(convert.to_camera_info_msg(name, size.width, size.height, twin.intrinsics(name)))

    def publish(self, twin: Twin, now_ns: int) -> None:
        """Draw all pictures of `twin` and publish them, stamped `now_ns`."""
        for name, image in self._images.items():
            self._faults[name].send(image.fill(twin.render(name), now_ns), self._image_pubs[name].publish)

    def repeat(self) -> None:
        """Publish the last pictures again, past the faults."""
        for name, image in self._images.items():
            self._image_pubs[name].publish(image.message)
