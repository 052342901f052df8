from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from scripted_server import Request, serving
from toolman.upstreams import Failure
from toolman.upstreams.web import client as module
from toolman.upstreams.web.connection import Broken
from toolman.upstreams.web.response import MAX_HEAD
from web_harness import LIMIT, Heard, client, post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.requirement("T-02")


@contextlib.asynccontextmanager
async def raw(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """Serve what no scripted server gives: ``serve`` writes what it likes after each request's first line."""

    tasks: set[asyncio.Task[object] | None] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await reader.readuntil(b"\r\n\r\n"):
                await serve(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(accept, host, 0)
    async with server, asyncio.timeout(LIMIT):
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.sockets[0].getsockname()[1]}/mcp"
        server.close()
        await asyncio.gather(*(task for task in tasks if task is not None))


async def flood(writer: asyncio.StreamWriter, data: bytes, total: int) -> None:
    for _ in range(total // len(data)):
        writer.write(data)
        await writer.drain()


async def test_connections_are_used_again() -> None:
    ports = set()

    def reply(request: Request) -> None:
        ports.add(request.sock.getpeername()[1])
        request.answer(200, request.body)

    with serving(reply) as server:
        async with client(server.url) as found:
            for number in range(5):
                assert await post(found, b"%d" % number).answer() == b"%d" % number
    assert len(ports) == 1


async def test_many_requests_at_once_have_a_connection_each() -> None:
    with serving(lambda request: request.answer(200, request.body)) as server:
        async with client(server.url) as found:
            heard = [post(found, b"%d" % number) for number in range(100)]
            assert [await each.answer() for each in heard] == [b"%d" % number for number in range(100)]


async def test_what_is_sent_is_a_plain_http_request_with_the_configured_headers() -> None:
    with serving(lambda request: request.answer(200)) as server:
        async with client(server.url, headers={"X-Key": "k"}) as found:
            await post(found).answer()
            port = server.port
        request = server.requests[0]
    assert (request.verb, request.target) == ("POST", "/mcp")
    assert request.header("host") == f"localhost:{port}"
    assert request.header("x-key") == "k"
    assert request.header("accept-encoding") == "identity"


async def test_a_connection_that_the_server_wants_closed_is_not_used_again() -> None:
    ports = []

    def reply(request: Request) -> None:
        ports.append(request.sock.getpeername()[1])
        request.answer(200, b"x", Connection="close")

    with serving(reply) as server:
        async with client(server.url) as found:
            await post(found).answer()
            await post(found).answer()
    assert len(set(ports)) == 2


async def test_a_body_may_end_with_the_connection() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nthe whole")
        writer.close()

    async with raw(serve) as url, client(url) as found:
        assert await post(found).answer() == b"the whole"


async def test_interim_responses_are_passed_over() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        await writer.drain()

    async with raw(serve) as url, client(url) as found:
        heard = post(found)
        assert await heard.answer() == b"x"
        assert heard.response is not None
        assert heard.response.status == 200
        assert b"link" not in heard.response.headers


def once(reply: Callable[[Request], object]) -> Callable[[Request], object]:
    """Answer the first request; drop the connection at the second one; answer the rest."""
    count = 0

    def serve(request: Request) -> None:
        nonlocal count
        count += 1
        if count == 2:
            request.drop()
        else:
            reply(request)

    return serve


async def test_a_request_that_may_be_repeated_survives_an_old_connection_that_breaks() -> None:
    with serving(once(lambda request: request.answer(200, request.body))) as server:
        async with client(server.url) as found:
            await post(found, b"1").answer()
            assert await post(found, b"2", is_repeatable=True).answer() == b"2"
        assert [request.body for request in server.requests] == [b"1", b"2", b"2"]


async def test_a_request_that_may_have_been_seen_is_never_sent_twice() -> None:
    with serving(once(lambda request: request.answer(200, request.body))) as server:
        async with client(server.url) as found:
            await post(found, b"1").answer()
            with pytest.raises(Broken, match="closed before") as problem:
                await post(found, b"2").answer()
        assert problem.value.is_sent
        assert len(server.requests) == 2


async def test_a_request_that_was_not_sent_whole_goes_out_again() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        await writer.drain()
        if not seen:
            seen.append(await reader.read(10_000))
            writer.transport.abort()

    async with raw(serve) as url, client(url) as found:
        await post(found, b"").answer()
        assert await post(found, b"y" * (32 << 20)).answer() == b"x"


async def test_a_new_connection_that_breaks_is_not_tried_again() -> None:
    with serving(lambda request: request.drop()) as server:
        async with client(server.url) as found:
            with pytest.raises(Broken, match="closed before"):
                await post(found, is_repeatable=True).answer()
        assert len(server.requests) == 1


@pytest.mark.requirement("T-32")
@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\n", b"X-Y: zzzzzzzz\r\n" * 256),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: ", b"x" * 4096),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x" * 4096),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 64),
        (b"", b"x" * 4096),
    ],
)
async def test_what_is_not_body_has_an_end(start: bytes, more: bytes) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await flood(writer, more, 64 << 20)

    async with raw(serve) as url, client(url) as found:
        tracemalloc.start()
        try:
            with pytest.raises(Broken, match="its answer"):
                await post(found).answer()
            assert tracemalloc.get_traced_memory()[1] < 64 * MAX_HEAD
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_an_error(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    async with raw(serve) as url, client(url) as found:
        with pytest.raises(Broken):
            await post(found).answer()


@pytest.mark.requirement("T-32")
async def test_an_answer_behind_the_answer_is_never_taken_for_the_next_one() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
        writer.write(one + one.replace(b"first", b"false"))
        await reader.read()

    async with raw(serve) as url, client(url) as found:
        assert await post(found, b"").answer() == b"first"
        assert await post(found, b"").answer() == b"first"


async def test_an_aborted_exchange_hears_nothing_more() -> None:
    with serving(lambda request: request.open_stream()) as server:
        async with client(server.url) as found:
            heard = post(found)
            await asyncio.to_thread(server.wait_for, "answer")
            heard.abort()
            await asyncio.to_thread(server.wait_for, "answer")
            assert not heard.done.done()


async def test_nobody_listening_is_said_at_once_and_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with client(f"http://127.0.0.1:{port}/secret?key=secret") as found:
        with pytest.raises(Broken, match=f"cannot connect to http://127.0.0.1:{port}: nobody listens") as problem:
            await post(found).answer()
    assert not problem.value.is_sent
    assert "secret" not in str(problem.value)


@pytest.mark.requirement("O-01")
async def test_no_byte_goes_to_an_address_where_the_server_may_not_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        async with client(f"http://localhost:{listener.getsockname()[1]}/mcp", reach="elsewhere") as found:
            with pytest.raises(Broken, match="its host leads to where no server may be"):
                await post(found).answer()
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_a_name_that_nobody_knows_is_said() -> None:
    async with client("http://nobody.invalid/mcp") as found:
        with pytest.raises(Broken, match="its name is not known"):
            await post(found).answer()


async def test_a_server_that_accepts_nobody_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(3):  # fills the backlog
            waiting.append(socket.socket())
            waiting[-1].settimeout(0)
            waiting[-1].connect_ex(listener.getsockname())
        async with client(f"http://127.0.0.1:{listener.getsockname()[1]}/") as found:
            with pytest.raises(Broken, match="no answer"):
                await post(found).answer()
        for each in waiting:
            each.close()


async def test_an_address_that_does_not_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of several machines may lead to one that has just gone; a second try leads elsewhere."""
    monkeypatch.setattr(module, "ADDRESS_TIMEOUT", 0.1)
    loop, tries = asyncio.get_running_loop(), 0
    connect = loop.sock_connect

    async def lost(sock: socket.socket, address: tuple[str, int]) -> None:
        nonlocal tries
        tries += 1
        await (asyncio.sleep(LIMIT) if tries < 3 else connect(sock, address))

    monkeypatch.setattr(loop, "sock_connect", lost)
    with serving(lambda request: request.answer(200, request.body)) as server:
        async with client(server.url) as found:
            assert await post(found, b"x").answer() == b"x"


async def test_a_name_that_nobody_answers_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: asyncio.sleep(LIMIT))
    async with client("http://localhost:1/mcp") as found:
        with pytest.raises(Broken, match="nobody says where its name leads"):
            await post(found).answer()


async def test_too_many_requests_are_refused_and_not_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)
    with serving(lambda request: request.open_stream()) as server:
        async with client(server.url) as found:
            post(found)
            post(found)
            with pytest.raises(Failure, match="are on their way"):
                post(found)


async def test_unused_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP", 0.05)
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        with contextlib.suppress(OSError):
            await reader.read()
        ended.set()

    async with raw(serve) as url, client(url) as found:
        await post(found, b"").answer()
        async with asyncio.timeout(LIMIT):
            await ended.wait()


async def test_a_connection_is_not_used_again_behind_a_stream_that_was_open_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "KEEP", 1.0)
    ports = []

    def reply(request: Request) -> None:
        ports.append(request.sock.getpeername()[1])
        if request.body:
            request.open_stream()
            time.sleep(float(request.body))
            request.end_stream()
        else:
            request.answer(200)

    with serving(reply) as server:
        async with client(server.url) as found:
            for seconds in (b"0", b"", b"1.2", b""):  # a server that ends ends its streams first
                await post(found, seconds).answer()
    assert ports[0] == ports[1]
    assert ports[2] != ports[3]


class Closed(asyncio.Transport):
    """A transport whose other end closed it while it was made."""

    def is_closing(self) -> bool:
        return True


async def test_a_server_that_closes_new_connections_at_once_got_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(
        protocol: Callable[[], asyncio.Protocol], *, sock: socket.socket, **_: object
    ) -> tuple[object, object]:
        sock.close()
        return Closed(), protocol()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", connect)
    with serving(lambda _: None) as server:
        async with client(server.url) as found:
            with pytest.raises(Broken, match="it closes its connections at once") as problem:
                await post(found).answer()
    assert not problem.value.is_sent


async def test_ipv6_is_spoken() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
        await reader.read()

    async with raw(serve, "::1") as url, client(url) as found:
        assert await post(found, b"").answer() == b"x"


async def test_closing_leaves_nothing_open() -> None:
    with serving(lambda request: request.open_stream()) as server:
        async with client(server.url) as found:
            heard: list[Heard] = [post(found) for _ in range(3)]
            await asyncio.to_thread(server.wait_for, "answer", 3)
        assert all(each.connection is None for each in heard)
        with pytest.raises(Failure):
            post(found)
