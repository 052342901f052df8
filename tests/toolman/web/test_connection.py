from __future__ import annotations

import asyncio

import pytest
from toolman.upstreams.web import connection as module
from toolman.upstreams.web.connection import Connection, Exchange

pytestmark = pytest.mark.requirement("T-20")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.did: list[str] = []
        self.resumed = asyncio.Event()
        self.is_closed = False

    def pause_reading(self) -> None:
        self.did.append("pause")

    def resume_reading(self) -> None:
        self.did.append("resume")
        self.resumed.set()

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take it."""


class Pool:
    def release(self, connection: Connection) -> None:
        """Take it back."""

    def lost(self, connection: Connection) -> None:
        """Forget it."""

    def repeat(self, exchange: Exchange) -> None:
        """Send it again."""


class Silent(Exchange):
    def begun(self, response: object) -> None:
        """Hear nothing."""

    def received(self, body: bytes) -> None:
        """Hear nothing."""


def streaming() -> tuple[Connection, Transport]:
    found, transport = Connection(Pool()), Transport()
    found.connection_made(transport)
    found.start(Silent(b"", is_repeatable=False))
    return found, transport


async def test_a_server_that_floods_leaves_others_as_much_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 0.0)
    found, transport = streaming()
    found.data_received(HEAD + b"data: x\n\n")
    assert transport.did == ["pause"]
    async with asyncio.timeout(10):
        await transport.resumed.wait()
    assert transport.did == ["pause", "resume"]


async def test_one_that_does_not_is_read_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 60.0)
    found, transport = streaming()
    found.data_received(HEAD + b"data: x\n\n")
    assert transport.did == []


async def test_a_connection_that_is_closed_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN", 0.0)
    found, transport = streaming()
    found.data_received(HEAD)
    transport.is_closed = True
    await asyncio.sleep(0.0)
    found._read_on()
    found.data_received(b"data: x\n\n")
    assert transport.did == ["pause"]


async def test_a_connection_that_the_server_has_ended_takes_no_request_any_more() -> None:
    connection, transport = streaming()
    connection.eof_received()
    assert transport.is_closed  # at once: TLS would say farewell for a while first
