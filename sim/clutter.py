"""Things that stand about in a room and have nothing to do with the task: they distract, and stand firm if touched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from sim.robots import WORLD_BITS, WORLD_GROUP
from sim.rooms import Clutter, Table
from sim.textures import rgb

ATTEMPTS = 30
ROBOT_RADIUS_M = 0.22
"""Nothing stands nearer to the robot's base [m]."""


@dataclass(frozen=True)
class Rectangle:
    """Part of the table top, in the base frame [m]."""

    x_min: float
    x_max: float
    y_min: float
    y_max: float

    def meets(self, x: float, y: float, radius: float) -> bool:
        """Tell whether a round thing at (`x`, `y`) comes into it."""
        return self.x_min - radius < x < self.x_max + radius and self.y_min - radius < y < self.y_max + radius


def add_clutter(spec: mujoco.MjSpec, clutter: Clutter, table: Table, keep_clear: Sequence[Rectangle]) -> None:
    """Add the room's clutter to a model, outside the rectangles that the task needs, as far as there is place."""
    rng = np.random.default_rng(clutter.layout)
    placed: list[tuple[float, float, float]] = []
    for index in range(clutter.count):
        kind = ("box", "cylinder", "ball", "mug")[int(rng.integers(4))]
        radius, height = float(rng.uniform(0.02, 0.05)), float(rng.uniform(0.03, 0.12))
        colour = [*rgb(rng.uniform(), rng.uniform(0.1, 0.9), rng.uniform(0.25, 0.9)), 1.0]
        yaw = float(rng.uniform(-np.pi, np.pi))
        for _ in range(ATTEMPTS):
            x = float(rng.uniform(0.1, table.front_m - 0.06))
            y = float(rng.uniform(-1.0, 1.0)) * (table.half_width_m - 0.06)
            crowded = any(np.hypot(x - a, y - b) < radius + c + 0.01 for a, b, c in placed)
            if crowded or np.hypot(x, y) < ROBOT_RADIUS_M or any(r.meets(x, y, 1.5 * radius) for r in keep_clear):
                continue
            placed.append((x, y, 1.5 * radius))
            _add_thing(spec, f"clutter{index}", kind, (x, y, table.height_m), yaw, radius, height, colour)
            break


def _add_thing(
    spec: mujoco.MjSpec,
    name: str,
    kind: str,
    foot: tuple[float, float, float],
    yaw: float,
    radius: float,
    height: float,
    colour: list[float],
) -> None:
    body = spec.worldbody.add_body(name=name, pos=list(foot), quat=[np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
    looks = {"rgba": colour, "group": WORLD_GROUP, **WORLD_BITS}
    if kind == "ball":
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radius, 0, 0], pos=[0, 0, radius], **looks)
    elif kind == "box":
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX, size=[radius, 0.7 * radius, height / 2], pos=[0, 0, height / 2], **looks
        )
    else:
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=[radius, height / 2, 0], pos=[0, 0, height / 2], **looks
        )
    if kind == "mug":
        ear = [radius + 0.012, 0.0, height / 2]
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.012, 0.005, height / 3], pos=ear, **looks)
