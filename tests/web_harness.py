"""Servers behind HTTP for toolman's tests: exchanges and peers that keep all that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripted_server import Request, Server, handshake, serving
from toolman.upstreams.streamable import HttpConnector
from toolman.upstreams.web.client import Client
from toolman.upstreams.web.connection import Broken, Exchange
from toolman.upstreams.web.destination import Destination
from upstream_harness import Events

from toolman import config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from toolman.upstreams.web.peer import HttpPeer
    from toolman.upstreams.web.response import Response

LIMIT = 20.0
"""Seconds for anything that must happen."""

MODERN = "2026-07-28"
DISCOVERED = {
    "supportedVersions": [MODERN],
    "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
    "resultType": "complete",
    "ttlMs": 0,
    "cacheScope": "private",
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "scripted", "version": "1"}},
}


class Heard(Exchange):
    """An exchange that keeps its response."""

    __slots__ = ("body", "done", "response")

    def __init__(self, request: bytes, *, is_repeatable: bool = False) -> None:
        super().__init__(request, is_repeatable=is_repeatable)
        self.response: Response | None = None
        self.body = b""
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def begun(self, response: Response) -> None:
        self.response = response

    def received(self, data: bytes) -> None:
        self.body += data

    def ended(self) -> None:
        self.done.set_result(self.body)

    def failed(self, problem: Broken) -> None:
        self.done.set_exception(problem)

    async def answer(self) -> bytes:
        async with asyncio.timeout(LIMIT):
            return await self.done


@contextlib.asynccontextmanager
async def client(url: str, **settings: Any) -> AsyncIterator[Client]:  # noqa: ANN401 - any setting
    """Give a client for as long as the block runs."""
    found = Client(Destination(config.Http(url=url, **settings)))
    try:
        yield found
    finally:
        await found.close()


def post(found: Client, body: bytes = b"{}", *, is_repeatable: bool = False) -> Heard:
    """Send something."""
    head = found.destination.head(b"POST")
    heard = Heard(b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body), is_repeatable=is_repeatable)
    found.send(heard)
    return heard


def legacy(
    reply: Callable[[Request], object], news: Callable[[Request], object] | None = None
) -> Callable[[Request], object]:
    """Be a server of the legacy era.

    Args:
        reply: Answers whatever is not of the handshake.
        news: Answers the GET of the stream of news, which is refused without.
    """

    def serve(request: Request) -> None:
        if request.method == "server/discover":
            refuse(request, 400, -32601, "Method not found")
        elif request.verb == "GET" and news is not None:
            news(request)
        elif not handshake(request):
            reply(request)

    return serve


def modern(reply: Callable[[Request], object]) -> Callable[[Request], object]:
    """Be a server of the modern era."""

    def serve(request: Request) -> None:
        if request.method == "server/discover":
            request.result(DISCOVERED)
        else:
            reply(request)

    return serve


def refuse(request: Request, status: int, code: int, text: str = "no", **members: object) -> None:
    """Answer with an error."""
    error = {"jsonrpc": "2.0", "id": request.message.get("id"), "error": {"code": code, "message": text, **members}}
    request.answer(status, json.dumps(error).encode())


def no_stream(request: Request) -> bool:
    """Refuse the stream of news, and take the end of the session; tell whether it was one of them."""
    if request.verb in {"GET", "DELETE"}:
        request.answer(405)
    return request.verb in {"GET", "DELETE"}


class Connected:
    """A scripted server, a peer that speaks with it, and what that told."""

    def __init__(self, server: Server, connector: HttpConnector, peer: HttpPeer, events: Events) -> None:
        self.server = server
        self.connector = connector
        self.peer = peer
        self.events = events

    async def asked(self, method: str, count: int = 1) -> Request:
        """Wait for the server to be asked something."""
        return await asyncio.to_thread(self.server.wait_for, method, count)


def configured(
    url: str,
    *,
    kind: str = "http",
    limit: int = 16 << 20,
    start: float = 20.0,
    **settings: Any,  # noqa: ANN401 - any setting
) -> config.Server:
    """Configure a server behind HTTP."""
    upstream = (config.Sse if kind == "sse" else config.Http)(url=url, **settings)
    return config.Server(name="far", upstream=upstream, max_message=limit, timeouts=config.Timeouts(start=start))


@contextlib.asynccontextmanager
async def connected(reply: Callable[[Request], object], **settings: Any) -> AsyncIterator[Connected]:  # noqa: ANN401
    """Serve and connect for as long as the block runs."""
    with serving(reply) as server:
        connector = HttpConnector(configured(server.url, **settings))
        events = Events()
        async with asyncio.timeout(LIMIT):
            peer = await connector.connect(events, b'{"roots":{}}')
        try:
            yield Connected(server, connector, peer, events)
        finally:
            async with asyncio.timeout(LIMIT):
                await peer.close()


OFFICIAL = [sys.executable, str(Path(__file__).parent / "toolman" / "servers" / "official.py")]
"""The command of a server made with the official SDK; the descriptor of its socket comes next."""


@contextlib.asynccontextmanager
async def official(port: int, *habits: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the SDK's server for as long as the block runs. It can be connected to at once."""
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        number = listener.fileno()
        process = await asyncio.create_subprocess_exec(*OFFICIAL, str(number), *habits, pass_fds=(number,))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
