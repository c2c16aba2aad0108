"""Who is at work on a folder: a lock that its process holds, and that goes with the process however it ends."""

from __future__ import annotations

import fcntl
import os
from enum import Enum
from pathlib import Path


class Holder(Enum):
    """Whether somebody is at work on a folder; `UNKNOWN` on a file system without locks."""

    NOBODY = "nobody"
    SOMEBODY = "somebody"
    UNKNOWN = "unknown"


class Claim:
    """A folder that this process works on. A rename does not end it; a forked child keeps it until that ends too."""

    def __init__(self, folder: Path) -> None:
        """Claim `folder`, which exists; on a file system without locks nothing is claimed.

        Raises:
            BlockingIOError: somebody else has claimed it.
            OSError: there is no such folder.
        """
        self._descriptor: int | None = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.end()
            raise
        except OSError:
            self.end()

    def end(self) -> None:
        """Let go of the folder. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def holder_of(folder: Path) -> Holder:
    """Return whether somebody has claimed `folder`.

    Raises:
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return Holder.NOBODY
    except BlockingIOError:
        return Holder.SOMEBODY
    except OSError:
        return Holder.UNKNOWN
    finally:
        os.close(descriptor)
