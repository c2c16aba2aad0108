"""A measuring tool: listens to an image topic and prints when each image was stamped and seen, as one JSON line.

Images may carry a number as a row of black and white squares from the top left corner, the lowest bit first; so a lost
one is known for certain, where stamps could only suggest it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image

from tutelage_core.contract import NS_PER_S
from tutelage_core.types import ImageArray
from tutelage_nodes import convert, topics

WHITE = 128
"""Mean brightness from which a square counts as a one."""

DEPTH = 10
"""Images that may wait for the probe: what it counts as lost was lost on the way."""


def read_number(image: ImageArray, bits: int, square_px: int) -> int:
    """Return the number that `bits` squares of `square_px` pixels in the top row of `image` spell."""
    row = image[:square_px, : bits * square_px].reshape(square_px, bits, square_px, 3)
    return sum(1 << bit for bit, mean in enumerate(row.mean(axis=(0, 2, 3))) if mean >= WHITE)


class ImageProbe(Node):
    """Notes stamp, arrival (both on this machine's clock) and number of each image."""

    def __init__(self, topic: str, bits: int, square_px: int) -> None:
        """Listen to `topic`."""
        super().__init__("image_probe")
        self._bits, self._square_px = bits, square_px
        self.rows: list[tuple[int, int, int]] = []
        self.create_subscription(Image, topic, self._on_image, topics.newest(DEPTH))

    def _on_image(self, message: Image) -> None:
        seen_ns = self.get_clock().now().nanoseconds
        frame = convert.from_image_msg(message)
        self.rows.append((frame.stamp_ns, seen_ns, read_number(np.asarray(frame.image), self._bits, self._square_px)))


def probe(arguments: Sequence[str]) -> int:
    """Listen as the command line asks; return 1 when no image comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--topic", required=True, help="image topic")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long from the first image on")
    parser.add_argument("--patience-s", type=float, default=30.0, help="how long to wait for the first image")
    parser.add_argument("--bits", type=int, default=0, help="squares that spell an image's number; 0 for none")
    parser.add_argument("--square-px", type=int, default=16, help="side of a square")
    settings = parser.parse_args(arguments)
    rclpy.init()
    node = ImageProbe(settings.topic, settings.bits, settings.square_px)
    begun_ns = node.get_clock().now().nanoseconds
    try:
        while True:
            rclpy.spin_once(node, timeout_sec=0.1)
            start_ns, limit_s = (node.rows[0][1], settings.seconds) if node.rows else (begun_ns, settings.patience_s)
            if node.get_clock().now().nanoseconds - start_ns > limit_s * NS_PER_S:
                break
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # what was seen until now counts
    print(json.dumps({"stamp_seen_number": node.rows}), flush=True)
    if not node.rows:
        print(f"image_probe: no image on {settings.topic} for {settings.patience_s:g} s", file=sys.stderr, flush=True)
    code = 0 if node.rows else 1
    node.destroy_node()
    rclpy.try_shutdown()
    return code


def main() -> None:
    """Run the program."""
    sys.exit(probe(rclpy.utilities.remove_ros_args(sys.argv)[1:]))
