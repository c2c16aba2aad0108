"""A real browser without a window, and a wire to it that can be cut; the page's tests use both."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from tutelage_core.errors import ConfigurationError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""No calls home, and none of what a container forbids."""


def find_browser() -> str:
    """Return the path of a browser of the system.

    Raises:
        ConfigurationError: there is none.
    """
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        raise ConfigurationError(f"none of {', '.join(BROWSERS)} is installed: install one, or run scripts/setup")
    return path


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a browser of the system, and end it."""
    from playwright.sync_api import sync_playwright

    path = find_browser()
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield made
        made.close()


class Wire:
    """A wire between page and server that can be cut: bytes are then taken and go nowhere, as in a lost network."""

    def __init__(self, port: int) -> None:
        """Lead to `port` of this machine."""
        self._to = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._cut = threading.Event()
        self._open = [self._door]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through any more; no connection is closed."""
        self._cut.set()

    def mend(self) -> None:
        """Let everything through again; what was lost stays lost, so the connections of before are ended."""
        self._cut.clear()
        for connection in self._open[1:]:
            connection.close()
        del self._open[1:]

    def close(self) -> None:
        """Close all."""
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                page, _ = self._door.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:  # nobody listens now
                page.close()
                continue
            self._open += [page, server]
            for source, target in ((page, server), (server, page)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with closing(source), closing(target):
            try:
                while data := source.recv(65536):
                    if not self._cut.is_set():
                        target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                return
