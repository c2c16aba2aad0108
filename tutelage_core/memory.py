"""Memory that a process has freed and its C library keeps."""

from __future__ import annotations

import ctypes
import sys

_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
_TRIM = getattr(_LIBC, "malloc_trim", None)
_OPTION = getattr(_LIBC, "mallopt", None)

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Names of glibc's settings, from its `malloc.h`."""

LARGE = 256 * 1024
"""Pieces of this size and larger are asked of the system, and go back to it at once [bytes]."""

KEPT = 1024 * 1024
"""Freed memory at the end of the heap that is kept [bytes]."""

ARENAS = 2
"""Heaps of a process; each thread takes one of them."""


def hold_steady() -> bool:
    """Keep the C library's habits what they are now, in a process that runs for days; True if it has such settings.

    glibc learns: each large piece that is freed raises the size from which on pieces are large, up to 32 MB, and what
    is not large stays in its heap, between others. A process that builds and drops a scene for each episode grows by
    tens of MB in an hour that way. Call it before anything large is asked for.
    """
    if _OPTION is None:
        return False
    settings = ((_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, KEPT), (_ARENA_MAX, ARENAS))
    taken = [_OPTION(name, value) for name, value in settings]
    return all(taken)


def give_back() -> bool:
    """Return freed memory to the system; True if there was any.

    glibc keeps what lies between pieces that are in use: a process that builds and drops large things again and again
    grows for hours though it loses nothing. It takes a few milliseconds, so it is done between episodes. Where the C
    library has no such call, nothing happens.
    """
    return bool(_TRIM(0)) if _TRIM is not None else False
