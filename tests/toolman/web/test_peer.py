from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Raw
from toolman.config import Secret
from toolman.exchange import Outgoing
from toolman.upstreams import Failure
from toolman.upstreams.web import carrier, client
from upstream_harness import Kept, tool_call
from web_harness import LIMIT, connected, legacy, modern, no_stream, refuse

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scripted_server import Request
    from toolman.upstreams.web.peer import HttpPeer

pytestmark = pytest.mark.requirement("T-02")

ERAS = {"legacy": legacy, "modern": modern}
both_eras = pytest.mark.parametrize("era", list(ERAS))

NOTE = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}


def progress(request: Request, value: int, token: object = None) -> dict[str, Any]:
    number = request.message["id"] if token is None else token
    return {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": number, "progress": value},
    }


def answer(request: Request, result: object = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request.message["id"], "result": {} if result is None else result}


def stream(request: Request, *messages: object) -> None:
    request.open_stream()
    for message in messages:
        request.event(message)
    request.end_stream()


def begun(request: Request) -> None:
    """Name a place to come back to, and no answer."""
    request.open_stream()
    request.chunk(b"id: 1\nretry: 0\ndata: \n\n")
    request.end_stream()


def called(name: str = "x", **more: Any) -> Kept:  # noqa: ANN401 - any argument
    call = tool_call(name, **more)
    call.outgoing.name = name
    return call


@pytest.mark.requirement("T-06")
async def test_a_legacy_session_is_opened_used_and_ended_by_the_book() -> None:
    async with connected(legacy(lambda request: request.result({"ok": 1}))) as far:
        await far.asked("GET")
        call = called()
        far.peer.send(call)
        assert await call.answer() == {"result": {"ok": 1}}
        await far.peer.close()
        await far.asked("DELETE")
        requests = far.server.requests
    discover, initialize, initialized = requests[:3]
    assert [request.method for request in requests[:3]] == [
        "server/discover",
        "initialize",
        "notifications/initialized",
    ]
    assert discover.header("mcp-protocol-version") == "2026-07-28"
    assert discover.header("mcp-method") == "server/discover"
    assert initialize.header("mcp-session-id") is None
    assert initialize.message["params"]["capabilities"] == {"roots": {}}
    for request in (initialized, *requests[3:]):
        assert request.header("mcp-session-id") == "s1"
        assert request.header("mcp-protocol-version") == "2025-06-18"
    assert requests[3].header("accept") == "text/event-stream" or requests[4].header("accept") == "text/event-stream"
    assert far.peer.hello.version == "2025-06-18"


async def test_a_modern_request_says_everything_in_headers_and_body() -> None:
    async with connected(modern(lambda request: request.result({"resultType": "complete"}))) as far:
        call = called("wo\u0308rld", owner="me")
        call.outgoing.mirrored = (("Mcp-Param-Region", "us-west1"), ("Mcp-Param-Note", " a\r\nX: y"))
        call.outgoing.log_level = "info"
        far.peer.send(call)
        await call.answer()
        request = await far.asked("tools/call")
    assert request.header("mcp-protocol-version") == "2026-07-28"
    assert request.header("mcp-method") == "tools/call"
    assert request.header("mcp-name") == "=?base64?d2/MiHJsZA==?="
    assert request.header("mcp-param-region") == "us-west1"
    assert request.header("mcp-param-note") == "=?base64?IGENClg6IHk=?="
    assert request.header("mcp-session-id") is None
    assert request.header("x") is None
    meta = request.message["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/logLevel"] == "info"
    assert far.server.asked() == ["server/discover", "tools/call"]


async def test_a_method_cannot_end_its_header() -> None:
    async with connected(modern(lambda request: request.result({}))) as far:
        call = Kept(Outgoing("a\r\nX-Evil: 1", {}))
        far.peer.send(call)
        await call.answer()
        request = far.server.requests[-1]
    assert request.header("x-evil") is None
    assert request.message["method"] == "a\r\nX-Evil: 1"


@both_eras
async def test_what_comes_on_a_calls_stream_is_that_calls_and_in_order(era: str) -> None:
    def reply(request: Request) -> None:
        stream(
            request, progress(request, 1), progress(request, 9, "other"), NOTE, progress(request, 2), answer(request)
        )

    async with connected(ERAS[era](reply)) as far:
        calls = [called(owner=number) for number in range(20)]
        for call in calls:
            far.peer.send(call)
        for call in calls:
            assert await call.answer() == {"result": {}}
            assert call.heard_of == [1, {"level": "info", "data": "x"}, 2]
    assert not far.events.all("logged")


@both_eras
async def test_answers_to_other_requests_are_dropped(era: str) -> None:
    def reply(request: Request) -> None:
        wrong = [answer(request) | {"id": number} for number in (request.message["id"] + 1, "1", None, 0)]
        stream(request, *wrong, "nonsense", [], answer(request, {"mine": True}), answer(request, {"second": True}))

    async with connected(ERAS[era](reply)) as far:
        first, second = called(), called()
        far.peer.send(first)
        far.peer.send(second)
        assert await first.answer() == await second.answer() == {"result": {"mine": True}}


@both_eras
@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.requirement("T-05")
async def test_error_objects_arrive_verbatim_and_get_the_calls_id(era: str, status: int) -> None:
    error = b'{"code":-31999,"message":"m","data":{"big":12345678901234567890,"x":null}}'

    def reply(request: Request) -> None:
        request.answer(status, b'{"jsonrpc":"2.0","id":null,"error":%b}' % error)

    async with connected(ERAS[era](reply)) as far:
        call = called()
        far.peer.send(call)
        await call.answer()
        kind, value = call.outcome.result()
    assert kind == jsonrpc.ERROR
    assert bytes(value) == error


@both_eras
@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (lambda request: request.answer(500, b"secret", "text/html"), "HTTP 500; the call may or may not"),
        (lambda request: request.answer(503), "HTTP 503; the call may or may not"),
        (lambda request: request.answer(401), "refuses toolman's credentials (HTTP 401)"),
        (lambda request: request.answer(403), "forbids toolman to use it (HTTP 403)"),
        (lambda request: request.answer(429), "HTTP 429"),
        (lambda request: request.answer(202), "HTTP 202; the call may or may not"),
        (lambda request: request.answer(200, b"secret", "text/html"), "of type 'text/html' is no JSON-RPC message"),
        (lambda request: request.answer(200, b"{}"), "is no JSON-RPC message"),
        (lambda request: request.answer(200, b"\x1f\x8b", Content_Encoding="gzip"), "is compressed"),
        (
            lambda request: request.answer(307, Location="https://evil.example/mcp?key=secret"),
            "redirects to 'https://evil.example/mcp' (HTTP 307), and redirects are not followed",
        ),
        (stream, "closed the stream without an answer; the call may or may not"),
        (lambda request: request.drop(), "was closed before the answer was complete; the call may or may not"),
    ],
)
async def test_what_is_no_answer_is_an_error_that_says_what_happened(
    era: str, reply: Callable[[Request], object], text: str
) -> None:
    def only_calls(request: Request) -> None:
        if not no_stream(request):
            reply(request) if request.method == "tools/call" else request.result({})

    async with connected(ERAS[era](only_calls)) as far:
        call = called()
        far.peer.send(call)
        message = (await call.answer())["error"]["message"]
        assert far.server.asked().count("tools/call") == 1
    assert message.startswith("server 'far': ")
    assert text in message
    assert "secret" not in message


@both_eras
@pytest.mark.requirement("T-20", "T-32")
@pytest.mark.parametrize("kind", ["length", "json", "event"])
async def test_an_answer_that_is_too_large_ends_the_call_and_not_toolman(era: str, kind: str) -> None:
    def reply(request: Request) -> None:
        if request.method != "tools/call":
            request.answer(405)
        elif kind == "length":
            request.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n")
        else:
            request.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: ")
            request.raw(b"application/json\r\n\r\n" if kind == "json" else b"text/event-stream\r\n\r\n6\r\ndata: \r\n")
            for _ in range(1024):  # a gibibyte
                try:
                    request.sock.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
                except OSError:
                    break

    async with connected(ERAS[era](reply), limit=1 << 20) as far:
        call = called()
        far.peer.send(call)
        assert "more than 1048576 bytes" in (await call.answer())["error"]["message"]


@both_eras
async def test_ten_megabytes_arrive_byte_for_byte(era: str) -> None:
    text = "\u2028\U0001f600xy" * (10 << 16)

    def reply(request: Request) -> None:
        stream(request, answer(request, {"text": text})) if era == "legacy" else request.result({"text": text})

    async with connected(ERAS[era](reply)) as far:
        call = called()
        far.peer.send(call)
        assert (await call.answer())["result"]["text"] == text


async def test_batches_are_taken_apart_in_the_revision_that_has_them() -> None:
    def reply(request: Request) -> None:
        if request.method == "initialize":
            request.result({"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {}})
        elif request.method == "server/discover":
            request.answer(400)
        elif request.method == "tools/call":
            request.answer(200, json.dumps([progress(request, 1), answer(request)]).encode())
        else:
            request.answer(202 if request.verb == "POST" else 405)

    async with connected(reply) as far:
        call = called()
        far.peer.send(call)
        assert await call.answer() == {"result": {}}
        assert call.heard_of == [1]


def silent(request: Request) -> None:
    if request.method == "tools/call":
        request.open_stream()
    elif not no_stream(request):
        request.result({})


async def test_a_legacy_server_is_told_that_a_call_is_cancelled() -> None:
    async with connected(legacy(silent)) as far:
        call = called()
        far.peer.send(call)
        await far.asked("tools/call")
        far.peer.cancel(call, Raw(b'"enough"'))
        request = await far.asked("notifications/cancelled")
        assert request.message["params"] == {"requestId": call.number, "reason": "enough"}
        assert request.header("mcp-session-id") == "s1"
        far.peer.cancel(call)
    assert not call.outcome.done()
    assert far.server.asked().count("notifications/cancelled") == 1


async def test_a_modern_server_sees_the_connection_closed_and_nothing_else() -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reply(request: Request) -> None:
        request.open_stream()
        request.sock.settimeout(LIMIT)
        assert request.sock.recv(1) == b""
        loop.call_soon_threadsafe(closed.set)

    async with connected(modern(reply)) as far:
        call = called()
        far.peer.send(call)
        await far.asked("tools/call")
        far.peer.cancel(call, Raw(b'"enough"'))
        async with asyncio.timeout(LIMIT):
            await closed.wait()
    assert far.server.asked() == ["server/discover", "tools/call"]
    assert not call.outcome.done()


def trickling(request: Request) -> None:
    """Send one byte after the other, for ever."""
    if request.method != "tools/call":
        return
    for part in (b"HTTP/1.1 200 OK\r\nX-A: ", b"y" * 30_000):
        for byte in part:
            try:
                request.sock.sendall(bytes((byte,)))
            except OSError:
                return


@both_eras
@pytest.mark.requirement("T-12")
@pytest.mark.parametrize("reply", [silent, trickling])
async def test_silence_and_single_bytes_end_a_call(era: str, reply: Callable[[Request], object]) -> None:
    async with connected(ERAS[era](reply)) as far:
        call = called(timeout=0.1)
        far.peer.send(call)
        assert "did not answer within 0.1 s" in (await call.answer())["error"]["message"]


async def test_toolmans_own_requests_give_the_result_or_say_what_went_wrong() -> None:
    def reply(request: Request) -> None:
        if request.method == "tools/list":
            refuse(request, 200, -32603, "broken")
        elif not no_stream(request):
            request.answer(500)

    async with connected(legacy(reply)) as far:
        with pytest.raises(Failure, match=r"answered tools/list with the error .*broken"):
            await far.peer.request("tools/list", {}, LIMIT)
        with pytest.raises(Failure, match=r"^server 'far': it answered with HTTP 500"):
            await far.peer.request("prompts/list", {}, LIMIT)


async def test_a_list_is_asked_for_again_when_the_stream_breaks_and_a_call_is_not() -> None:
    seen: list[str] = []

    def reply(request: Request) -> None:
        seen.append(request.method)
        if seen.count(request.method) == 1:
            request.open_stream()
            request.drop()
        else:
            request.result({"tools": []})

    async with connected(legacy(reply)) as far:
        assert await far.peer.request("tools/list", {}, LIMIT) == b'{"tools": []}'
        call = called()
        far.peer.send(call)
        assert "may or may not" in (await call.answer())["error"]["message"]
    assert far.server.asked().count("tools/call") == 1


async def test_the_log_level_is_a_request_where_the_server_has_it_and_nothing_elsewhere() -> None:
    async with connected(legacy(no_stream)) as far:
        await far.peer.set_log_level("debug")  # this server does not log
        far.peer.notify("notifications/roots/list_changed")
        await far.asked("notifications/roots/list_changed")
        assert "logging/setLevel" not in far.server.asked()
    async with connected(modern(no_stream)) as far:
        await far.peer.set_log_level("debug")
        far.peer.notify("notifications/roots/list_changed")
    assert far.server.asked() == ["server/discover"]


@pytest.mark.requirement("T-33")
async def test_closing_answers_what_is_on_its_way() -> None:
    async with connected(legacy(silent)) as far:
        call = called()
        far.peer.send(call)
        await far.asked("tools/call")
        await far.peer.close()
        assert "was ended before answering" in (await call.answer())["error"]["message"]
        with pytest.raises(Failure, match="is gone"):
            far.peer.send(called())
    assert not far.events.all("ended")


@pytest.mark.requirement("T-06")
async def test_a_rotated_secret_is_used_at_once(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("old")

    def reply(request: Request) -> None:
        if not no_stream(request):
            request.result({}) if request.header("authorization") == "new" else request.answer(401)

    async with connected(legacy(reply), headers={"Authorization": Secret(file=str(secret))}) as far:
        secret.write_text("new")
        calls = [called() for _ in range(5)]
        for call in calls:
            far.peer.send(call)
        for call in calls:
            assert await call.answer() == {"result": {}}


async def test_headers_that_the_server_finds_wrong_are_made_anew_from_its_list() -> None:
    schema = {"type": "object", "properties": {"where": {"type": "string", "x-mcp-header": "Region"}}}

    def reply(request: Request) -> None:
        if request.method == "tools/list":
            request.result({"tools": [{"name": "x", "inputSchema": schema}], "resultType": "complete"})
        elif request.header("mcp-param-region") == "here":
            request.result({"ok": True})
        else:
            refuse(request, 400, -32020)

    async with connected(modern(reply)) as far:
        call = called("x", arguments={"where": "here"})
        far.peer.send(call)
        assert await call.answer() == {"result": {"ok": True}}
        assert far.events.all("changed") == ["tools"]
        wrong = called("x", arguments={"where": "there"})
        wrong.outgoing.mirrored = (("Mcp-Param-Region", "there"),)
        far.peer.send(wrong)
        assert (await wrong.answer())["error"]["code"] == -32020


@both_eras
@pytest.mark.requirement("T-32")
async def test_a_secret_is_in_no_error_and_no_log(era: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def reply(request: Request) -> None:
        if request.method == "tools/call":
            echo = json.dumps(dict(request.headers)).encode()
            request.answer(500, echo) if request.message["id"] == 1 else stream(request, echo.decode())
        else:
            request.answer(403, b"your token was hush", "text/plain")

    async with connected(ERAS[era](reply), headers={"Authorization": "Bearer hush"}) as far:
        for _ in range(2):
            call = called()
            far.peer.send(call)
            assert "hush" not in json.dumps(await call.answer())
        with pytest.raises(Failure) as problem:
            await far.peer.request("tools/list", {}, LIMIT)
    assert "hush" not in str(problem.value)
    assert "hush" not in caplog.text


@both_eras
async def test_a_stream_that_stays_open_behind_the_answer_is_closed(era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier, "LINGER", 0.01)
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def reply(request: Request) -> None:
        request.open_stream()
        request.event(answer(request))
        request.sock.settimeout(LIMIT)
        with contextlib.suppress(ConnectionResetError):
            assert request.sock.recv(1) == b""
        loop.call_soon_threadsafe(closed.set)

    async with connected(ERAS[era](reply)) as far:
        call = called()
        far.peer.send(call)
        assert await call.answer() == {"result": {}}
        async with asyncio.timeout(LIMIT):
            await closed.wait()
        assert not far.peer._carrier._streams


@both_eras
async def test_nothing_is_kept_of_calls_that_are_over(era: str) -> None:
    ways: list[Callable[[Request], object]] = [
        lambda request: request.result({}),
        lambda request: stream(request, answer(request)),
        lambda request: refuse(request, 400, -32602),
        lambda request: request.answer(500),
        lambda request: request.answer(200, b"x", Content_Encoding="br"),
        lambda request: request.drop(),
        stream,
        begun,
    ]

    def reply(request: Request) -> None:
        ways[int(request.message["params"]["name"])](request)

    async with connected(ERAS[era](reply)) as far:
        for way in range(len(ways)):
            call = called(str(way))
            far.peer.send(call)
            await call.answer()
        last = called("0")
        far.peer.send(last)
        await last.answer()
        await asyncio.sleep(0)
        assert not far.peer._carrier._streams


async def test_a_server_that_never_takes_notifications_does_not_use_up_the_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(carrier, "TAKING", 0.5)  # more than a busy machine takes to connect: the server must have it
    closed = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def reply(request: Request) -> None:
        if request.method == "initialize":
            request.result({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}})
        elif request.method == "notifications/x":
            request.sock.settimeout(LIMIT)
            with contextlib.suppress(ConnectionResetError):
                assert request.sock.recv(1) == b""
            loop.call_soon_threadsafe(closed.release)
        else:
            request.answer(202 if request.method == "notifications/initialized" else 405)

    async with connected(reply) as far, asyncio.timeout(LIMIT):
        for _ in range(3):
            far.peer.notify("notifications/x")
            await closed.acquire()


async def test_a_request_of_toolmans_own_that_is_not_wanted_any_more_is_cancelled() -> None:
    def reply(request: Request) -> None:
        request.open_stream()

    async with connected(legacy(reply)) as far:
        asking = asyncio.create_task(far.peer.request("tools/list", {}, LIMIT))
        request = await far.asked("tools/list")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        cancelled = await far.asked("notifications/cancelled")
        assert cancelled.message["params"] == {"requestId": request.message["id"]}


@both_eras
async def test_more_calls_than_connections_are_refused_and_not_kept(era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(ERAS[era](silent)) as far:
        monkeypatch.setattr(client, "MAX_CONNECTIONS", 0)
        calls = [called() for _ in range(4)]  # the first ones use what is open
        refusals = [refusal for call in calls if (refusal := refused(far.peer, call))]
        assert refusals
        assert set(refusals) == {"server 'far': 0 requests to it are on their way: try again later"}
        assert len(far.peer._carrier._streams) == len(calls) - len(refusals)
        assert not any(call.outcome.done() for call in calls)


def refused(peer: HttpPeer, call: Kept) -> str:
    """Send a call; give why that cannot be done."""
    try:
        peer.send(call)
    except Failure as problem:
        return str(problem)
    return ""


async def test_a_stream_of_a_session_that_is_lost_meanwhile_is_not_come_back_to() -> None:
    streams: list[Request] = []

    def reply(request: Request) -> None:
        if request.method == "tools/list":
            if len(streams) == 1:
                streams[0].chunk(b"id: 1\nretry: 50\ndata: \n\n")
                streams[0].end_stream()
                streams.append(request)
                request.answer(404)
            else:
                request.result({})
        else:
            request.open_stream()
            streams.append(request)

    async with connected(legacy(reply)) as far:
        call = called()
        far.peer.send(call)
        await far.asked("tools/call")
        await far.peer.request("tools/list", {}, LIMIT)
        assert "its session was lost; the call may or may not" in (await call.answer())["error"]["message"]
