"""A batch of transitions, as plain arrays that torch can take over without a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.transition import ACTION_SIZE, MapArray, VectorArray
from tutelage_core.types import ImageArray


@dataclass(frozen=True)
class ReplayBatch:
    """Transitions in the order in which they were drawn.

    Observations and next observations lie in one array each, first index 0 and 1, so that both can be encoded at once.

    Attributes:
        both_maps: camera name to features, each of a view of its own, shape (2, n, channels, rows, columns), float16.
        both_images: camera name to RGB, shape (2, n, height, width, 3), uint8; in pixel mode.
        both_states: shape (2, n, state_size), float32.
        action: shape (n, 6), float32, [-1, 1].
        gripper: 0 close, 1 hold, 2 open; shape (n,), int8.
        reward: shape (n,), float32, finite.
        grasp_penalty: shape (n,), float32.
        mask: 0 where the step terminated, else 1, truncated steps included: factor of the next value, shape (n,),
            float32.
        source: who drove, see `tutelage_core.types.Source`; shape (n,), int8.
        is_demonstration: drawn from the demonstrations, shape (n,), bool.
        row: place in its buffer, shape (n,), int64.
    """

    both_maps: Mapping[str, MapArray]
    both_images: Mapping[str, ImageArray]
    both_states: VectorArray
    action: VectorArray
    gripper: NDArray[np.int8]
    reward: VectorArray
    grasp_penalty: VectorArray
    mask: VectorArray
    source: NDArray[np.int8]
    is_demonstration: NDArray[np.bool_]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def maps(self) -> dict[str, MapArray]:
        """Features before the action, shape (n, channels, rows, columns) each."""
        return {camera: both[0] for camera, both in self.both_maps.items()}

    @property
    def next_maps(self) -> dict[str, MapArray]:
        """Features after the action."""
        return {camera: both[1] for camera, both in self.both_maps.items()}

    @property
    def images(self) -> dict[str, ImageArray]:
        """Pixels before the action, shape (n, height, width, 3) each."""
        return {camera: both[0] for camera, both in self.both_images.items()}

    @property
    def next_images(self) -> dict[str, ImageArray]:
        """Pixels after the action."""
        return {camera: both[1] for camera, both in self.both_images.items()}

    @property
    def state(self) -> VectorArray:
        """State before the action, shape (n, state_size)."""
        return self.both_states[0]

    @property
    def next_state(self) -> VectorArray:
        """State after the action."""
        return self.both_states[1]


def empty_batch(layout: ObservationLayout, size: int) -> ReplayBatch:
    """Return a batch to be filled; to fill one again and again saves the system the making of its memory."""
    return ReplayBatch(
        both_maps={c: np.empty((2, size, *shape[1:]), np.float16) for c, shape in layout.maps.items()},
        both_images={c: np.empty((2, size, *shape, 3), np.uint8) for c, shape in layout.images.items()},
        both_states=np.empty((2, size, layout.state_size), np.float32),
        action=np.empty((size, ACTION_SIZE), np.float32),
        gripper=np.empty(size, np.int8),
        reward=np.empty(size, np.float32),
        grasp_penalty=np.empty(size, np.float32),
        mask=np.empty(size, np.float32),
        source=np.empty(size, np.int8),
        is_demonstration=np.empty(size, np.bool_),
        row=np.empty(size, np.int64),
    )
