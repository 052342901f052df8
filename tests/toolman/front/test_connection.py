from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
from front_harness import META, Client, Running, eventually, post, running
from hypothesis import given
from hypothesis import strategies as st
from toolman.front import connection, population

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.requirement("T-32")

INITIALIZE = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-11-25"}}
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
MODERN = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "x"}


@pytest.fixture
async def front() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


@pytest.fixture
async def client(front: Running) -> AsyncIterator[Client]:
    async with front.client() as found:
        yield found


def request(number: int, method: str = "x", **headers: str) -> bytes:
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": {"_meta": META}}
    return post(body, {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method, **headers})


async def test_one_connection_carries_one_request_after_the_other(client: Client) -> None:
    for number in range(3):
        client.send(request(number))
        assert (await client.read()).json()["id"] == number


async def test_requests_sent_ahead_are_answered_in_order_one_at_a_time(front: Running, client: Client) -> None:
    client.send(request(1, "hold") + request(2) + request(3, "hold") + request(4) + NOWHERE)
    await eventually(lambda: front.core.held)
    assert len(front.core.asked) == 1
    front.core.held[0][2].finish(jsonrpc.result(b"1"))
    await eventually(lambda: len(front.core.held) == 2)
    client.send(request(5))
    front.core.held[1][2].finish(jsonrpc.result(b"3"))
    answers = [await client.read() for _ in range(6)]
    assert [answer.json().get("id") for answer in answers] == [1, 2, 3, 4, None, 5]
    assert answers[4].status == 404


async def test_a_connection_that_is_to_be_closed_is_closed_after_its_answer(client: Client) -> None:
    client.send(request(1, Connection="close") + request(2))
    answer = await client.read()
    assert answer.json()["id"] == 1
    assert answer.headers["connection"] == "close"
    assert await client.ends() == b""


async def test_http_1_0_is_answered_and_its_streams_are_not_chunked(front: Running, client: Client) -> None:
    client.send(request(1, "hold").replace(b"HTTP/1.1", b"HTTP/1.0"))
    await eventually(lambda: front.core.held)
    reply = front.core.held[0][2]
    reply.note(b'{"note":1}')
    reply.finish(jsonrpc.result(b"{}"))
    answer = await client.read()
    assert answer.headers["connection"] == "close"
    assert "transfer-encoding" not in answer.headers
    events = await client.ends()
    assert events.startswith(b'event: message\ndata: {"note":1}\n\n')
    assert events.count(b"\n\n") == 2


async def test_a_client_may_wait_for_a_word_before_it_sends_the_body(client: Client) -> None:
    head, _, body = request(1, Expect="100-continue").partition(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert (await client.read(has_body=False)).status == 100
    client.send(body)
    assert (await client.read()).status == 200


async def test_a_body_that_is_too_big_is_refused_before_it_is_sent(front: Running, client: Client) -> None:
    front.configure(max_body=1024)
    client.send(post(b"x" * 1025, {"Expect": "100-continue"}).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert (await client.read()).status == 413
    assert await client.ends() == b""


async def test_who_sends_a_body_that_is_too_big_gets_to_read_the_refusal(front: Running, client: Client) -> None:
    front.configure(max_body=1024)
    client.send(post(b"x" * 8_000_000))
    answer = await client.read()
    assert answer.status == 413
    assert "1024 bytes" in answer.json()["error"]["message"]
    assert await client.ends() == b""
    client.writer.close()
    await eventually(lambda: not front.connections._slow)


async def test_a_chunked_body_that_is_too_big_is_refused_on_the_way(front: Running, client: Client) -> None:
    front.configure(max_body=1024)
    head = post(b"", {"Content-Length": "absent", "Transfer-Encoding": "chunked"})
    client.send(head + b"400\r\n" + b"x" * 1024 + b"\r\n1\r\nx\r\n")
    assert (await client.read()).status == 413


async def test_what_is_no_http_is_refused_and_the_connection_ends(client: Client) -> None:
    client.send(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await client.read()).status == 400
    assert await client.ends() == b""


async def test_an_idle_connection_is_closed_after_a_quarter_of_an_hour(front: Running, client: Client) -> None:
    client.send(NOWHERE)
    await client.read()
    front.pass_time(population.KEEP_ALIVE - 1)
    client.send(NOWHERE)
    await client.read()
    front.pass_time(population.KEEP_ALIVE)
    assert await client.ends() == b""


async def test_a_slow_head_and_a_slow_body_time_out(front: Running) -> None:
    async with front.client() as head, front.client() as body:
        head.send(b"GET /mcp HT")
        body.send(request(1)[:-1])
        await eventually(lambda: len(front.connections._slow) == 2)
        front.pass_time(population.HEAD_TIME)
        assert (await head.read()).status == 408
        assert await head.ends() == b""
        front.pass_time(population.BODY_TIME - population.HEAD_TIME)
        assert (await body.read()).status == 408
        assert await body.ends() == b""


async def test_a_request_that_stays_incomplete_does_not_cost_the_one_before_it_its_answer(
    front: Running, client: Client
) -> None:
    client.send(request(1, "hold", Accept="application/json") + b"POST /mcp")
    await eventually(lambda: front.core.held)
    front.pass_time(population.HEAD_TIME)
    front.core.held[0][2].finish(jsonrpc.result(b"{}"))
    assert (await client.read()).json()["id"] == 1
    assert await client.ends() == b""


async def test_the_idlest_connection_makes_room_and_the_one_that_is_served_stays(front: Running) -> None:
    front.configure(max_connections=2)
    async with front.client() as busy, front.client() as idle:
        busy.send(request(1, "hold"))
        idle.send(NOWHERE)
        await idle.read()
        await eventually(lambda: front.core.held)
        async with front.client() as third:
            third.send(request(2, "hold"))
            assert await idle.ends() == b""
            await eventually(lambda: len(front.core.held) == 2)
            async with front.client() as fourth:
                refused = await fourth.read()
                assert refused.status == 503
                assert refused.headers["retry-after"] == "1"
                assert await fourth.ends() == b""
            for _, _, reply in front.core.held:
                reply.finish(jsonrpc.result(b"{}"))
            assert (await busy.read()).status == (await third.read()).status == 200


async def test_a_flood_of_silent_and_half_sent_connections_keeps_nobody_out(front: Running) -> None:
    front.configure(max_connections=20)
    async with contextlib.AsyncExitStack() as stack:
        for number in range(100):
            attacker = await stack.enter_async_context(front.client())
            if number % 2:
                attacker.send(b"POST /mcp HTTP/1.1\r\nHost: local")
        async with front.client() as client:
            client.send(request(1))
            assert (await client.read()).status == 200
        assert len(front.connections) <= 20


async def test_who_does_not_read_its_notes_loses_its_connection(front: Running, client: Client) -> None:
    client.send(request(1, "hold"))
    await eventually(lambda: front.core.held)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a transport that reads
    reply = front.core.held[0][2]
    note = b'{"x":"%b"}' % (b"x" * 100_000)
    sent = 0
    while reply.note(note):
        sent += len(note)
        await asyncio.sleep(0)
        assert sent < 100 * connection.MAX_UNREAD
    assert front.core.cancelled == [1]


async def test_a_big_result_is_written_whole_to_who_reads_slowly(front: Running, client: Client) -> None:
    client.send(request(1, "hold"))
    await eventually(lambda: front.core.held)
    value = json.dumps("x" * 10_000_000).encode()
    front.core.held[0][2].finish(jsonrpc.result(value))
    assert (await client.read()).json()["result"] == json.loads(value)


async def test_an_error_of_ours_is_answered(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.send(request(1, "bug"))
    assert (await client.read()).status == 500
    assert await client.ends() == b""
    assert "ZeroDivisionError" in caplog.text


async def test_when_it_is_told_to_end_it_ends_after_its_answer(front: Running) -> None:
    async with front.client() as idle, front.client() as busy:
        idle.send(NOWHERE)
        await idle.read()
        busy.send(request(1, "hold"))
        await eventually(lambda: front.core.held)
        for member in tuple(front.connections._all):
            cast("connection.Connection", member).shutdown()
        assert await idle.ends() == b""
        front.core.held[0][2].finish(jsonrpc.result(b"{}"))
        assert (await busy.read()).headers["connection"] == "close"
        assert await busy.ends() == b""


async def test_a_caller_that_is_refused_is_not_read(front: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front.doorkeeper, "admits", lambda _: False)
    with socket.create_connection(("127.0.0.1", front.port), 10) as caller:
        assert await asyncio.to_thread(_last_word, caller) == b""
    assert len(front.connections) == 0


def _last_word(caller: socket.socket) -> bytes:
    try:
        return caller.recv(100)
    except ConnectionResetError:
        return b""


class Transport:
    """Takes what is written, and closes at once."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        self.written = bytearray()
        self.is_closed = self.has_ended = False

    def write(self, data: bytes) -> None:
        assert not self.is_closed
        assert not self.has_ended
        self.written += data

    def writelines(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self.write(piece)

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.protocol.connection_lost(None)

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def get_extra_info(self, name: str) -> Any:  # noqa: ANN401
        return {"sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)}.get(name)

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


_PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([request(1), request(2), NOWHERE, request(3)[:50], b"\r\n", b"POST /mcp HTTP/1.1\r\n", b"{"]),
)


@given(st.lists(_PIECES, max_size=12))
def test_whatever_comes_in_nothing_raises_and_the_connection_lives_or_ends(pieces: list[bytes]) -> None:
    found = Running()
    protocol = found.protocol()
    transport = Transport(protocol)
    protocol.connection_made(cast("asyncio.Transport", transport))
    for piece in pieces:
        if not transport.is_closed:
            protocol.data_received(piece)
    is_midway = protocol in found.connections._slow and not transport.has_ended
    found.pass_time(population.HEAD_TIME)
    found.pass_time(population.BODY_TIME)
    if not is_midway and not transport.has_ended and not transport.is_closed:
        before = len(transport.written)
        protocol.data_received(request(9))
        assert b'"id":9' in transport.written[before:]
    found.pass_time(population.KEEP_ALIVE)
    assert transport.is_closed
    assert len(found.connections) == 0
    assert not found.connections._slow
