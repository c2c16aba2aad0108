"""A server on loopback that speaks chat completions: it answers from the pixels that it is sent, or misbehaves."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import numpy as np

Behaviour = Callable[["Handler", dict[str, Any]], None]


@dataclass
class VlmServer:
    """What is served.

    Attributes:
        url: base address for a client.
        requests: what was asked, in order.
        headers: of each request.
        script: how the next requests are met; once it is over, from the pixels.
    """

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    script: list[Behaviour] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    """Meets one request."""

    protocol_version = "HTTP/1.1"
    state: VlmServer

    def do_POST(self) -> None:
        """Note the request and do what the script says."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.requests.append(request)
        self.state.headers.append(dict(self.headers))
        behaviour = self.state.script.pop(0) if self.state.script else from_pixels
        try:
            behaviour(self, request)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def send(self, code: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        """Send a whole answer, or one that claims another length than it has."""
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if length is not None:
            self.close_connection = True


def pictures(request: dict[str, Any]) -> list[np.ndarray]:
    """Return the pictures of a request, RGB."""
    found = []
    for part in request["messages"][0]["content"]:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].partition("base64,")[2])
            found.append(cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    return found


def completion(text: object, finish_reason: str = "stop", **usage: int) -> bytes:
    """Return the body of an answer with these words."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def from_pixels(handler: Handler, request: dict[str, Any]) -> None:
    """Say which colour most of the first picture has, and how much."""
    mean = pictures(request)[0].reshape(-1, 3).mean(axis=0) / 255.0
    colour = ("red", "green", "blue")[int(mean.argmax())]
    text = json.dumps({"colour": colour, "share": round(float(mean.max()), 3)})
    handler.send(200, completion(text, prompt_tokens=1_000, completion_tokens=20))


def says(text: object, **more: Any) -> Behaviour:
    """Answer with these words."""
    return lambda handler, _: handler.send(200, completion(text, **more))


def code(number: int, body: bytes = b"{}", **headers: str) -> Behaviour:
    """Answer with this code."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.send(number, body, named)


def raw(body: bytes, length: int | None = None) -> Behaviour:
    """Answer with these bytes, claiming a length."""
    return lambda handler, _: handler.send(200, body, length=length)


def hangs(handler: Handler, request: dict[str, Any]) -> None:
    """Send nothing until the server ends."""
    handler.state.over.wait(30.0)
    handler.close_connection = True


def trickles(handler: Handler, request: dict[str, Any]) -> None:
    """Send a byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.state.over.is_set():
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.02)


@contextmanager
def vlm_server(*script: Behaviour) -> Iterator[VlmServer]:
    """Serve on loopback while the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = VlmServer(f"http://127.0.0.1:{server.server_address[1]}/v1", script=list(script))
    server.RequestHandlerClass = type("Bound", (Handler,), {"state": state})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
