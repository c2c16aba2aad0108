"""The memory of a replay: a ring of slots, each with one observation and, mostly, the step that was taken on it."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from policies.hil_serl.index_set import IndexSet
from policies.hil_serl.layout import ObservationLayout
from policies.hil_serl.replay_batch import ReplayBatch
from policies.hil_serl.transition import ACTION_SIZE, EncodedObservation, MapArray, Step, VectorArray
from tutelage_core.errors import ConfigurationError
from tutelage_core.types import ImageArray

_STEP_BYTES = 8 + 8 + 8 + 8 + 4 + 8 + 4 + ACTION_SIZE * 4 + 1 + 4 + 4 + 1 + 1 + 1 + 1
"""Of one slot, beside its observation; `ReplayArrays.nbytes` is compared with it in the tests."""


def bytes_needed(layout: ObservationLayout, capacity: int) -> int:
    """Return the memory of a replay of so many observations [bytes], before anything is allocated.

    A segment of n steps takes n + 1 observations.
    """
    return capacity * (layout.bytes_per_observation + _STEP_BYTES) + IndexSet.bytes_needed(capacity)


def check_memory(layout: ObservationLayout, capacity: int, limit_bytes: int, name: str) -> int:
    """Return the memory needed [bytes], or refuse it; `name` says whose it is.

    Raises:
        ConfigurationError: it is above the limit; says which capacity would fit.
    """
    needed = bytes_needed(layout, capacity)
    if needed > limit_bytes:
        fits = max(0, limit_bytes // bytes_needed(layout, 1))
        raise ConfigurationError(
            f"{name}: {capacity} observations need {needed / 2**30:.2f} GiB, the limit is {limit_bytes / 2**30:.2f} "
            f"GiB; {fits} observations fit. Lower the capacity, or the maps' views and grid, or raise the limit"
        )
    return needed


class ReplayArrays:
    """Preallocated arrays over slots.

    `serial` tells the slot's place in the order of all observations ever stored, -1 while it is empty. `next_slot` and
    `previous_slot` are explicit: -1 where there is none (yet, or any more).
    """

    def __init__(self, layout: ObservationLayout, capacity: int) -> None:
        """Allocate the memory for `capacity` observations."""
        self.layout = layout
        self.capacity = capacity
        self.maps: dict[str, MapArray] = {c: np.zeros((capacity, *s), np.float16) for c, s in layout.maps.items()}
        self.images: dict[str, ImageArray] = {
            c: np.zeros((capacity, *s, 3), np.uint8) for c, s in layout.images.items()
        }
        self.state: VectorArray = np.zeros((capacity, layout.state_size), np.float32)
        self.serial: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self.next_slot: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self.previous_slot: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self.segment: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self.actor: NDArray[np.int32] = np.full(capacity, -1, np.int32)
        self.index: NDArray[np.int64] = np.full(capacity, -1, np.int64)
        self.fingerprint: NDArray[np.uint32] = np.zeros(capacity, np.uint32)
        self.action: VectorArray = np.zeros((capacity, ACTION_SIZE), np.float32)
        self.gripper: NDArray[np.int8] = np.zeros(capacity, np.int8)
        self.reward: VectorArray = np.zeros(capacity, np.float32)
        self.grasp_penalty: VectorArray = np.zeros(capacity, np.float32)
        self.terminated: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.truncated: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.holds_step: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.source: NDArray[np.int8] = np.zeros(capacity, np.int8)

    @property
    def nbytes(self) -> int:
        """Memory of all arrays [bytes]."""
        named = (v for v in vars(self).values() if isinstance(v, np.ndarray))
        return sum(a.nbytes for a in (*named, *self.maps.values(), *self.images.values()))

    def write_observation(
        self, slot: int, observation: EncodedObservation, actor: int, segment: int, index: int
    ) -> None:
        """Put an observation, and whose it is, into a slot."""
        for camera, array in observation.maps.items():
            self.maps[camera][slot] = array
        for camera, image in observation.images.items():
            self.images[camera][slot] = image
        self.state[slot] = observation.state
        self.actor[slot], self.segment[slot], self.index[slot] = actor, segment, index
        self.holds_step[slot] = False
        self.fingerprint[slot] = self.content_checksum(slot)

    def write_step(self, slot: int, step: Step) -> None:
        """Put what was done on a slot's observation beside it."""
        self.action[slot] = step.action
        self.gripper[slot] = step.gripper
        self.reward[slot] = step.reward
        self.grasp_penalty[slot] = step.grasp_penalty
        self.terminated[slot] = step.terminated
        self.truncated[slot] = step.truncated
        self.source[slot] = step.source
        self.holds_step[slot] = True

    def content_checksum(self, slot: int) -> int:
        """Return the CRC-32 of the slot's observation."""
        crc = zlib.crc32(self.state[slot])
        for arrays in (self.maps, self.images):
            for camera in sorted(arrays):
                crc = zlib.crc32(arrays[camera][slot], crc)
        return crc

    def find(self, actor: int, segment: int) -> NDArray[np.int64]:
        """Return the slots that hold steps of this segment, shape (found,)."""
        return np.flatnonzero((self.segment == segment) & (self.actor == actor) & self.holds_step)

    def gather(
        self, rows: NDArray[np.int64], batch: ReplayBatch, begin: int, rng: np.random.Generator, *, plain_views: bool
    ) -> None:
        """Copy transitions into `batch` from place `begin` on, each array by one indexed read a side.

        Args:
            rows: slots of the steps, each with a next slot, shape (n,).
            batch: where to; fields of the step are written, too.
            begin: first place.
            rng: draws the view of each observation, next observation and camera.
            plain_views: take view 0 everywhere.
        """
        count = len(rows)
        place = slice(begin, begin + count)
        for side, slots in enumerate((rows, self.next_slot[rows])):
            for camera, shape in self.layout.maps.items():
                views = shape[0]
                chosen = slots * views
                if views > 1 and not plain_views:
                    chosen += rng.integers(views, size=count)
                flat = self.maps[camera].reshape(self.capacity * views, *shape[1:])
                np.take(flat, chosen, axis=0, out=batch.both_maps[camera][side, place], mode="clip")
            for camera, images in self.images.items():
                np.take(images, slots, axis=0, out=batch.both_images[camera][side, place], mode="clip")
            batch.both_states[side, place] = self.state[slots]
        batch.action[place] = self.action[rows]
        batch.gripper[place] = self.gripper[rows]
        batch.reward[place] = self.reward[rows]
        batch.grasp_penalty[place] = self.grasp_penalty[rows]
        batch.mask[place] = ~self.terminated[rows]
        batch.source[place] = self.source[rows]
        batch.row[place] = rows
