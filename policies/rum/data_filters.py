"""What RUM leaves out of its demonstrations: frames in which nothing happens, and recordings that jump."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tutelage_core.errors import ConfigurationError
from tutelage_core.types import FloatArray


@dataclass(frozen=True)
class FilterSettings:
    """When a frame is kept, and when a recording is refused.

    Attributes:
        moved_m: a frame is kept once the hand has moved so far since the last one that was kept [m],
        moved_rad: or has turned by so much [rad],
        moved_opening: or the gripper's opening has changed by so much (0..1).
        jump_m: a recording in which the hand moves farther between two frames is refused [m]; 0 refuses none.
    """

    moved_m: float = 0.003
    moved_rad: float = 0.1
    moved_opening: float = 0.05
    jump_m: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is no distance."""
        for name in ("moved_m", "moved_rad", "moved_opening", "jump_m"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ConfigurationError(f"FilterSettings: {name} must be finite and not negative, got {value}")


def moving_frames(
    positions: FloatArray, quaternions_xyzw: FloatArray, openings: FloatArray, settings: FilterSettings
) -> NDArray[np.int64]:
    """Return the frames to keep: the first, each that differs enough from the last one that was kept, and the last.

    Args:
        positions: of the TCP, shape (n, 3) [m].
        quaternions_xyzw: of the TCP, shape (n, 4).
        openings: of the gripper, shape (n,), 0..1.
        settings: when a frame differs enough.

    Raises:
        ValueError: the shapes do not belong together, there is no frame, or a number is not finite.
    """
    count = len(positions)
    if not count or positions.shape != (count, 3) or quaternions_xyzw.shape != (count, 4) or openings.shape != (count,):
        raise ValueError(
            f"needs n >= 1 positions (n, 3), quaternions (n, 4) and openings (n,), got {positions.shape}, "
            f"{quaternions_xyzw.shape}, {openings.shape}"
        )
    if not all(np.isfinite(values).all() for values in (positions, quaternions_xyzw, openings)):
        raise ValueError("positions, quaternions and openings must be finite")
    rotations = Rotation.from_quat(quaternions_xyzw)
    kept = [0]
    for frame in range(1, count):
        last = kept[-1]
        moved = float(np.linalg.norm(positions[frame] - positions[last])) >= settings.moved_m
        turned = float((rotations[last].inv() * rotations[frame]).magnitude()) >= settings.moved_rad
        opened = abs(float(openings[frame] - openings[last])) >= settings.moved_opening
        if moved or turned or opened:
            kept.append(frame)
    if kept[-1] != count - 1:
        kept.append(count - 1)
    return np.array(kept, dtype=np.int64)


def largest_jump_m(positions: FloatArray) -> float:
    """Return the largest distance between two neighbouring positions, shape (n, 3) [m]; 0 for a single one."""
    return float(np.linalg.norm(np.diff(positions, axis=0), axis=1).max()) if len(positions) > 1 else 0.0


def jumps(positions: FloatArray, settings: FilterSettings) -> bool:
    """Tell whether a recording jumps, as tracking does that has lost its place."""
    return settings.jump_m > 0.0 and largest_jump_m(positions) > settings.jump_m
