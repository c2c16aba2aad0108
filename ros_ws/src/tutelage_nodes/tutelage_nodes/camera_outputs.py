"""What a camera's frames become on the network: image, its description, JPEG and depth."""

from __future__ import annotations

from array import array

import cv2
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from hardware.camera import Intrinsics
from tutelage_core.contract import CameraContract
from tutelage_core.types import Frame, ImageArray
from tutelage_nodes import convert, topics

JPEG_FORMAT = "rgb8; jpeg compressed bgr8"
"""As image_transport writes it: the pixels were RGB, and a decoder that knows only JPEG gives them as BGR."""


class CameraOutputs:
    """Publishes the frames of one camera."""

    def __init__(self, node: Node, camera: str, contract: CameraContract, jpeg_quality: int) -> None:
        """Publish from `node`; JPEG only with a `jpeg_quality` (1..100) above 0, and only while somebody listens."""
        size = (contract.width, contract.height)
        self._node, self._camera, self._size, self._jpeg_quality = node, camera, size, jpeg_quality
        self._image = convert.ImageMessage(camera, *size)
        self._depth = convert.ImageMessage(camera, *size, "32FC1")
        self._images = node.create_publisher(Image, topics.camera_image(camera), topics.reliable())
        self._infos = node.create_publisher(CameraInfo, topics.camera_info(camera), topics.latched())
        self._depths = None
        self._jpegs = None
        if jpeg_quality:
            self._jpegs = node.create_publisher(CompressedImage, topics.camera_compressed(camera), topics.newest())
        self._info, self._intrinsics = convert.to_camera_info_msg(camera, *size, None), None

    def publish(self, frame: Frame, intrinsics: Intrinsics | None) -> None:
        """Publish a frame and what goes with it, all with its stamp."""
        message = self._image.fill(frame.image, frame.stamp_ns)
        self._images.publish(message)
        if intrinsics != self._intrinsics:
            self._info = convert.to_camera_info_msg(self._camera, *self._size, intrinsics)
            self._intrinsics = intrinsics
        self._info.header.stamp = message.header.stamp
        self._infos.publish(self._info)
        if frame.depth_m is not None:
            if self._depths is None:  # a topic that never says anything would only puzzle people
                self._depths = self._node.create_publisher(Image, topics.camera_depth(self._camera), topics.reliable())
            self._depths.publish(self._depth.fill(frame.depth_m, frame.stamp_ns))
        if self._jpegs is not None and self._jpegs.get_subscription_count():
            jpeg = CompressedImage(header=message.header, format=JPEG_FORMAT)
            jpeg.data = array("B", to_jpeg(frame.image, self._jpeg_quality))
            self._jpegs.publish(jpeg)


def to_jpeg(image: ImageArray, quality: int) -> bytes:
    """Return an RGB picture, shape (height, width, 3), as JPEG of `quality` 1..100."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
