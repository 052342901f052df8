from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from scripted_server import serving
from toolman.upstreams import Failure
from toolman.upstreams.streamable import HttpConnector
from toolman.upstreams.web import client, recovery
from upstream_harness import Events, tool_call
from web_harness import DISCOVERED, LIMIT, configured, connected, legacy, modern, no_stream, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_server import Request
    from toolman.upstreams import Peer

pytestmark = pytest.mark.requirement("T-06")


class Sessions:
    """A legacy server that forgets its sessions when it is told to."""

    def __init__(self, status: int = 404, code: int | None = None) -> None:
        self.known: str | None = None
        self.opened = 0
        self.ran: list[str] = []
        self.status = status
        self.code = code

    def __call__(self, request: Request) -> None:
        if request.method == "server/discover":
            request.answer(400)
        elif request.method == "initialize":
            self.opened += 1
            self.known = f"s{self.opened}"
            capabilities = {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}}
            result = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": {}}
            request.result(result, Mcp_Session_Id=self.known)
        elif request.header("mcp-session-id") != self.known:
            if self.code is None:
                request.answer(self.status, b"no session", "text/plain")
            else:
                refuse(request, self.status, self.code)
        elif request.verb == "GET":
            request.answer(405)
        elif "id" not in request.message:
            request.answer(202)
        else:
            self.ran.append(request.method)
            request.result({"session": self.known})


def renewed(server: Sessions) -> bool:
    return server.opened > 1


@pytest.mark.parametrize(("status", "code"), [(404, None), (404, -32001), (404, -32601), (400, None), (400, -32000)])
async def test_a_call_in_a_forgotten_session_runs_in_a_new_one_once(status: int, code: int | None) -> None:
    server = Sessions(status, code)
    async with connected(server) as far:
        server.known = None
        calls = [tool_call("x") for _ in range(5)]
        for call in calls:
            far.peer.send(call)
        for call in calls:
            assert await call.answer() == {"result": {"session": "s2"}}
        assert await far.peer.request("tools/list", {}, LIMIT) == b'{"session": "s2"}'
    assert server.ran.count("tools/call") == 5
    assert server.opened == 2
    assert {"tools", "resources"} <= set(far.events.all("changed"))
    assert not far.events.all("ended")


async def test_a_new_session_is_asked_for_what_the_old_one_was_asked_for() -> None:
    server = Sessions()
    async with connected(server) as far:
        await far.peer.watch(frozenset({"file:///a"}))
        await far.peer.set_log_level("debug")
        server.known = None
        await far.peer.request("tools/list", {}, LIMIT)
        await far.asked("resources/subscribe", 2)
        await far.asked("logging/setLevel", 2)


async def test_a_server_that_forgets_at_once_gets_each_call_at_most_twice() -> None:
    def forgetful(request: Request) -> None:
        request.answer(404)

    async with connected(legacy(forgetful)) as far:
        for _ in range(recovery.MAX_RENEWALS + 2):
            call = tool_call("x")
            far.peer.send(call)
            assert "HTTP 404" in (await call.answer())["error"]["message"]
        asked = far.server.asked()
    assert asked.count("initialize") == 1 + recovery.MAX_RENEWALS
    assert asked.count("tools/call") == 2 * recovery.MAX_RENEWALS + 2


async def test_a_session_that_cannot_be_renewed_ends_the_life() -> None:
    server = Sessions()

    def reply(request: Request) -> None:
        if renewed(server) and request.method == "initialize":
            request.answer(503)
        else:
            server(request)

    async with connected(reply) as far:
        server.known, server.opened = None, 2
        call = tool_call("x")
        far.peer.send(call)
        assert "its session was lost and no new one could be opened" in (await call.answer())["error"]["message"]
        assert "HTTP 503" in await far.events.until("ended")


class Upgraded:
    """A server that changes its era."""

    def __init__(self, era: str, refusal: Callable[[Request], object]) -> None:
        self.era = era
        self.ran: list[str] = []
        self._sessions = Sessions()
        self._refusal = refusal

    def __call__(self, request: Request) -> None:
        is_modern = request.header("mcp-protocol-version") == "2026-07-28"
        if self.era == "legacy" and not is_modern:
            self._sessions(request)
        elif self.era == "modern" and request.method == "server/discover":
            request.result(DISCOVERED)
        elif self.era == "modern" and is_modern:
            self.ran.append(request.method)
            request.result({"resultType": "complete"})
        elif no_stream(request):
            pass
        else:
            self._refusal(request)


@pytest.mark.requirement("T-02")
@pytest.mark.parametrize(
    "refusal",
    [
        lambda request: refuse(request, 400, -32022, data={"supported": ["2025-11-25", "2026-07-28"]}),
        lambda request: refuse(request, 400, -32600),
        lambda request: refuse(request, 404, -32601),
        lambda request: request.answer(400),
    ],
)
@pytest.mark.parametrize(("before", "after"), [("legacy", "modern"), ("modern", "legacy")])
async def test_an_upgrade_or_downgrade_across_eras_is_followed(
    before: str, after: str, refusal: Callable[[Request], object]
) -> None:
    server = Upgraded(before, refusal)
    async with connected(server) as far:
        assert far.peer.hello.era == before
        server.era = after
        call = tool_call("x")
        far.peer.send(call)
        assert "result" in await call.answer()
        assert far.peer.hello.era == after
        assert "tools" in far.events.all("changed")


@pytest.mark.requirement("T-02")
@pytest.mark.parametrize(("before", "after"), [("legacy", "modern"), ("modern", "legacy")])
async def test_the_era_is_remembered_and_found_out_again_when_it_does_not_work(before: str, after: str) -> None:
    server = Upgraded(before, lambda request: request.answer(400))
    with serving(server) as served:
        connector = HttpConnector(configured(served.url))
        for era in (before, before, after):
            server.era = era
            peer = await connector.connect(Events(), b"{}")
            assert peer.hello.era == era
            await peer.close()
    methods = [method for method in served.asked() if method in {"server/discover", "initialize"}]
    if before == "legacy":
        assert methods == ["server/discover", "initialize", "initialize", "initialize", "server/discover"]
    else:
        assert methods == ["server/discover", "server/discover", "server/discover", "initialize"]


@pytest.mark.requirement("T-02")
async def test_a_modern_error_of_a_method_is_not_taken_for_another_era() -> None:
    async with connected(modern(lambda request: refuse(request, 400, -32602))) as far:
        call = tool_call("x")
        far.peer.send(call)
        assert (await call.answer())["error"]["code"] == -32602
    assert far.server.asked() == ["server/discover", "tools/call"]


async def test_a_server_killed_in_mid_call_is_used_again_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "CHECKS", (0.1,) * 100)
    server = Sessions()

    def hang(request: Request) -> None:
        if request.method == "tools/call" and server.known == "s1":
            request.open_stream()
        else:
            server(request)

    with serving(hang) as first:
        events = Events()
        peer = await HttpConnector(configured(first.url)).connect(events, b"{}")
        call = tool_call("x")
        peer.send(call)
        await asyncio.to_thread(first.wait_for, "tools/call")
        port = first.port
        first.close()
        assert "may or may not have taken effect" in (await call.answer())["error"]["message"]
    waiting = tool_call("x")
    peer.send(waiting)
    given_up = tool_call("x")
    peer.send(given_up)
    await asyncio.sleep(0.3)
    assert not waiting.outcome.done()
    peer.cancel(given_up)
    server.known = None
    with serving(hang, port):
        assert await waiting.answer() == {"result": {"session": "s2"}}
        again = tool_call("x")
        peer.send(again)
        assert await again.answer() == {"result": {"session": "s2"}}
        await peer.close()
    assert server.ran.count("tools/call") == 2
    assert not events.all("ended")


async def test_a_call_that_could_not_be_sent_waits_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "CHECKS", (LIMIT,))  # not before the test is over
    monkeypatch.setattr(recovery, "PATIENCE", 0.0)
    with serving(Sessions()) as server:
        peer = await HttpConnector(configured(server.url)).connect(Events(), b"{}")
    assert "nobody listens there" in await _unsent(peer)
    await peer.close()


async def test_a_call_that_could_not_be_sent_is_tried_again_though_the_look_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "CHECKS", (LIMIT,))  # as one that waits for a machine that is no more
    monkeypatch.setattr(recovery, "RETRY", 0.05)
    monkeypatch.setattr(client, "KEEP", 0.0)
    reply = modern(lambda request: request.result({"resultType": "complete"}))
    with serving(reply) as server:
        port = server.port
        peer = await HttpConnector(configured(server.url)).connect(Events(), b"{}")
    call, given_up = tool_call("x"), tool_call("x")
    peer.send(call)
    peer.send(given_up)
    await asyncio.sleep(0.3)
    peer.cancel(given_up)
    with serving(reply, port) as server:
        assert "result" in await call.answer()
        assert server.asked() == ["tools/call"]
    await peer.close()


@pytest.mark.parametrize("era", [legacy, modern])
async def test_a_server_that_stays_away_ends_the_life_and_one_that_comes_back_does_not(
    era: Callable[[Callable[[Request], object]], Callable[[Request], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "CHECKS", (0.2, 0.01))
    reply = era(lambda request: request.result({}))
    with serving(reply) as server:
        events = Events()
        peer = await HttpConnector(configured(server.url)).connect(events, b"{}")
        peer.suspect()
        await events.until("changed")  # it is there, and something may have been missed
        assert not events.all("ended")
        server.close()
        assert "nobody listens there" in await _unsent(peer)
        assert "cannot connect" in await events.until("ended")
        with pytest.raises(Failure, match="is gone"):
            peer.send(tool_call("x"))
        await peer.close()


async def _unsent(peer: Peer) -> str:
    """Give the error of a call that could not be sent; the first may go out over a connection that breaks."""
    while True:
        call = tool_call("x")
        peer.send(call)
        message = str((await call.answer())["error"]["message"])
        if "may or may not" not in message:
            return message
