"""toolman's HTTP front on real sockets, with a core that does what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any

import msgspec
from toolman.callers import Doorkeeper, Lookup
from toolman.config import Config, Listen, Process, Server
from toolman.front.connection import Connection, Front
from toolman.front.endpoint import Endpoint
from toolman.front.population import Population
from toolman.protocol import legacy, modern
from toolman.sessions import Session, Sessions, Store

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from toolman.exchange import Caller, Reply
    from toolman.front.core import Cancel
    from toolman.jsonrpc import Message, Outcome

LIMIT = 10.0
"""Seconds after which whatever is waited for is taken to have failed."""

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


class Core:
    """Answers at once, or keeps what it was asked until the test answers.

    Attributes:
        held: Requests of ``hold`` that wait, with who asked and where the answer goes.
        heard: Notifications and responses, in order.
        cancelled: Ids of requests that were cancelled.
    """

    def __init__(self) -> None:
        self.held: list[tuple[Caller, Message, Reply]] = []
        self.heard: list[tuple[Caller, Message]] = []
        self.asked: list[tuple[Caller, Message]] = []
        self.cancelled: list[int | str | None] = []
        self.refuses = False

    def request(self, caller: Caller, message: Message, reply: Reply) -> Cancel | None:
        self.asked.append((caller, message))
        if message.method != "hold":
            reply.finish(self._answer(message))
            return None
        self.held.append((caller, message, reply))

        def cancel(_: object) -> None:
            if isinstance(caller, Session):
                caller.inflight.pop(message.key or 0, None)
            self.cancelled.append(message.key)
            reply.finish(jsonrpc.error(-32000, "cancelled"))

        if isinstance(caller, Session):
            caller.inflight[message.key or 0] = cancel
        return cancel

    def _answer(self, message: Message) -> Outcome:
        if message.method == "fail":
            return jsonrpc.error(json.loads(message.params or b"{}")["code"], "failed")
        if message.method == "bad":
            raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, "bad")
        if message.method == "bug":
            raise ZeroDivisionError
        return jsonrpc.result(message.params or b"{}")

    def notification(self, caller: Caller, message: Message) -> None:
        self.heard.append((caller, message))

    def response(self, session: Session, message: Message) -> None:
        self.heard.append((session, message))

    async def initialize(self, session: Session) -> Outcome:
        if self.refuses:
            return jsonrpc.error(-32000, "not now")
        return jsonrpc.result(legacy.initialize_result(session.version, b"{}"))


class Gateway:
    """The configuration in force."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.stateful: set[str | None] = set()

    def is_stateless_for(self, scope: str | None) -> bool:
        return scope not in self.stateful


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Running:
    """A front that is listening.

    Attributes:
        clock: What it takes for the time; :meth:`pass_time` lets some go by.
    """

    def __init__(self, store: Store | None = None, **listen: Any) -> None:  # noqa: ANN401 - the settings' own types
        servers = (Server(name="one", upstream=Process(command=("true",))),)
        self.core = Core()
        self.clock = Clock()
        self.gateway = Gateway(Config(listen=Listen(**listen), servers=servers))
        self.sessions = Sessions(self.clock, 1800.0, store)
        self.connections = Population(self.clock, lambda *_: None)
        self.endpoint = Endpoint(self.core, self.gateway, self.sessions, self.connections, self.clock)
        self.doorkeeper = Doorkeeper(lambda: self.gateway.config.listen.refuse_uids, Lookup(None), self.clock)
        self.front = Front(self.endpoint, self.doorkeeper, self.connections)
        self.port = 0

    def configure(self, **listen: Any) -> None:  # noqa: ANN401
        """Put other settings in force."""
        before = self.gateway.config
        changed = msgspec.structs.replace(before.listen, **listen)
        self.gateway.config = msgspec.structs.replace(before, listen=changed)

    def protocol(self) -> Connection:
        """Make the protocol of one connection."""
        return Connection(front=self.front)

    def pass_time(self, seconds: float) -> None:
        """Let time go by, and look at what is due."""
        self.clock.now += seconds
        self.connections.look()

    async def session(self, version: str = "2025-11-25", path: str = "/mcp") -> str:
        """Open a session; give its id."""
        body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": version}}
        async with self.client() as client:
            answer = await client.post(body, path=path)
        assert answer.status == 200, answer
        return answer.headers["mcp-session-id"]

    def client(self) -> contextlib.AbstractAsyncContextManager[Client]:
        """Connect."""
        return _connected(self.port)


class Answer:
    """A response: status, headers in lower case, and either the whole body or what reads a stream."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"{self.status} {self.headers} {self.body!r}"

    def json(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        return json.loads(self.body)


class Client:
    """One connection that shows what is on the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def read(self, *, has_body: bool = True) -> Answer:
        """Read a response; of a stream only the head."""
        async with asyncio.timeout(LIMIT):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            status = int(first.split()[1])
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            size = int(headers.get("content-length", 0)) if has_body else 0
            return Answer(status, headers, await self.reader.readexactly(size))

    async def event(self) -> dict[str, str]:
        """Read an event of a stream: its fields. Comments are events with the field ``""``."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(LIMIT):
            while line := await self._line():
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
        return fields

    async def message(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """Read the next event that carries a message; give the message."""
        while not (fields := await self.event()).get("data"):
            pass
        return json.loads(fields["data"])

    async def ends(self) -> bytes:
        """Read until the server closes the connection."""
        async with asyncio.timeout(LIMIT):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    _pending = b""

    async def _line(self) -> str:
        while b"\n" not in self._pending:
            size = int(await self.reader.readline(), 16)
            if not size:
                await self.reader.readline()
                raise EOFError
            self._pending += (await self.reader.readexactly(size + 2))[:-2]
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    async def post(
        self, body: object, headers: dict[str, str] | None = None, path: str = "/mcp", *, waits: bool = True
    ) -> Answer:
        """Send a message; give the response."""
        self.send(post(body, headers, path))
        return await self.read() if waits else Answer(0, {}, b"")

    async def call(self, session: str, method: str = "ping", number: int = 1, params: object = None) -> Answer:
        """Send a request of the legacy era."""
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}
        return await self.post(message, {"Mcp-Session-Id": session})

    async def ask(self, method: str, params: dict[str, Any] | None = None, **headers: str) -> Answer:
        """Send a request of the modern era."""
        message, found = enveloped(method, params)
        return await self.post(message, {**found, **{name.replace("_", "-"): text for name, text in headers.items()}})

    async def listen(self, session: str, last: str | None = None) -> Answer:
        """Open a GET stream."""
        resume = "" if last is None else f"Last-Event-ID: {last}\r\n"
        head = f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\n"
        self.send(f"{head}{resume}\r\n".encode())
        return await self.read()


def post(body: object, headers: dict[str, str] | None = None, path: str = "/mcp") -> bytes:
    """Write a POST. A header that is None is left out."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    known = {
        "Host": "localhost",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Content-Length": str(len(data)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**known, **(headers or {})}.items() if value != "absent")
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + data


def enveloped(method: str, params: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """Give a request of the modern era and its headers."""
    inner = {"_meta": META, **(params or {})}
    found = {"MCP-Protocol-Version": modern.VERSION, "Mcp-Method": method}
    name = inner.get(modern.NAMED.get(method, ""))
    if isinstance(name, str):
        found["Mcp-Name"] = modern.encode_header(name)
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": inner}, found


async def eventually(is_so: Callable[[], object]) -> None:
    """Let the loop run until something is so."""
    async with asyncio.timeout(LIMIT):
        while not is_so():  # noqa: ASYNC110 - what is waited for is the loop's own work
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def running(store: Store | None = None, **listen: Any) -> AsyncIterator[Running]:  # noqa: ANN401
    """Run a front on a free port."""
    found = Running(store, **listen)
    server = await asyncio.get_running_loop().create_server(
        functools.partial(Connection, front=found.front), "127.0.0.1"
    )
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for session in found.sessions:
            found.sessions.end(session)
        for member in tuple(found.connections._all):
            member.abort()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def _connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
