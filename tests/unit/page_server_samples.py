"""A page's server beside a graph that only writes down what it is asked."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tutelage.ui import messages
from tutelage.ui.access import Access
from tutelage.ui.library import Library
from tutelage.ui.pages import Welcome
from tutelage.ui.server import PageServer

LIMIT_S = 20.0
TOKEN = "abcdefgh12345678"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class NotedGraph:
    """Notes every call, and answers requests at once."""

    def __init__(self) -> None:
        self.watched: list[frozenset[str]] = []
        self.stops: list[str] = []
        self.hands: list[tuple[str, messages.HandMessage]] = []
        self.gone: list[str] = []
        self.requests: list[messages.AnyRequest] = []

    def watch(self, cameras: frozenset[str]) -> None:
        self.watched.append(cameras)

    def stop(self, reason: str) -> None:
        self.stops.append(reason)

    def hand(self, sender: str, asked: messages.HandMessage) -> None:
        self.hands.append((sender, asked))

    def let_go(self, sender: str) -> None:
        self.gone.append(sender)

    def request(self, request: messages.AnyRequest, author: str, reply: Callable[[bool, str], None]) -> None:
        self.requests.append(request)
        reply(True, f"for {author}")


class Page:
    """One connected page that reads in a thread of its own."""

    def __init__(self, socket_: ClientConnection) -> None:
        self._socket = socket_
        self.lines: list[dict[str, Any]] = []
        self.pictures: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def say(self, **message: Any) -> None:
        self.raw(json.dumps(message))

    def raw(self, text: str | bytes) -> None:
        self._socket.send(text)

    def wait(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the newest line that fits, once there is one."""
        return until(lambda: next((line for line in reversed(self.lines) if fits(line)), None))

    def kind(self, name: str) -> dict[str, Any]:
        return self.wait(lambda line: line["type"] == name)

    def close(self) -> None:
        self._socket.close()
        self._thread.join(LIMIT_S)

    def _read(self) -> None:
        with suppress(ConnectionClosed):
            for message in self._socket:
                if isinstance(message, str):
                    self.lines.append(json.loads(message))
                else:
                    self.pictures.append(message)


class Served:
    """A server that runs, its graph, and pages of it."""

    def __init__(self, access: Access, folder: Path) -> None:
        self.graph = NotedGraph()
        self.access = access
        self.server = PageServer(access, self.graph, Welcome(("front", "wrist"), {"robot": "twin"}), Library(folder))
        self.pages: list[Page] = []
        self.connections = ExitStack()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.access.port}"

    def connect(self, query: str = "", port: int = 0, **options: Any) -> ClientConnection:
        address = f"127.0.0.1:{port or self.access.port}"
        return self.connections.enter_context(connect(f"ws://{address}/ws{query}", **options))

    def page(self, query: str = "", port: int = 0, **options: Any) -> Page:
        page = Page(self.connect(query, port, **options))
        self.pages.append(page)
        page.kind("who")
        return page


@contextmanager
def served(folder: Path, token: str = "") -> Iterator[Served]:
    made = Served(Access(port=free_port(), token=token), folder)
    made.server.start()
    try:
        yield made
    finally:
        for page in made.pages:
            page.close()
        made.server.close()
        made.connections.close()


def read_to_the_end(connection: ClientConnection) -> None:
    """Read until the other side ends the connection, which it has to."""
    try:
        while True:
            connection.recv(timeout=LIMIT_S)
    except ConnectionClosed:
        return


def until(seen: Callable[[], Any]) -> Any:
    """Return what `seen` returns once it is something."""
    end = time.monotonic() + LIMIT_S
    while not (found := seen()):
        assert time.monotonic() < end, "not within the limit"
        time.sleep(0.005)
    return found
