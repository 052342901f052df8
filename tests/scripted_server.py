"""A scripted MCP server on real sockets, for the tests of mcp-wrapper.

It is not a good one on purpose: a test says how each request is answered, late, in pieces or not at all.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOUND = 20.0
"""Seconds for anything that must happen: far more than it takes, so that only a hang gets there."""
JSON = "application/json"
EVENTS = "text/event-stream"
SERVER_INFO = {"name": "scripted", "version": "1"}


@dataclass
class Request:
    """One HTTP request as it arrived. ``sock`` is for answers that no method here can give."""

    verb: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    sock: socket.socket
    closed: bool = field(default=False, repr=False)

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.body) if self.body else {}

    @property
    def method(self) -> str:
        return str(self.message.get("method", self.verb if not self.body else "answer"))

    def answer(self, status: int, body: bytes = b"", kind: str = JSON, **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
        if body:
            lines.append(f"Content-Type: {kind}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.raw("\r\n".join([*lines, "", ""]).encode() + body)

    def result(self, result: object, **headers: str) -> None:
        self.answer(200, json.dumps({"jsonrpc": "2.0", "id": self.message["id"], "result": result}).encode(), **headers)

    def open_stream(self) -> None:
        self.raw(f"HTTP/1.1 200 OK\r\nContent-Type: {EVENTS}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())

    def event(self, message: object, extra: str = "") -> None:
        self.chunk(f"{extra}data: {json.dumps(message)}\n\n".encode())

    def chunk(self, data: bytes) -> None:
        self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def end_stream(self) -> None:
        self.raw(b"0\r\n\r\n")

    def raw(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def drop(self) -> None:
        """Close the connection without another byte, by a reset."""
        self.closed = True
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


def handshake(request: Request, session: str = "s1") -> bool:
    """Answer the requests that every session begins and ends with; tell whether this was one of them."""
    if request.verb == "GET":
        request.answer(405)
    elif request.verb == "DELETE":
        request.answer(200)
    elif request.method == "initialize":
        request.result(
            {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {"listChanged": True}},
                "serverInfo": SERVER_INFO,
            },
            Mcp_Session_Id=session,
        )
    elif "id" not in request.message or "method" not in request.message:
        request.answer(202)
    else:
        return False
    return True


class Server:
    """Answers each request with ``reply``, a thread a connection, and keeps what it was asked."""

    def __init__(self, reply: Callable[[Request], object], port: int = 0) -> None:
        self.reply = reply
        self.requests: list[Request] = []
        self._seen = threading.Condition()
        self._listener = self._listen(port)
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _listen(self, port: int) -> socket.socket:
        return socket.create_server(("127.0.0.1", port), backlog=1100)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/mcp"

    def wait_for(self, method: str, count: int = 1) -> Request:
        """Wait for the ``count``-th request of a method (or verb, for GET and DELETE)."""

        def found() -> list[Request]:
            return [request for request in self.requests if request.method == method]

        with self._seen:
            assert self._seen.wait_for(lambda: len(found()) >= count, BOUND), f"no {method}: {self.asked()}"
            return found()[count - 1]

    def asked(self) -> list[str]:
        return [request.method for request in self.requests]

    def close(self) -> None:
        """Stop at once: listening socket and connections alike are gone."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(BOUND)  # so that no connection is accepted behind our back
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(BOUND)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # The reader too: left open, it keeps the socket open.
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as reader:
            while request := _read(reader, connection):
                with self._seen:
                    self.requests.append(request)
                    self._seen.notify_all()
                self.reply(request)
                if request.closed:
                    break
        self._open.discard(connection)


def _read(reader: Any, connection: socket.socket) -> Request | None:  # noqa: ANN401 - what makefile gives
    line = reader.readline()
    if not line:
        return None
    verb, target, _ = line.decode().split(" ")
    headers = []
    while (line := reader.readline().rstrip(b"\r\n")) != b"":
        name, _, value = line.decode().partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return Request(verb, target, headers, reader.read(length), connection)


@contextlib.contextmanager
def serving(reply: Callable[[Request], object], port: int = 0) -> Iterator[Server]:
    """Serve for as long as the block runs."""
    server = Server(reply, port)
    try:
        yield server
    finally:
        server.close()
