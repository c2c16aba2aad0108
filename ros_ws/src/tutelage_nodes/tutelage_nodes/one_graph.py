"""One graph in a ROS domain: a second node of the same name is refused when it starts."""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import time
from pathlib import Path

from rclpy.node import Node

from tutelage_core.errors import TutelageError

DISCOVERY_S = 0.5
"""How long a starting node looks for another one of its name on other machines [s]."""

DISCOVERY_LOOK_S = 0.1

_LOCK = struct.Struct("hhqqi4x")
"""The kernel's `struct flock` on 64-bit Linux: kind, whence, start, length, owner."""


class DuplicateGraphError(TutelageError):
    """Another graph runs in this ROS domain."""


class NameClaim:
    """Holds a node's name in its domain, for as long as its process lives.

    On one machine a locked file tells at once and for certain; the kernel lets go of it however the process ends.
    Discovery then looks for the name on other machines, as far as it shows within `DISCOVERY_S`.
    """

    def __init__(self, node: Node) -> None:
        """Claim the name of `node`.

        Raises:
            DuplicateGraphError: it is taken.
        """
        self._node = node
        self._domain = os.environ.get("ROS_DOMAIN_ID", "0")
        file = _claim_file(node.get_fully_qualified_name())
        file.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = file.open("w", encoding="utf-8")
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            self._file.close()
            raise self._taken() from None
        self._look_around()

    def _look_around(self) -> None:
        own = (self._node.get_name(), self._node.get_namespace())
        for _ in range(round(DISCOVERY_S / DISCOVERY_LOOK_S)):
            time.sleep(DISCOVERY_LOOK_S)
            if self._node.get_node_names_and_namespaces().count(own) > 1:
                raise self._taken()

    def _taken(self) -> DuplicateGraphError:
        return DuplicateGraphError(
            f"another '{self._node.get_fully_qualified_name()}' runs in ROS domain {self._domain}: "
            "stop that graph first, or choose another domain (ROS_DOMAIN_ID)"
        )


class PeerProcess:
    """Tells at once when another node's process on this machine has ended, however it ended: its claim is gone.

    A claim is looked at, never taken. A node on another machine has none here: nothing is known of it then.
    """

    def __init__(self, name: str) -> None:
        """Watch the node of this fully qualified `name`."""
        self._path = _claim_file(name)
        self._file: int | None = None
        self._was_alive = False

    def has_ended(self) -> bool:
        """Return whether the node was seen alive and its process is gone since."""
        alive = self._is_claimed()
        self._was_alive = self._was_alive or alive
        return self._was_alive and not alive

    def _is_claimed(self) -> bool:
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR)
            asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            return _LOCK.unpack(fcntl.fcntl(self._file, fcntl.F_GETLK, asked))[0] != fcntl.F_UNLCK
        except OSError:
            return False


def _claim_file(name: str) -> Path:
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return Path(tempfile.gettempdir()) / f"tutelage-{os.getuid()}" / f"domain-{domain}{name.replace('/', '.')}.lock"
