"""The twin's pictures go out with how they project, and once more when nobody has answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from sim.twin import Twin
from tutelage_core.contract import load_contract
from tutelage_nodes import convert, topics
from tutelage_nodes.twin_cameras import TwinCameras

pytestmark = pytest.mark.ros

LIMIT_S = 20.0
"""Nothing that works takes so long, on a machine however busy."""


class Studio:
    """A twin whose cameras publish, and a listener to its wrist camera."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = Node("studio", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.twin = Twin(load_contract("twin"))
        self.cameras = TwinCameras(self._node, self.twin.contract.cameras)
        self.images: list[Image] = []
        self.infos: list[CameraInfo] = []
        self._images_sub = self._node.create_subscription(
            Image, topics.camera_image("wrist"), self.images.append, topics.reliable()
        )
        self.until("discovery", lambda: self._images_sub.get_publisher_count() > 0)

    def listen_late(self) -> None:
        """Listen to how the camera projects only now."""
        self._node.create_subscription(CameraInfo, topics.camera_info("wrist"), self.infos.append, topics.latched())

    def until(self, what: str, met: Callable[[], bool]) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not met():
            assert time.monotonic() < end_s, f"{what}: not within {LIMIT_S} s"
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self.twin.close()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


@pytest.fixture
def studio(domain: int) -> Iterator[Studio]:
    studio = Studio(domain)
    yield studio
    studio.close()


def test_whoever_comes_late_hears_how_a_camera_projects(studio: Studio) -> None:
    studio.cameras.describe(studio.twin)
    studio.listen_late()
    studio.until("camera_info", lambda: bool(studio.infos))
    (info,), known, size = studio.infos, studio.twin.intrinsics("wrist"), studio.twin.contract.cameras["wrist"]
    assert (info.width, info.height, info.header.frame_id) == (size.width, size.height, "wrist_optical")
    assert (info.distortion_model, list(info.d)) == ("plumb_bob", [0.0] * 5)
    np.testing.assert_array_equal(
        info.k.reshape(3, 3),
        [[known.fx_px, 0, (size.width - 1) / 2], [0, known.fy_px, (size.height - 1) / 2], [0, 0, 1]],
    )
    np.testing.assert_array_equal(info.p.reshape(3, 4)[:, :3], info.k.reshape(3, 3))


def test_a_picture_is_the_twins_and_a_repeated_one_is_the_same(studio: Studio) -> None:
    studio.cameras.publish(studio.twin, 1_234_567_890)
    studio.until("image", lambda: bool(studio.images))
    studio.cameras.repeat()
    studio.until("image again", lambda: len(studio.images) > 1)
    first, again = (convert.from_image_msg(image) for image in studio.images)
    np.testing.assert_array_equal(first.image, studio.twin.render("wrist"))
    np.testing.assert_array_equal(first.image, again.image)
    assert first.stamp_ns == again.stamp_ns == 1_234_567_890
