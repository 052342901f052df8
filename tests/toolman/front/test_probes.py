from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from toolman.front import population, probes
from toolman.front.population import Population
from toolman.front.runner import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.requirement("T-30")

LIMIT = 10.0
PROBE = b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class More:
    """Answers each piece of data with what it was."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.is_told = self.is_lost = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_lost = True

    def data_received(self, data: bytes) -> None:
        self.taken.append(data)
        assert self.transport is not None
        self.transport.write(b"took %d\n" % len(data))

    def pause_writing(self) -> None:
        """Nothing is to be held back."""

    def resume_writing(self) -> None:
        """Nothing was held back."""

    def shutdown(self) -> None:
        self.is_told = True
        assert self.transport is not None
        self.transport.close()


class Port:
    def __init__(self) -> None:
        self.is_serving = True
        self.is_broken = False
        self.now = 0.0
        self.loaded = asyncio.Event()
        self.loaded.set()
        self.handlers: list[More] = []
        self.connections = Population(lambda: self.now, lambda *_: None)
        shared = probes.Probes(lambda: self.is_serving, self.more, self.connections)
        self.server = Server(lambda: probes.Connection(shared), self.connections)
        self.socket = socket.create_server(("127.0.0.1", 0))

    async def more(self) -> probes.Handler:
        await self.loaded.wait()
        if self.is_broken:
            raise ImportError("no such module")
        self.handlers.append(More())
        return self.handlers[-1]

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.socket.getsockname())

    async def ask(self, data: bytes) -> bytes:
        reader, writer = await self.open()
        with contextlib.closing(writer):
            writer.write(data)
            return await asyncio.wait_for(reader.read(), LIMIT)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    found = Port()
    serving = asyncio.create_task(found.server.serve([found.socket]))
    yield found
    found.server.end()
    await asyncio.wait_for(serving, LIMIT)


async def test_probes_need_nothing_that_would_have_to_be_loaded(port: Port) -> None:
    for path in (b"livez", b"readyz"):
        answer = await port.ask(PROBE % path)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nok\n")
    assert not port.handlers


async def test_who_is_not_ready_any_more_is_still_alive(port: Port) -> None:
    port.is_serving = False
    assert (await port.ask(PROBE % b"readyz")).startswith(b"HTTP/1.1 503 ")
    assert (await port.ask(PROBE % b"livez")).startswith(b"HTTP/1.1 200 ")


async def test_a_probe_that_comes_in_pieces_is_answered(port: Port) -> None:
    reader, writer = await port.open()
    with contextlib.closing(writer):
        for piece in (b"GET /livez HT", b"TP/1.1\r\nHost: x\r\n", b"\r\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        assert (await asyncio.wait_for(reader.read(), LIMIT)).endswith(b"ok\n")


@pytest.mark.parametrize("line", [b"GET /metrics HTTP/1.1", b"POST /livez HTTP/1.1", b"GET /livez?x HTTP/1.1", b"x"])
async def test_all_else_is_handed_over_with_every_byte_that_came(port: Port, line: bytes) -> None:
    port.loaded.clear()
    reader, writer = await port.open()
    with contextlib.closing(writer):
        writer.write(line + b"\r\n\r\nbody")
        await writer.drain()
        assert (await port.ask(PROBE % b"livez")).endswith(b"ok\n")  # while the rest is being loaded
        port.loaded.set()
        assert await asyncio.wait_for(reader.readline(), LIMIT) == b"took %d\n" % (len(line) + 8)
        writer.write(b"more")
        assert await asyncio.wait_for(reader.readline(), LIMIT) == b"took 4\n"
    assert port.handlers[0].taken == [line + b"\r\n\r\nbody", b"more"]


async def test_who_cannot_be_served_is_told(port: Port) -> None:
    port.is_broken = True
    assert (await port.ask(PROBE % b"metrics")).startswith(b"HTTP/1.1 500 ")


async def test_headers_without_end_are_refused(port: Port) -> None:
    assert (await port.ask(b"GET /livez HTTP/1.1\r\nX: " + b"x" * probes.MAX_HEAD)).startswith(b"HTTP/1.1 431 ")


async def test_a_request_that_does_not_come_ends_its_connection(port: Port) -> None:
    reader, writer = await port.open()
    with contextlib.closing(writer):
        writer.write(b"GET /livez")
        await writer.drain()
        assert (await port.ask(PROBE % b"livez")).endswith(b"ok\n")
        port.now += population.NEW_TIME
        port.connections.look()
        with contextlib.suppress(ConnectionError):
            assert not await asyncio.wait_for(reader.read(), LIMIT)


async def test_no_number_of_connections_keeps_the_kubelet_out(port: Port) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(probes.MAX_CONNECTIONS + 5):
            _, writer = await port.open()
            stack.callback(writer.close)
            writer.write(PROBE % b"metrics")
        assert (await port.ask(PROBE % b"livez")).endswith(b"ok\n")
        assert len(port.connections) <= probes.MAX_CONNECTIONS


async def test_the_end_waits_for_what_is_being_served(port: Port) -> None:
    reader, writer = await port.open()
    with contextlib.closing(writer):
        writer.write(PROBE % b"metrics")
        await asyncio.wait_for(reader.readline(), LIMIT)
        port.server.end()
        assert not await asyncio.wait_for(reader.read(), LIMIT)
    assert port.handlers[0].is_told


def test_a_sidecar_that_nobody_asks_imports_no_framework() -> None:
    names = "{'random', 'starlette', 'uvicorn'}"
    # What measures coverage may have imported some of them itself.
    found = (
        f"import sys; before = set(sys.modules); import toolman.server; print({names} & sys.modules.keys() - before)"
    )
    done = subprocess.run([sys.executable, "-c", found], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
