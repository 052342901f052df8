from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from typing import TYPE_CHECKING

import pytest
from scripted_server import SERVER_INFO, serving
from toolman.upstreams import Failure, sse
from toolman.upstreams.connect import LineConnector
from toolman.upstreams.sse import SseLauncher
from upstream_harness import Events, tool_call
from web_harness import LIMIT, configured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from scripted_server import Request, Server
    from toolman.upstreams.peer import LinePeer

pytestmark = pytest.mark.requirement("T-02")


class Old:
    """A server of the transport of 2024-11-05; ``call`` answers calls of tools on the stream."""

    def __init__(self, call: Callable[[Old, Request], object], endpoint: str = "/messages?session=hush") -> None:
        self.stream: Request | None = None
        self._call = call
        self._endpoint = endpoint

    def __call__(self, request: Request) -> None:
        if request.verb == "GET":
            self.stream = request
            request.open_stream()
            request.chunk(f"event: endpoint\ndata: {self._endpoint}\n\n".encode())
        elif request.method == "initialize":
            request.answer(202, b"Accepted", "text/plain")
            self.tell(
                id=request.message["id"],
                result={"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": SERVER_INFO},
            )
        elif request.method == "tools/call":
            self._call(self, request)
        else:
            request.answer(202)

    def tell(self, **message: object) -> None:
        assert self.stream is not None
        self.stream.event({"jsonrpc": "2.0", **message}, "event: message\n")


def echo(old: Old, request: Request) -> None:
    request.answer(202, b"Accepted", "text/plain")
    number = request.message["id"]
    old.tell(method="notifications/progress", params={"progressToken": number, "progress": 1})
    old.tell(id=number, result=request.message["params"]["arguments"])


@contextlib.asynccontextmanager
async def joined(reply: Callable[[Request], object]) -> AsyncIterator[tuple[Server, LinePeer, Events]]:
    """Serve and connect for as long as the block runs."""
    with serving(reply) as server:
        settings = configured(server.url, kind="sse", headers={"X-Key": "k"}, limit=1 << 20)
        events = Events()
        async with asyncio.timeout(LIMIT):
            peer = await LineConnector("old", SseLauncher(settings), is_legacy=True).connect(events, b"{}")
        try:
            yield server, peer, events
        finally:
            await peer.close()


async def test_messages_are_posted_to_the_endpoint_and_answered_on_the_stream() -> None:
    async with joined(Old(echo)) as (server, peer, _):
        assert peer.hello.version == "2024-11-05"
        calls = [tool_call("x", {"number": number}) for number in range(20)]
        for call in calls:
            peer.send(call)
        for number, call in enumerate(calls):
            assert await call.answer() == {"result": {"number": number}}
            assert call.heard_of == [1]
        assert server.asked()[:3] == ["GET", "initialize", "notifications/initialized"]
        assert {request.target for request in server.requests[1:]} == {"/messages?session=hush"}
        assert {request.header("x-key") for request in server.requests} == {"k"}


async def test_what_follows_a_notification_does_not_overtake_it() -> None:
    order: list[str] = []

    class Slow(Old):
        def __call__(self, request: Request) -> None:
            if request.method == "notifications/x":
                request.sock.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    request.sock.recv(1, socket.MSG_PEEK)  # time in which another connection could be faster
            order.append(request.method)
            super().__call__(request)

    async with joined(Slow(echo)) as (_, peer, __):
        peer.notify("notifications/x")
        call = tool_call("x")
        peer.send(call)
        await call.answer()
    assert order[-2:] == ["notifications/x", "tools/call"]


@pytest.mark.requirement("T-32")
@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("https://evil.example/messages", "its endpoint is elsewhere, at https://evil.example"),
        ("//evil.example/messages", "its endpoint is elsewhere, at http://evil.example"),
        ("http://localhost:1/messages", "its endpoint is elsewhere, at http://localhost:1"),
        ("http://user:hush@localhost/", "names no usable endpoint"),
        ("file:///etc/passwd", "names no usable endpoint"),
        ("/a b", "names no usable endpoint"),
    ],
)
async def test_an_endpoint_that_is_elsewhere_gets_nothing(endpoint: str, text: str) -> None:
    with pytest.raises(Failure, match=text) as problem:
        async with joined(Old(echo, endpoint)):
            pass
    assert "hush" not in str(problem.value)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (lambda request: request.answer(404), "opens no stream: it answered with HTTP 404; .* its kind is http"),
        (lambda request: request.answer(405), "its kind is http"),
        (lambda request: request.answer(401), "refuses toolman's credentials"),
        (lambda request: request.answer(200, b"{}"), "opens no stream: its answer of type 'application/json'"),
        (lambda request: request.drop(), "was closed before"),
        (lambda request: (request.open_stream(), request.end_stream()), "it closed the stream"),
        (lambda request: request.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), "head of its answer"),
    ],
)
async def test_what_is_no_stream_is_an_error_that_says_what_to_do(
    reply: Callable[[Request], object], text: str
) -> None:
    with pytest.raises(Failure, match=text):
        async with joined(reply):
            pass


async def test_a_server_that_names_no_endpoint_is_given_up() -> None:
    with serving(lambda request: request.open_stream()) as server:
        launcher = SseLauncher(configured(server.url, kind="sse", start=0.1))
        with pytest.raises(Failure, match=r"did not say within 0.1 s where messages go"):
            await LineConnector("old", launcher, is_legacy=True).connect(Events(), b"{}")


@pytest.mark.requirement("T-06")
async def test_the_end_of_the_stream_is_the_end_of_the_life() -> None:
    def end(old: Old, request: Request) -> None:
        request.answer(202)
        assert old.stream is not None
        old.stream.end_stream()

    async with joined(Old(end)) as (_, peer, events):
        call = tool_call("x")
        peer.send(call)
        assert "it closed the stream" in (await call.answer())["error"]["message"]
        assert await events.until("ended") == "it closed the stream"


async def test_a_stream_with_too_large_an_event_is_the_end_of_the_life() -> None:
    def flood(old: Old, request: Request) -> None:
        request.answer(202)
        assert old.stream is not None
        for _ in range(64):
            old.stream.chunk(b"data: " + b"x" * 0x10000 + b"\n")

    async with joined(Old(flood)) as (_, peer, events):
        call = tool_call("x")
        peer.send(call)
        assert "more than 1048576 bytes" in (await call.answer())["error"]["message"]
        await events.until("ended")


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (lambda _, request: request.answer(500, b"hush", "text/plain"), "HTTP 500"),
        (lambda _, request: request.answer(404), "HTTP 404"),
        (lambda _, request: request.drop(), "was closed before .* may or may not"),
    ],
)
async def test_a_message_that_is_not_taken_answers_its_call(reply: Callable[[Old, Request], object], text: str) -> None:
    async with joined(Old(reply)) as (_, peer, events):
        call = tool_call("x")
        peer.send(call)
        message = (await call.answer())["error"]["message"]
        assert re.search(text, message)
        assert "hush" not in message
        assert not events.all("ended")


@pytest.mark.requirement("T-20")
async def test_a_server_that_takes_nothing_cannot_make_toolman_keep_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_BACKLOG", 1000)
    async with joined(Old(lambda *_: None)) as (_, peer, __):
        peer.send(tool_call("x", {"padding": "y" * 2000}))
        with pytest.raises(Failure, match="does not read"):
            peer.send(tool_call("x"))


async def test_a_message_that_is_never_taken_holds_up_nothing_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute(Old):
        def __call__(self, request: Request) -> None:
            if request.method != "notifications/x":
                super().__call__(request)

    async with joined(Mute(echo)) as (_, peer, __):
        for number in range(2):
            call = tool_call("x", {"a": number})
            peer.send(call)
            assert await call.answer() == {"result": {"a": number}}
            # What came before is taken by now, so the next is sent at once; and of it alone little is expected.
            with monkeypatch.context() as hasty:
                hasty.setattr(sse, "TAKING", 0.01)
                peer.notify("notifications/x")
