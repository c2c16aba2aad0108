"""Keeps the black box of the arm that a node moves, and seals it once for each stop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sensor_msgs.msg import Image

from hardware.safety.black_box import BlackBox
from tutelage_core.types import ArmState, ExecutedStep
from tutelage_nodes import convert, topics
from tutelage_nodes.node import TutelageNode


class BlackBoxKeeper:
    """Notes states, steps and pictures as they come. A box that cannot be written is no reason not to stop."""

    def __init__(self, node: TutelageNode[Any], robot: str, folder: Path, cameras: Sequence[str]) -> None:
        """Keep the box of a robot.

        Args:
            node: listens to the cameras, and says where a box was sealed.
            robot: name of the contract.
            folder: in which each stop gets a folder of its own.
            cameras: those whose pictures are kept, small; each costs the node the copy of a whole one.
        """
        self._node, self._folder = node, folder
        self._box, self._sealed = BlackBox(robot), False
        for camera in cameras:
            node.create_subscription(
                Image, topics.camera_image(camera), partial(self._on_image, camera), topics.newest()
            )

    def note_state(self, state: ArmState) -> None:
        """Note what the arm measures."""
        self._box.note_state(state)

    def note_step(self, step: ExecutedStep, sender: str, detail: str) -> None:
        """Note what was asked and what became of it."""
        self._box.note_step(step, sender, detail)

    def seal_when_latched(self, cause: str) -> None:
        """Seal the box once for each stop.

        Args:
            cause: why the gate is latched; empty while it is not.
        """
        if not cause:
            self._sealed = False
        elif not self._sealed:
            self._sealed = True
            try:
                folder = self._box.seal(self._folder, cause)
                self._node.get_logger().error(f"stopped: {cause}; tutelage replay-incident {folder}")
            except OSError as error:
                self._node.get_logger().error(f"stopped: {cause}; the black box cannot be written: {error}")

    def _on_image(self, camera: str, message: Image) -> None:
        try:
            frame = convert.from_image_msg(message)
        except ValueError:
            self._node.count("bad_images")
            return
        self._box.note_picture(camera, frame.image, frame.stamp_ns)
