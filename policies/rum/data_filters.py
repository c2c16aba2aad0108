"""What RUM leaves out of its demonstrations: frames in which nothing happens, and recordings that jump."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from policies.bc.batches import Frames, check_finite
from policies.image_augmentation import ImageBatch
from tutelage_core.contract import state_columns
from tutelage_core.episodes.windows import window_indices
from tutelage_core.errors import ConfigurationError
from tutelage_core.rotations import matrix_from_6d
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


POSE = ("tcp_position", "tcp_rotation_6d", "gripper_opening")
"""State that the filters read."""


@dataclass(frozen=True)
class MovingFrames:
    """Demonstrations without the frames in which nothing happens; the fields of `policies.bc.batches.Frames`."""

    images: Mapping[str, ImageBatch]
    state: NDArray[np.float32]
    steps: NDArray[np.float32]
    episode_of: NDArray[np.integer]
    history_index: NDArray[np.integer]
    chunk_index: NDArray[np.integer]
    chunk_is_padding: NDArray[np.bool_]
    episode_names: Sequence[str]


@dataclass(frozen=True)
class FilterReport:
    """What was left out.

    Attributes:
        frames: in all.
        still: left out because nothing happened in them.
        jumping: episodes that were left out because the hand jumps.
    """

    frames: int
    still: int
    jumping: tuple[str, ...]


def filtered(
    frames: Frames, state_keys: tuple[str, ...], settings: FilterSettings, *, adds_up: bool
) -> tuple[MovingFrames, FilterReport]:
    """Leave out still frames and jumping episodes.

    Args:
        frames: demonstrations.
        state_keys: what `frames.state` is made of; needs `POSE` among it.
        settings: when a frame is kept.
        adds_up: whether the steps say what was done; those of frames that are left out then join the one before. An
            expert's answers say what should be done, each for itself: they do not add up.

    Raises:
        ConfigurationError: part of the pose is missing, the numbers are not finite, or every episode jumps.
    """
    if missing := [key for key in POSE if key not in state_keys]:
        raise ConfigurationError(f"RUM's filters need {', '.join(missing)} among the state")
    check_finite(frames)
    columns = state_columns(state_keys)
    position, rotation_6d, opening = (frames.state[:, columns[key]].astype(float) for key in POSE)
    quaternions = Rotation.from_matrix(np.stack([matrix_from_6d(row) for row in rotation_6d])).as_quat()
    kept: list[NDArray[np.int64]] = []
    steps: list[FloatArray] = []
    names: list[str] = []
    jumping: list[str] = []
    for number, name in enumerate(frames.episode_names):
        rows = np.flatnonzero(frames.episode_of == number)
        if jumps(position[rows], settings):
            jumping.append(name)
            continue
        moving = moving_frames(position[rows], quaternions[rows], opening[rows, 0], settings)
        own = frames.steps[rows].astype(float)
        ends = np.append(moving[1:], len(rows)) if adds_up else moving + 1
        steps.append(np.stack([_joined(own[a:b]) for a, b in zip(moving, ends, strict=True)]))
        kept.append(rows[moving])
        names.append(name)
    if not kept:
        raise ConfigurationError(
            f"in each of the {len(jumping)} episodes the hand jumps farther than {settings.jump_m} m between two frames"
        )
    index = np.concatenate(kept)
    windows = window_indices([len(rows) for rows in kept], frames.history_index.shape[1], frames.chunk_index.shape[1])
    history_index, chunk_index, padding, episode_of = windows
    moved = MovingFrames(
        {camera: pixels[index] for camera, pixels in frames.images.items()},
        frames.state[index],
        np.concatenate(steps).astype(np.float32),
        episode_of,
        history_index,
        chunk_index,
        padding,
        tuple(names),
    )
    judged = int(np.isin(frames.episode_of, [frames.episode_names.index(name) for name in names]).sum())
    return moved, FilterReport(len(frames.state), judged - len(index), tuple(jumping))


def _joined(steps: FloatArray) -> FloatArray:
    """Return one step that moves as these do one after the other, shape (n, 7) -> (7,); the last gripper counts."""
    turn = Rotation.identity()
    for step in steps:
        turn = Rotation.from_rotvec(step[3:6]) * turn
    return np.concatenate([steps[:, :3].sum(axis=0), turn.as_rotvec(), steps[-1:, 6]])
