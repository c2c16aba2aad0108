"""The pages that are connected, and what becomes of what they say. All of it belongs to the server's event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import WebSocket, WebSocketDisconnect

from tutelage.ui import messages
from tutelage.ui.clients import Client, Picture
from tutelage.ui.wheel import Wheel
from tutelage_core.errors import ConfigurationError

MAX_CLIENTS = 16


class Graph(Protocol):
    """What the page needs of a graph. Called from the server's thread; every method returns at once."""

    def watch(self, cameras: frozenset[str]) -> None:
        """Pictures of these cameras are looked at by somebody; of others by nobody."""
        ...

    def stop(self, reason: str) -> None:
        """Stop the arm."""
        ...

    def hand(self, sender: str, asked: messages.HandMessage) -> None:
        """Take what a hand asks for; `sender` is another one for each connection."""
        ...

    def let_go(self, sender: str) -> None:
        """The connection of a hand is lost, or it has given the wheel back: nothing is held any more."""
        ...

    def request(self, request: messages.AnyRequest, author: str, reply: Callable[[bool, str], None]) -> None:
        """Do what is asked; call `reply`, from any thread, with whether it was done and a sentence."""
        ...


@dataclass(frozen=True)
class Welcome:
    """What a page is told first.

    Attributes:
        cameras: their names; pictures carry the number of a name in this list.
        facts: all else that does not change, as JSON can hold it.
    """

    cameras: tuple[str, ...]
    facts: Mapping[str, Any]


class Pages:
    """One driver, all see, anybody stops."""

    def __init__(self, graph: Graph, welcome: Welcome, call: Callable[..., None]) -> None:
        """Hand to `graph` what people ask; `call` runs a function in the event loop, from any thread."""
        self._graph, self._welcome, self._call = graph, welcome, call
        self.clients: dict[Client, WebSocket] = {}
        self.counters: dict[str, int] = {}
        self._wheel = Wheel()
        self._numbers = itertools.count(1)
        self._newest: dict[str, str] = {}

    def count(self, what: str) -> None:
        """Count an event; the counts are published."""
        self.counters[what] = self.counters.get(what, 0) + 1

    def show(self, kind: str, line: str) -> None:
        """Show everybody, also who comes later, the newest line of its kind."""
        self._newest[kind] = line
        for client in self.clients:
            client.show(kind, line)

    def tell(self, line: str) -> None:
        """Tell everybody who is there."""
        for client in self.clients:
            client.say(line)

    def picture(self, picture: Picture) -> None:
        """Show a picture to whoever watches its camera."""
        for client in self.clients:
            client.picture(picture)

    def _tell_who(self) -> None:
        """Tell each page whether it drives, and who does."""
        driver = self._wheel.driver
        name = driver.name if isinstance(driver, Client) else ""
        for client in self.clients:
            facts = {"driver": name, "you": client is driver, "name": client.name, "pages": len(self.clients)}
            client.show("who", json.dumps({"type": "who", **facts}))

    def _rewatch(self) -> None:
        self._graph.watch(frozenset[str]().union(*(client.watched for client in self.clients)))

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one page from its first word to its last."""
        if len(self.clients) >= MAX_CLIENTS:
            self.count("refused_requests")
            await websocket.close(4429)
            return
        await websocket.accept()
        client = Client(f"page {next(self._numbers)}", self._welcome.cameras)
        self.clients[client] = websocket
        client.say(json.dumps({"type": "welcome", "cameras": self._welcome.cameras, **self._welcome.facts}))
        for kind, line in self._newest.items():
            client.show(kind, line)
        self._wheel.ask(client)  # who is alone need not ask
        self._tell_who()
        sender = asyncio.create_task(self._send(client, websocket))
        try:
            while (message := await websocket.receive())["type"] != "websocket.disconnect":
                self._take(client, message.get("text") or "")
        finally:
            sender.cancel()
            self._leave(client)
            del self.clients[client]
            self._tell_who()
            self._rewatch()

    async def _send(self, client: Client, websocket: WebSocket) -> None:
        try:
            while True:
                for part in await client.next():
                    if isinstance(part, str):
                        await websocket.send_text(part)
                    else:
                        await websocket.send_bytes(part)
        except (WebSocketDisconnect, RuntimeError):  # it is gone; whoever reads from it notices
            return

    def _leave(self, client: Client) -> None:
        if self._wheel.leave(client):
            self._graph.let_go(client.name)

    def _take(self, client: Client, text: str) -> None:
        try:
            message = messages.parse(text)
        except ConfigurationError as error:
            self.count("refused_messages")
            client.show("refused", json.dumps({"type": "refused", "message": str(error)[:200]}))
            return
        match message:
            case messages.Stop():
                self.count("stops")
                self._graph.stop(f"{client.name}: {message.reason}" if message.reason else client.name)
            case messages.Watch():
                client.watched = frozenset(message.cameras) & frozenset(self._welcome.cameras)
                self._rewatch()
            case messages.Seen():
                client.seen(message.picture)
            case messages.Ping():
                client.say(json.dumps({"type": "pong", "number": message.number}))
            case messages.Drive():
                self._drive(client, message.want)
            case messages.HandMessage():
                if self._wheel.driver is client:
                    self._graph.hand(client.name, message)
                else:
                    self.count("hands_without_the_wheel")
            case _:
                self._request(client, message)

    def _drive(self, client: Client, want: bool) -> None:
        if not want:
            self._leave(client)
        elif not self._wheel.ask(client):
            self._refuse_driver(client)
        self._tell_who()

    def _refuse_driver(self, client: Client) -> str:
        driver = self._wheel.driver
        why = f"{driver.name} drives" if isinstance(driver, Client) else "nobody drives: take the wheel first"
        client.show("refused", json.dumps({"type": "refused", "message": why}))
        return why

    def _request(self, client: Client, request: messages.AnyRequest) -> None:
        def reply(done: bool, sentence: str) -> None:
            line = json.dumps({"type": "answer", "id": request.id, "done": done, "message": sentence})
            self._call(client.say, line)

        if self._wheel.driver is not client:
            reply(False, self._refuse_driver(client))
            return
        self._graph.request(request, client.name, reply)
