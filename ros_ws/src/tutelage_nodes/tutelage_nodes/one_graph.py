"""One graph in a ROS domain: a second node of the same name is refused when it starts."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

from rclpy.node import Node

from tutelage_core.errors import TutelageError

DISCOVERY_S = 0.5
"""How long a starting node looks for another one of its name on other machines [s]."""

DISCOVERY_LOOK_S = 0.1


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
        folder = Path(tempfile.gettempdir()) / f"tutelage-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        name = node.get_fully_qualified_name().replace("/", ".")
        self._file = (folder / f"domain-{self._domain}{name}.lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
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
