from __future__ import annotations

import json
from typing import TYPE_CHECKING

import ports
import pytest
from scripted_server import handshake, serving
from toolman.upstreams import Failure, supervisor
from toolman.upstreams.streamable import HttpConnector
from toolman.upstreams.web import recovery
from upstream_harness import Events, Upstream, supervised, tool_call
from web_harness import DISCOVERED, configured, connected, modern, official, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_server import Request

pytestmark = pytest.mark.requirement("T-02")


async def era(discover: Callable[[Request], object]) -> str:
    """Tell in which era a server is spoken with that answers the probe in this way."""

    def serve(request: Request) -> None:
        if request.method == "server/discover":
            discover(request)
        elif not handshake(request):
            request.result({})

    async with connected(serve) as far:
        return far.peer.hello.era


async def test_a_modern_server_is_known_by_its_discovery() -> None:
    async with connected(modern(lambda request: request.result({}))) as far:
        assert far.peer.hello.era == "modern"
        assert far.peer.hello.version == "2026-07-28"
        assert json.loads(far.peer.hello.capabilities) == DISCOVERED["capabilities"]
        assert json.loads(far.peer.hello.server_info) == {"name": "scripted", "version": "1"}


@pytest.mark.parametrize(
    "discover",
    [
        lambda request: refuse(request, 200, -32601),
        lambda request: refuse(request, 200, -32602),
        lambda request: refuse(request, 400, -32000),
        lambda request: refuse(request, 400, -32022, data={"supported": ["2025-11-25"], "requested": "2026-07-28"}),
        lambda request: request.answer(400, b"Bad Request: no session", "text/plain"),
        lambda request: request.answer(404),
        lambda request: request.answer(405),
        lambda request: request.answer(406),
        lambda request: request.answer(202),
        lambda request: request.answer(200, b"<html>", "text/html"),
        lambda request: request.result({}),
        lambda request: request.result(DISCOVERED | {"supportedVersions": ["2025-11-25"]}),
    ],
)
async def test_any_other_answer_of_the_protocol_means_the_legacy_era(discover: Callable[[Request], object]) -> None:
    assert await era(discover) == "legacy"


@pytest.mark.parametrize(
    ("discover", "text"),
    [
        (lambda request: request.answer(401), "refuses toolman's credentials"),
        (lambda request: request.answer(403), "forbids"),
        (lambda request: request.answer(429), "HTTP 429"),
        (lambda request: request.answer(500), "HTTP 500"),
        (lambda request: request.answer(502, b"Bad Gateway", "text/html"), "HTTP 502"),
        (lambda request: request.answer(307, Location="/mcp/"), "it redirects to '/mcp/'"),
        (lambda request: request.drop(), "was closed before"),
        (lambda request: refuse(request, 400, -32022, data={"supported": ["2031-01-01"]}), "it speaks MCP '2031"),
    ],
)
async def test_what_is_wrong_otherwise_is_an_error_and_never_taken_for_an_older_server(
    discover: Callable[[Request], object], text: str
) -> None:
    with serving(discover) as server:
        with pytest.raises(Failure, match=text):
            await HttpConnector(configured(server.url)).connect(Events(), b"{}")
        assert set(server.asked()) == {"server/discover"}


async def test_silence_is_an_error_and_never_taken_for_an_older_server() -> None:
    with serving(lambda _: None) as server:
        with pytest.raises(Failure, match=r"did not answer within 0.1 s"):
            await HttpConnector(configured(server.url, start=0.1)).connect(Events(), b"{}")
        assert server.asked() == ["server/discover"]


async def test_nobody_there_is_an_error() -> None:
    with pytest.raises(Failure, match=r"cannot connect to http://127.0.0.1:.*nobody listens there"):
        await HttpConnector(configured(f"http://127.0.0.1:{ports.free()}/mcp")).connect(Events(), b"{}")


@pytest.mark.parametrize(
    ("initialize", "text"),
    [
        (lambda request: refuse(request, 200, -32603, "out of order"), "answered initialize with the error .*order"),
        (lambda request: request.answer(404), "HTTP 404; if it speaks the older HTTP.SSE transport, its kind is sse"),
        (lambda request: request.answer(200, b"<html>", "text/html"), "answer of type 'text/html' is no JSON-RPC"),
        (lambda request: request.result({"protocolVersion": "1999-01-01"}), "it speaks MCP '1999-01-01'"),
        (lambda request: request.result({}), "must have a protocolVersion"),
        (
            lambda request: request.result({"protocolVersion": "2025-06-18"}, Mcp_Session_Id="a b"),
            "session identifier is not visible ASCII",
        ),
    ],
)
async def test_a_legacy_server_that_does_not_open_a_session_is_an_error(
    initialize: Callable[[Request], object], text: str
) -> None:
    def serve(request: Request) -> None:
        request.answer(400) if request.method == "server/discover" else initialize(request)

    with serving(serve) as server, pytest.raises(Failure, match=text):
        await HttpConnector(configured(server.url)).connect(Events(), b"{}")


@pytest.mark.parametrize(
    ("habits", "version"),
    [
        (["streamable"], "2026-07-28"),
        (["streamable", "json"], "2026-07-28"),
        (["streamable", "legacy"], "2025-11-25"),
        (["sse"], "2025-11-25"),
    ],
)
async def test_servers_of_the_official_sdk_are_listed_and_called(habits: list[str], version: str) -> None:
    port = ports.free()
    kind = "sse" if "sse" in habits else "http"
    async with official(port, *habits), supervised(configured(f"http://127.0.0.1:{port}/mcp", kind=kind)) as far:
        assert await far.watching.until("offered") == ["work", "slow", "pid"]
        peer = await far.peer()
        assert peer.hello.version == version
        call = tool_call("work", {"x": "\u2028"})
        call.outgoing.name = "work"
        peer.send(call)
        result = (await call.answer())["result"]
        assert json.loads(result["content"][0]["text"]) == {"x": "\u2028"}
        assert call.heard_of == ([] if "json" in habits else [1, 2, 3])


@pytest.mark.requirement("T-06")
@pytest.mark.parametrize("habits", [["streamable"], ["streamable", "legacy"], ["sse"]])
async def test_a_server_that_is_killed_and_started_again_goes_on(
    habits: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "CHECKS", (0.01,) * 1000)
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    port = ports.free()
    kind = "sse" if "sse" in habits else "http"
    async with (
        official(port, *habits) as first,
        supervised(configured(f"http://127.0.0.1:{port}/mcp", kind=kind)) as far,
    ):
        await far.watching.until("offered")
        assert await pid(far) == first.pid
        slow = tool_call("slow")
        slow.outgoing.name = "slow"
        (await far.peer()).send(slow)
        first.kill()
        assert "may or may not" in (await slow.answer())["error"]["message"]
        await first.wait()
        async with official(port, *habits) as second:
            if kind == "sse":  # a new life
                lives = 2
                while await far.watching.until("offered", lives) is None:
                    lives += 1
            assert await pid(far) == second.pid


async def pid(far: Upstream) -> int:
    """Ask the server for its process."""
    call = tool_call("pid")
    call.outgoing.name = "pid"
    (await far.peer()).send(call)
    return int((await call.answer())["result"]["content"][0]["text"])
