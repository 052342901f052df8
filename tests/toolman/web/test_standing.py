from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from toolman.upstreams import watching
from toolman.upstreams.web import inbox, posts, standing
from upstream_harness import tool_call
from web_harness import LIMIT, connected, legacy, modern

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted_server import Request

pytestmark = pytest.mark.requirement("T-06")

ASKS = {"jsonrpc": "2.0", "id": "q-1", "method": "elicitation/create", "params": {"message": "?"}}
ACCEPTED = jsonrpc.result(b'{"action":"accept"}')


def changed(kind: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": f"notifications/{kind}/list_changed"}


def note(method: str, **params: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}


def telling(*messages: object, extra: str = "") -> Callable[[Request], object]:
    """Give a stream that stays open."""

    def news(request: Request) -> None:
        request.open_stream()
        for message in messages:
            request.event(message, extra)

    return news


def busy(request: Request) -> None:
    """Leave calls open."""
    request.open_stream() if request.method == "tools/call" else request.result({})


async def test_what_comes_on_the_stream_of_news_is_for_everybody() -> None:
    news = telling(
        changed("tools"),
        changed("resources"),
        note("message", level="info", data="hello"),
        note("resources/updated", uri="file:///nobody/asked"),
        note("other", x=1),
    )
    async with connected(legacy(busy, news)) as far:
        assert await far.events.until("notified") == ("notifications/other", {"x": 1})
    assert far.events.told == [
        ("changed", "tools"),
        ("changed", "resources"),
        ("logged", {"level": "info", "data": "hello"}),
        ("notified", ("notifications/other", {"x": 1})),
    ]


async def test_a_stream_that_breaks_is_opened_again_behind_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "FIRST_PAUSE", 0.01)

    def news(request: Request) -> None:
        request.open_stream()
        if request.header("last-event-id") is None:
            request.event(changed("tools"), "id: e-1\nretry: 20\n")
            request.end_stream()
        else:
            request.event(changed("prompts"), "id: e-2\n")

    async with connected(legacy(busy, news)) as far:
        await far.events.until("changed", 2)
        assert (await far.asked("GET", 2)).header("last-event-id") == "e-1"
    assert far.events.all("changed") == ["tools", "prompts"]


async def test_what_may_have_been_missed_without_event_ids_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "FIRST_PAUSE", 0.01)

    async with connected(legacy(busy, telling_twice())) as far:
        await far.asked("GET", 2)
        assert await far.events.until("changed") == "tools"


def telling_twice() -> Callable[[Request], object]:
    opened = []

    def news(request: Request) -> None:
        opened.append(request)
        request.open_stream()
        if len(opened) == 1:
            request.end_stream()

    return news


@pytest.mark.parametrize(("status", "times"), [(405, 1), (404, 1), (501, 2), (409, 2), (503, 2)])
async def test_a_stream_that_is_refused_for_now_is_tried_again_and_one_that_is_not_there_is_not(
    status: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "FIRST_PAUSE", 0.01)

    def reply(request: Request) -> None:
        if request.method == "initialize":  # without a session: nothing can be forgotten
            request.result({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}})
        elif request.verb == "GET":
            request.answer(status)
        elif "id" in request.message:
            request.answer(400) if request.method == "server/discover" else request.result({})
        else:
            request.answer(202)

    async with connected(reply) as far:
        await far.asked("GET", times)
        await far.peer.request("tools/list", {}, LIMIT)
        assert far.server.asked().count("GET") >= times
        assert times > 1 or far.server.asked().count("GET") == 1


async def test_a_forgotten_session_is_noticed_on_the_stream_of_news() -> None:
    gone: list[Request] = []

    def news(request: Request) -> None:
        gone.append(request)
        request.answer(404 if len(gone) == 1 else 405)

    async with connected(legacy(busy, news)) as far:
        await far.asked("initialize", 2)
        await far.asked("GET", 2)


async def test_a_question_on_a_calls_stream_is_that_calls_and_is_answered_once() -> None:
    def reply(request: Request) -> None:
        request.open_stream()
        request.event(ASKS | {"id": request.message["id"]})

    async with connected(legacy(reply)) as far:
        calls = [tool_call("x", owner=owner) for owner in ("a", "b")]
        for call in calls:
            far.peer.send(call)
        for call in calls:
            async with asyncio.timeout(LIMIT):
                await call.is_asked.wait()
            assert call.questions[0].method == "elicitation/create"
            call.questions[0].answer(ACCEPTED)
            call.questions[0].answer(ACCEPTED)
        await far.asked("answer", 2)
        answers = [request for request in far.server.requests if request.method == "answer"]
    assert [request.message["result"] for request in answers] == [{"action": "accept"}] * 2
    assert {request.message["id"] for request in answers} == {call.number for call in calls}
    assert {request.header("mcp-session-id") for request in answers} == {"s1"}


async def test_silence_does_not_end_a_call_while_the_server_waits_for_an_answer() -> None:
    def reply(request: Request) -> None:
        if request.method == "tools/call":
            request.open_stream()
            if request.message["params"]["name"] == "asks":
                request.event(ASKS)

    async with connected(legacy(reply)) as far:
        asking, silent = tool_call("asks", timeout=0.1), tool_call("silent", timeout=0.1)
        far.peer.send(asking)
        async with asyncio.timeout(LIMIT):
            await asking.is_asked.wait()
        far.peer.send(silent)
        assert "did not answer" in (await silent.answer())["error"]["message"]
        assert not asking.outcome.done()
        asking.questions[0].answer(ACCEPTED)
        assert "did not answer" in (await asking.answer())["error"]["message"]


@pytest.mark.parametrize(("owners", "who"), [([], "events"), (["a", "a"], "call"), (["a", "b"], "nobody")])
async def test_a_question_on_the_stream_of_news_is_for_the_only_client_there_is(owners: list[str], who: str) -> None:
    ready = asyncio.Event()
    loop = asyncio.get_running_loop()
    opened: list[Request] = []

    def news(request: Request) -> None:
        request.open_stream()
        opened.append(request)
        loop.call_soon_threadsafe(ready.set)

    async with connected(legacy(busy, news)) as far:
        calls = [tool_call("x", owner=owner) for owner in owners]
        for call in calls:
            far.peer.send(call)
        async with asyncio.timeout(LIMIT):
            await ready.wait()
        opened[0].event(ASKS)
        if who == "events":
            await far.events.until("asked")
            far.events.questions[0].answer(ACCEPTED)
        elif who == "call":
            async with asyncio.timeout(LIMIT):
                await calls[-1].is_asked.wait()
            calls[-1].questions[0].answer(ACCEPTED)
        answer = (await far.asked("answer")).message
    assert answer["id"] == "q-1"
    assert answer.get("result") == (None if who == "nobody" else {"action": "accept"})
    assert who != "nobody" or answer["error"]["code"] == jsonrpc.METHOD_NOT_FOUND
    assert not any(call.questions for call in calls[:-1])


async def test_pings_are_answered_and_withdrawn_questions_are_not() -> None:
    news = telling(ASKS | {"method": "ping"}, ASKS | {"id": 2}, note("cancelled", requestId=2), changed("tools"))
    async with connected(legacy(busy, news)) as far:
        answer = (await far.asked("answer")).message
        assert answer == {"jsonrpc": "2.0", "id": "q-1", "result": {}}
        await far.events.until("changed")
        far.events.questions[0].answer(ACCEPTED)
        await far.peer.request("tools/list", {}, LIMIT)
        assert far.server.asked().count("answer") == 1


async def test_a_flood_of_questions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_QUESTIONS", 2)
    async with connected(legacy(busy, telling(*(ASKS | {"id": number} for number in range(3))))) as far:
        assert (await far.asked("answer")).message["id"] == 2


@pytest.mark.requirement("T-06")
async def test_a_stream_that_ends_early_is_come_back_to_after_the_time_it_says() -> None:
    def reply(request: Request) -> None:
        request.open_stream()
        request.chunk(b"id: 1\nretry: 30\ndata: \n\n")
        request.end_stream()

    def news(request: Request) -> None:
        if request.header("last-event-id") != "1":
            request.answer(405)
            return
        request.open_stream()
        number = next(each for each in far.server.requests if each.method == "tools/call").message["id"]
        request.event(
            {
                "jsonrpc": "2.0",
                "method": "notifications/progress",
                "params": {"progressToken": number, "progress": 1},
            },
            "id: 2\n",
        )
        request.event({"jsonrpc": "2.0", "id": number, "result": {"late": True}})
        request.end_stream()

    async with connected(legacy(reply, news)) as far:
        call = tool_call("x")
        far.peer.send(call)
        assert await call.answer() == {"result": {"late": True}}
        assert call.heard_of == [1]
    assert far.server.asked().count("tools/call") == 1


async def test_a_stream_that_cannot_be_resumed_is_an_error_and_the_call_is_not_sent_again() -> None:
    def reply(request: Request) -> None:
        request.open_stream()
        request.chunk(b"id: 1\nretry: 0\ndata: \n\n")
        request.drop()

    async with connected(legacy(reply)) as far:
        call = tool_call("x")
        far.peer.send(call)
        message = (await call.answer())["error"]["message"]
        assert "cannot be resumed: it answered with HTTP 405; the call may or may not" in message
    assert far.server.asked().count("tools/call") == 1


async def test_coming_back_without_end_is_given_up() -> None:
    def reply(request: Request) -> None:
        request.open_stream()
        request.chunk(b"id: 1\nretry: 0\ndata: \n\n")
        request.end_stream()

    async with connected(legacy(reply, reply)) as far:
        call = tool_call("x")
        far.peer.send(call)
        assert "may or may not" in (await call.answer())["error"]["message"]
        resumed = [each for each in far.server.requests if each.header("last-event-id")]
        assert len(resumed) >= posts.MAX_RETURNS


class Listening:
    """A modern server with subscriptions."""

    def __init__(self) -> None:
        self.open: list[Request] = []

    def __call__(self, request: Request) -> None:
        if request.method != "subscriptions/listen":
            request.result({"resultType": "complete"})
            return
        request.open_stream()
        self.open.append(request)
        wanted = request.message["params"]["notifications"]
        self.tell(request, "subscriptions/acknowledged", notifications=wanted)

    def tell(self, request: Request, method: str, **params: object) -> None:
        meta = {"io.modelcontextprotocol/subscriptionId": request.message["id"]}
        request.event({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params | {"_meta": meta}})


@pytest.mark.requirement("T-02")
async def test_a_modern_server_is_listened_to_for_lists_and_resources() -> None:
    server = Listening()
    async with connected(modern(server)) as far:
        await far.peer.watch(frozenset())
        await far.peer.watch(frozenset({"file:///a"}))
        listen = server.open[-1]
        assert listen.header("mcp-method") == "subscriptions/listen"
        assert listen.message["params"]["notifications"] == {
            "toolsListChanged": True,
            "resourceSubscriptions": ["file:///a"],
        }
        server.tell(listen, "tools/list_changed")
        server.tell(listen, "resources/updated", uri="file:///a", x=1)
        server.tell(server.open[0], "prompts/list_changed")
        assert await far.events.until("updated") == ("file:///a", {"uri": "file:///a", "x": 1})
        assert far.events.all("changed") == ["tools"]


@pytest.mark.requirement("T-02")
async def test_a_subscription_that_drops_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "FIRST_PAUSE", 0.01)
    server = Listening()
    async with connected(modern(server)) as far:
        await far.peer.watch(frozenset())
        server.open[0].end_stream()
        await far.asked("subscriptions/listen", 2)
        assert await far.events.until("changed") == "tools"


async def test_a_question_of_a_modern_server_is_not_answered() -> None:
    def reply(request: Request) -> None:
        request.open_stream()
        request.event(ASKS)
        request.event({"jsonrpc": "2.0", "id": request.message["id"], "result": {}})
        request.end_stream()

    async with connected(modern(reply)) as far:
        call = tool_call("x")
        far.peer.send(call)
        assert await call.answer() == {"result": {}}
        assert not call.questions
    assert "answer" not in far.server.asked()
