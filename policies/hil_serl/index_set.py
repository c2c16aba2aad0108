"""A set of small integers that can be drawn from uniformly in constant time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from policies.hil_serl.transition import ReplayError


class IndexSet:
    """Members in a dense array, each knowing its place: adding, removing (by swap) and drawing are O(1)."""

    def __init__(self, capacity: int) -> None:
        """Make an empty set for members in [0, capacity)."""
        self._members = np.zeros(capacity, np.int64)
        self._place = np.full(capacity, -1, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, member: int) -> bool:
        return bool(self._place[member] >= 0)

    @staticmethod
    def bytes_needed(capacity: int) -> int:
        """Return its memory [bytes]."""
        return 16 * capacity

    @property
    def members(self) -> NDArray[np.int64]:
        """All members, in no order of note, shape (count,); a copy."""
        return self._members[: self._count].copy()

    def set(self, member: int, *, present: bool) -> None:
        """Put `member` in, or take it out; nothing happens where that is so already."""
        place = int(self._place[member])
        if present and place < 0:
            self._members[self._count] = member
            self._place[member] = self._count
            self._count += 1
        elif not present and place >= 0:
            self._count -= 1
            last = int(self._members[self._count])
            self._members[place] = last
            self._place[last] = place
            self._place[member] = -1

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return `count` members, drawn uniformly and with replacement, shape (count,).

        Raises:
            ReplayError: the set is empty.
        """
        if self._count == 0:
            raise ReplayError("nothing to draw from")
        return self._members[rng.integers(self._count, size=count)]
