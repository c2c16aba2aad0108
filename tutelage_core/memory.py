"""Memory that a process has freed and its C library has kept."""

from __future__ import annotations

import ctypes
import sys

_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
_TRIM = getattr(_LIBC, "malloc_trim", None)


def give_back() -> bool:
    """Return freed memory to the system; True if there was any.

    glibc keeps what lies between pieces that are in use: a process that builds and drops large things again and again
    grows for hours though it loses nothing. It takes a few milliseconds, so it is done between episodes. Where the C
    library has no such call, nothing happens.
    """
    return bool(_TRIM(0)) if _TRIM is not None else False
