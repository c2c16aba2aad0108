"""Where an episode is heading: the pose difference from each frame to the next change of the gripper.

Close to a grasp the expert's step says where the object is; farther off it is held at its limit and says only the
direction. The episode itself knows better: the pose at which the gripper next changed. It needs no label, no simulator
and no calibration, so that everyone's demonstrations have it. (James and Davison 2022 use the same events as
keyframes.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from tutelage_core.contract import state_columns

KEYFRAME_SCALE_M = 0.05
"""A translation of this length counts 1 in the auxiliary loss [m]."""
KEYFRAME_SCALE_RAD = 0.3
"""A rotation of this angle counts 1 in the auxiliary loss [rad]."""


def keyframe_targets(
    state: NDArray[np.floating],
    gripper: NDArray[np.floating],
    episode_of: NDArray[np.integer],
    state_keys: tuple[str, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the scaled pose difference from each frame to its next keyframe, and which of its numbers are known.

    Args:
        state: shape (frames, state_size), the frames of an episode in their order.
        gripper: commanded opening, shape (frames,) [0..1].
        episode_of: episode of each frame, shape (frames,).
        state_keys: keys that `state` is made of, in order.

    Returns:
        Difference, shape (frames, 6): translation / KEYFRAME_SCALE_M, rotation vector / KEYFRAME_SCALE_RAD, base frame.
        Mask of the same shape: the translation is known with `tcp_position`, the rotation with `tcp_rotation_6d`.
    """
    target = next_keyframe(gripper, episode_of)
    difference = np.zeros((len(state), 6), np.float32)
    known = np.zeros((len(state), 6), np.float32)
    columns = state_columns(state_keys)
    if "tcp_position" in columns:
        position = state[:, columns["tcp_position"]]
        difference[:, :3] = (position[target] - position) / KEYFRAME_SCALE_M
        known[:, :3] = 1.0
    if "tcp_rotation_6d" in columns:
        rotation = _matrices(state[:, columns["tcp_rotation_6d"]])
        difference[:, 3:] = _rotation_vectors(rotation[target] @ rotation.transpose(0, 2, 1)) / KEYFRAME_SCALE_RAD
        known[:, 3:] = 1.0
    return difference, known


def next_keyframe(gripper: NDArray[np.floating], episode_of: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return, for each frame, the next frame whose command differs from it (open or closed), or the episode's last."""
    is_open = gripper > 0.5
    target = np.arange(len(gripper))
    for i in range(len(gripper) - 2, -1, -1):
        if episode_of[i] != episode_of[i + 1]:
            continue
        target[i] = i + 1 if is_open[i] != is_open[i + 1] else target[i + 1]
    return target


def _matrices(rotation_6d: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return rotation matrices, shape (n, 3, 3), of their first two columns, shape (n, 6)."""
    x = rotation_6d[:, :3].astype(np.float64)
    y = rotation_6d[:, 3:].astype(np.float64)
    return np.stack([x, y, np.cross(x, y)], axis=2)


def _rotation_vectors(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation vectors [rad], shape (n, 3), of rotation matrices, shape (n, 3, 3)."""
    return Rotation.from_matrix(matrices).as_rotvec()
