"""The web server of the page: one thread with an event loop of its own, beside whatever feeds it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from tutelage.ui import messages
from tutelage.ui.access import COOKIE, Access
from tutelage.ui.clients import Picture
from tutelage.ui.library import Library
from tutelage.ui.pages import Graph, Pages, Welcome
from tutelage_core.errors import TutelageError

PAGE_FOLDER = Path(__file__).parent / "page"
PING_S = 2.0
"""A page that answers no ping for twice as long is gone [s]; what its hand held went long before."""

START_S = 10.0
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PageServer:
    """Serves the page, passes on what it shows, and hands what people ask to the graph."""

    def __init__(self, access: Access, graph: Graph, welcome: Welcome, library: Library) -> None:
        """Prepare a server; `start` opens it."""
        self._access, self._library = access, library
        self._pages = Pages(graph, welcome, self._call)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def counters(self) -> dict[str, int]:
        """What was refused and asked, and how often."""
        return self._pages.counters

    @property
    def clients(self) -> int:
        """How many pages are connected."""
        return len(self._pages.clients)

    @property
    def dropped(self) -> int:
        """Pictures that connected pages were too slow for."""
        return sum(client.dropped for client in list(self._pages.clients))

    # what is shown; from any thread

    def show(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Show the newest state of something to everybody, also to who comes later."""
        line = json.dumps({"type": kind, **facts}, allow_nan=False, separators=(",", ":"))
        self._call(self._pages.show, kind, line)

    def tell(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Tell everybody who is there something that has happened."""
        line = json.dumps({"type": kind, **facts}, allow_nan=False, separators=(",", ":"))
        self._call(self._pages.tell, line)

    def picture(self, picture: Picture) -> None:
        """Show a picture to whoever watches its camera."""
        self._call(self._pages.picture, picture)

    # begin and end

    def start(self) -> None:
        """Open the server and return once it answers.

        Raises:
            TutelageError: the address is taken or not this machine's.
        """
        family = socket.AF_INET6 if ":" in self._access.host else socket.AF_INET
        door = socket.socket(family, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((self._access.host, self._access.port))
        except OSError as error:
            door.close()
            raise TutelageError(
                f"no page at {self._access.host}:{self._access.port}: {error.strerror}; end the program that has this "
                "port, or choose another one with the parameter port"
            ) from error
        config = uvicorn.Config(
            self._app(),
            log_level="warning",
            lifespan="off",
            ws_max_size=messages.MAX_MESSAGE_BYTES,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PING_S,
            ws_per_message_deflate=False,  # pictures are compressed already
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        opened = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(door, opened), name="page", daemon=True)
        self._thread.start()
        if not opened.wait(START_S):
            raise TutelageError(f"the page's server did not start within {START_S:g} s")

    def close(self) -> None:
        """Let everybody go and end the server."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=5.0)
        self._server = self._thread = None

    def _run(self, door: socket.socket, opened: threading.Event) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._loop.call_soon(opened.set)
            if self._server is not None:
                await self._server.serve(sockets=[door])

        try:
            asyncio.run(serve())
        finally:
            self._loop = None
            door.close()

    # the event loop's side

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:  # it has just been closed: nobody is left to tell
                return

    def _app(self) -> FastAPI:
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

        @app.middleware("http")
        async def guard(request: Request, call_next: Any) -> Response:
            token = request.query_params.get("token") or request.cookies.get(COOKIE, "")
            status, why = self._access.objection(request.headers, token)
            if status:
                self._pages.count("refused_requests")
                return PlainTextResponse(why + "\n", status)
            if "token" in request.query_params:  # out of the address line, into a cookie that no script can read
                answer: Response = RedirectResponse(request.url.path)
                answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            else:
                answer = await call_next(request)
            answer.headers.update(HEADERS)
            return answer

        @app.exception_handler(TutelageError)
        async def explain(_: Request, error: TutelageError) -> Response:
            return JSONResponse({"error": str(error)}, 404)

        app.add_api_websocket_route("/ws", self._serve)
        app.include_router(self._library.router())
        app.mount("/", StaticFiles(directory=PAGE_FOLDER, html=True))
        return app

    async def _serve(self, websocket: WebSocket) -> None:
        token = websocket.query_params.get("token") or websocket.cookies.get(COOKIE, "")
        status, _ = self._access.objection(websocket.headers, token)
        if status:
            self._pages.count("refused_requests")
            await websocket.close(4403)
            return
        await self._pages.serve(websocket)
