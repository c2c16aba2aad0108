"""What waits to be sent to one page. A page that is slow loses pictures, and nobody else does."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_UNSEEN = 2
"""Pictures of one camera that may be on their way to a page before it has said that it shows them."""

MAX_LINES = 2000
"""Answers and points of curves that may wait for a page; a page that is so far behind loses the oldest."""

PICTURE_HEAD = struct.Struct("<BBHId")
"""Kind (1), camera's number, 0, picture's number, stamp [s]; the JPEG follows."""


@dataclass(frozen=True)
class Picture:
    """One picture of a camera.

    Attributes:
        camera: name of it.
        stamp_s: when it was taken, on the clock of the graph's data [s].
        jpeg: the picture.
    """

    camera: str
    stamp_s: float
    jpeg: bytes


@dataclass(eq=False)
class Client:
    """One page. All methods belong to the server's event loop.

    Attributes:
        name: as which others know it.
        cameras: names of all cameras, in the order of their numbers.
        watched: cameras that the page shows.
        dropped: pictures that were never sent to it, because it was slow.
    """

    name: str
    cameras: Sequence[str]
    watched: frozenset[str] = frozenset()
    dropped: int = 0
    _lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=MAX_LINES))
    _newest: dict[str, str] = field(default_factory=dict[str, str])
    _pictures: dict[str, Picture] = field(default_factory=dict[str, Picture])
    _unseen: dict[int, str] = field(default_factory=dict[int, str])
    _number: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, line: str) -> None:
        """Send a line; none is left out before `MAX_LINES` of them wait."""
        self._lines.append(line)
        self._wake.set()

    def show(self, kind: str, line: str) -> None:
        """Send a line that makes an earlier one of its kind worthless."""
        self._newest[kind] = line
        self._wake.set()

    def picture(self, picture: Picture) -> None:
        """Send a picture if the page shows its camera, in place of one that still waits."""
        if picture.camera not in self.watched:
            return
        self.dropped += picture.camera in self._pictures
        self._pictures[picture.camera] = picture
        self._wake.set()

    def seen(self, number: int) -> None:
        """Note that the page shows a picture: another one may come."""
        if self._unseen.pop(number, None) is not None:
            self._wake.set()

    async def next(self) -> list[str | bytes]:
        """Return what may go out now; wait until there is something."""
        while not (ready := self._take()):
            self._wake.clear()
            await self._wake.wait()
        return ready

    def _take(self) -> list[str | bytes]:
        ready: list[str | bytes] = [*self._lines, *self._newest.values()]
        self._lines.clear()
        self._newest.clear()
        for camera in list(self._pictures):
            if list(self._unseen.values()).count(camera) < MAX_UNSEEN:
                ready.append(self._pack(self._pictures.pop(camera)))
        return ready

    def _pack(self, picture: Picture) -> bytes:
        self._number = (self._number + 1) % 2**32
        self._unseen[self._number] = picture.camera
        number = self.cameras.index(picture.camera)
        return PICTURE_HEAD.pack(1, number, 0, self._number, picture.stamp_s) + picture.jpeg
