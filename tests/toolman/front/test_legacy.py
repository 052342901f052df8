from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from front_harness import Client, Running, eventually, running
from toolman.front import legacy
from toolman.sessions import ENDED
from toolman.streams import MAX_LISTENING

from toolman import jsonrpc, sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from toolman.sessions import Session

pytestmark = pytest.mark.requirement("T-06")


@pytest.fixture
async def front() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


@pytest.fixture
async def client(front: Running) -> AsyncIterator[Client]:
    async with front.client() as found:
        yield found


async def hold(front: Running, client: Client, session: str, number: int = 1) -> None:
    """Send a request that waits."""
    before = len(front.core.held)
    message = {"jsonrpc": "2.0", "id": number, "method": "hold"}
    await client.post(message, {"Mcp-Session-Id": session}, waits=False)
    await eventually(lambda: len(front.core.held) > before)


async def test_session_ids_are_long_visible_and_never_the_same(front: Running) -> None:
    found = {await front.session() for _ in range(20)}
    assert len(found) == 20
    assert all(len(one) >= 32 and one.isascii() and one.isprintable() and " " not in one for one in found)


async def test_a_session_knows_what_its_client_said(front: Running, client: Client) -> None:
    params = {"protocolVersion": "2025-06-18", "capabilities": {"roots": {}}, "clientInfo": {"name": "c"}}
    await client.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}, path="/mcp/one")
    (session,) = front.sessions
    assert (session.era, session.version, session.server) == ("legacy", "2025-06-18", "one")
    assert (session.capabilities, session.client_info) == (b'{"roots": {}}', b'{"name": "c"}')
    assert session.owner == session.principal == session.identifier
    assert session.identifier not in session.label


@pytest.mark.parametrize("params", [{}, {"protocolVersion": 1}, {"protocolVersion": "x", "capabilities": []}])
async def test_an_initialize_that_cannot_be_read_makes_no_session(
    front: Running, client: Client, params: dict[str, object]
) -> None:
    answer = await client.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    assert answer.json()["error"]["code"] == -32602
    assert "mcp-session-id" not in answer.headers
    assert len(front.sessions) == 0


@pytest.mark.requirement("T-32")
async def test_what_a_client_says_of_itself_is_bounded(front: Running, client: Client) -> None:
    params = {"protocolVersion": "2025-06-18", "clientInfo": {"name": "x" * legacy.MAX_HELLO}}
    answer = await client.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    assert answer.status == 400
    assert len(front.sessions) == 0


async def test_an_initialize_that_the_core_refuses_leaves_no_session(front: Running, client: Client) -> None:
    front.core.refuses = True
    params = {"protocolVersion": "2025-06-18"}
    answer = await client.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    assert answer.json()["error"]["message"] == "not now"
    assert "mcp-session-id" not in answer.headers
    assert len(front.sessions) == 0


async def test_without_a_session_400_with_an_unknown_one_404_after_delete_404(front: Running, client: Client) -> None:
    session = await front.session()
    ping = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
    without = await client.post(ping)
    assert (without.status, without.json()["id"]) == (400, 7)
    unknown = await client.post(ping, {"Mcp-Session-Id": "x"})
    assert (unknown.status, unknown.json()["id"]) == (404, 7)
    delete = f"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}\r\n\r\n".encode()
    client.send(delete * 2)
    assert [(await client.read()).status for _ in range(2)] == [200, 404]
    assert (await client.call(session)).status == 404
    assert (await client.listen(session)).status == 404


async def test_a_session_belongs_to_the_endpoint_that_made_it(front: Running, client: Client) -> None:
    session = await front.session(path="/mcp/one")
    assert (await client.call(session)).status == 404
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert (await client.post(ping, {"Mcp-Session-Id": session}, "/mcp/one")).status == 200


@pytest.mark.requirement("T-01")
@pytest.mark.parametrize("version", ["absent", "2025-11-25", "2025-06-18", "2025-03-26"])
async def test_the_version_header_may_be_absent_after_initialize(front: Running, client: Client, version: str) -> None:
    session = await front.session("2025-11-25")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await client.post(ping, {"Mcp-Session-Id": session, "MCP-Protocol-Version": version})
    assert answer.status == 200


@pytest.mark.requirement("T-32")
async def test_two_session_headers_are_refused(front: Running, client: Client) -> None:
    session = await front.session()
    answer = await client.post(
        {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Mcp-Session-Id": f"{session}\r\nMcp-Session-Id: x"}
    )
    assert answer.status == 400


async def test_notifications_and_responses_are_accepted_and_reach_the_core(front: Running, client: Client) -> None:
    session = await front.session()
    for message in ({"method": "notifications/initialized"}, {"id": 4, "result": {}}):
        answer = await client.post({"jsonrpc": "2.0", **message}, {"Mcp-Session-Id": session})
        assert (answer.status, answer.body) == (202, b"")
    assert [(caller.owner, message.method, message.key) for caller, message in front.core.heard] == [
        (session, "notifications/initialized", None),
        (session, None, 4),
    ]


async def test_errors_are_ok_for_http_in_this_era(front: Running, client: Client) -> None:
    session = await front.session()
    for method, code in (("bad", -32602), ("fail", -32601)):
        answer = await client.call(session, method, params={"code": -32601})
        assert (answer.status, answer.json()["error"]["code"]) == (200, code)


async def test_who_goes_away_has_cancelled_nothing(front: Running) -> None:
    session = await front.session()
    async with front.client() as client:
        await hold(front, client, session)
    await eventually(lambda: len(front.connections) == 0)
    front.core.held[0][2].finish(jsonrpc.result(b"{}"))
    assert front.core.cancelled == []


async def test_the_end_of_a_session_cancels_what_is_on_its_way_and_ends_its_streams(front: Running) -> None:
    session = await front.session()
    async with front.client() as waiting, front.client() as listening, front.client() as client:
        await hold(front, waiting, session)
        await listening.listen(session)
        client.send(f"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}\r\n\r\n".encode())
        assert (await client.read()).status == 200
        assert (await waiting.read()).json()["error"]["message"] == "cancelled"
        with pytest.raises(EOFError):
            await listening.message()
    assert front.core.cancelled == [1]


async def test_a_stream_begins_with_an_id_to_come_back_with(front: Running, client: Client) -> None:
    session = await front.session()
    await hold(front, client, session)
    reply = front.core.held[0][2]
    reply.note(b'{"n":1}')
    reply.finish(jsonrpc.result(b"{}"))
    assert (await client.read()).headers["content-type"] == "text/event-stream"
    assert await client.event() == {"id": "post-1-0", "retry": "1000", "data": ""}
    assert await client.event() == {"id": "post-1-1", "event": "message", "data": '{"n":1}'}
    assert (await client.event())["id"] == "post-1-2"
    with pytest.raises(EOFError):
        await client.event()


async def test_clients_of_older_revisions_get_no_event_without_data(front: Running, client: Client) -> None:
    session = await front.session("2025-06-18")
    await hold(front, client, session)
    front.core.held[0][2].note(b'{"n":1}')
    await client.read()
    assert await client.event() == {"": "keep-alive"}
    assert (await client.event())["data"] == '{"n":1}'


async def test_a_broken_stream_is_resumed_where_it_broke(front: Running) -> None:
    session = await front.session()
    async with front.client() as first:
        await hold(front, first, session)
        reply = front.core.held[0][2]
        reply.note(b'{"n":1}')
        reply.note(b'{"n":2}')
        await first.read()
        await first.event()
        last = (await first.event())["id"]
    await eventually(lambda: len(front.connections) == 0)
    assert reply.note(b'{"n":3}')
    async with front.client() as second:
        await second.listen(session, last)
        assert [(await second.message())["n"] for _ in range(2)] == [2, 3]
        reply.note(b'{"n":4}')
        assert (await second.message())["n"] == 4
        reply.finish(jsonrpc.result(b"{}"))
        assert (await second.message())["id"] == 1
        with pytest.raises(EOFError):
            await second.event()
        await second.listen(session, "post-1-3")
        assert (await second.message())["n"] == 4
        assert (await second.message())["id"] == 1
        with pytest.raises(EOFError):
            await second.event()


async def test_an_outcome_that_nobody_heard_is_there_for_who_comes_back(front: Running) -> None:
    session = await front.session()
    async with front.client() as first:
        await hold(front, first, session)
        front.pass_time(15)
        await first.read()
        last = (await first.event())["id"]
    await eventually(lambda: len(front.connections) == 0)
    front.core.held[0][2].finish(jsonrpc.result(b'{"late":true}'))
    async with front.client() as second:
        await second.listen(session, last)
        assert (await second.message())["result"] == {"late": True}


async def test_a_stream_that_is_resumed_elsewhere_leaves_its_old_connection_alone(front: Running) -> None:
    session = await front.session()
    async with front.client() as first, front.client() as second:
        await hold(front, first, session)
        reply = front.core.held[0][2]
        reply.note(b'{"n":1}')
        await first.read()
        await second.listen(session, "post-1-0")
        await first.event()
        await first.event()
        with pytest.raises(EOFError):
            await first.event()
        assert (await first.call(session, number=5)).json()["id"] == 5
        reply.finish(jsonrpc.result(b"{}"))
        assert [(await second.message()).get("id") for _ in range(2)] == [None, 1]
        assert (await first.call(session, number=6)).json()["id"] == 6


@pytest.mark.parametrize("last", ["post-9-1", "post-1-7"])
async def test_what_is_not_kept_cannot_be_resumed(front: Running, client: Client, last: str) -> None:
    session = await front.session()
    await hold(front, client, session)
    front.core.held[0][2].note(b"{}")
    async with front.client() as other:
        answer = await other.listen(session, last)
        assert answer.status == 400
        assert "send the request again" in answer.json()["error"]["message"]


async def test_a_session_cannot_resume_the_stream_of_another(front: Running, client: Client) -> None:
    session, other = await front.session(), await front.session()
    await hold(front, client, session)
    front.core.held[0][2].note(b'{"secret":1}')
    async with front.client() as thief:
        assert (await thief.listen(other, "post-1-0")).status == 400


async def test_a_message_of_no_request_goes_on_one_stream_or_waits_for_one(front: Running) -> None:
    session_id = await front.session()
    (session,) = front.sessions
    session.push(b'{"n":0}')
    session.push(b'{"n":0}')
    async with front.client() as one, front.client() as two:
        await one.listen(session_id)
        assert await one.message() == {"n": 0}
        await two.listen(session_id)
        session.push(b'{"n":1}')
        assert await two.message() == {"n": 1}
        two.writer.close()
        await eventually(lambda: len(front.connections) == 1)
        session.push(b'{"n":2}')
        assert await one.message() == {"n": 2}
    await eventually(lambda: len(front.connections) == 0)
    session.push(b'{"n":3}')
    async with front.client() as three:
        await three.listen(session_id, "get-1-2")
        assert await three.message() == {"n": 3}


async def test_a_get_stream_whose_events_are_forgotten_begins_anew(front: Running, client: Client) -> None:
    session = await front.session()
    assert (await client.listen(session, "get-77-3")).status == 200
    assert (await client.event())["id"] == "get-1-0"


async def test_a_get_stream_shows_life(front: Running, client: Client) -> None:
    session = await front.session()
    await client.listen(session)
    await client.event()
    front.pass_time(15)
    assert await client.event() == {"": "keep-alive"}


async def test_a_get_needs_a_session_and_a_client_that_reads_streams(front: Running, client: Client) -> None:
    session = await front.session()
    client.send(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await client.read()).status == 405
    client.send(
        f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nMcp-Session-Id: {session}\r\n\r\n".encode()
    )
    assert (await client.read()).status == 406


async def test_many_get_streams_end_the_oldest(front: Running) -> None:
    session = await front.session()
    async with contextlib.AsyncExitStack() as stack:
        oldest, *others = [await stack.enter_async_context(front.client()) for _ in range(MAX_LISTENING + 1)]
        await oldest.listen(session)
        await oldest.event()
        for client in others:
            await client.listen(session)
        with pytest.raises(EOFError):
            await oldest.event()


async def test_when_toolman_ends_listening_ends_and_calls_may_finish(front: Running) -> None:
    session = await front.session()
    async with front.client() as calling, front.client() as listening:
        await hold(front, calling, session)
        front.core.held[0][2].note(b'{"n":1}')
        await listening.listen(session)
        front.sessions.end_streams()
        with pytest.raises(EOFError):
            await listening.message()
        assert front.connections.is_serving
        front.core.held[0][2].finish(jsonrpc.result(b"{}"))
        await calling.read()
        assert [(await calling.message()).get("id") for _ in range(2)] == [None, 1]
        assert not front.connections.is_serving


async def test_a_batch_is_answered_with_an_array(front: Running, client: Client) -> None:
    session = await front.session("2025-03-26")
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/x"},
        {"jsonrpc": "2.0", "id": "2", "method": "bad"},
        {"jsonrpc": "2.0", "id": 3, "result": {}},
    ]
    answer = await client.post(batch, {"Mcp-Session-Id": session})
    assert [(each["id"], "error" in each) for each in answer.json()] == [(1, False), ("2", True)]
    assert len(front.core.heard) == 2
    assert (await client.post(batch[1:2], {"Mcp-Session-Id": session})).status == 202


async def test_a_batch_with_notes_is_answered_with_a_stream(front: Running, client: Client) -> None:
    session = await front.session("2025-03-26")
    batch = [{"jsonrpc": "2.0", "id": number, "method": method} for number, method in ((1, "ping"), (2, "hold"))]
    await client.post(batch, {"Mcp-Session-Id": session}, waits=False)
    await eventually(lambda: front.core.held)
    front.core.held[0][2].note(b'{"n":1}')
    front.core.held[0][2].finish(jsonrpc.result(b"{}"))
    assert (await client.read()).headers["content-type"] == "text/event-stream"
    assert [(await client.message()).get("id") for _ in range(3)] == [1, None, 2]
    with pytest.raises(EOFError):
        await client.message()


async def test_a_batch_whose_client_has_gone_is_kept_for_it(front: Running) -> None:
    session = await front.session("2025-03-26")
    async with front.client() as client:
        await client.post([{"jsonrpc": "2.0", "id": 1, "method": "hold"}], {"Mcp-Session-Id": session}, waits=False)
        await eventually(lambda: front.core.held)
        front.pass_time(15)
        await client.read()
    await eventually(lambda: len(front.connections) == 0)
    front.core.held[0][2].finish(jsonrpc.result(b"{}"))
    async with front.client() as client:
        await client.listen(session, "post-1-0")
        assert (await client.message())["id"] == 1


@pytest.mark.parametrize(
    ("version", "batch"),
    [
        ("2025-11-25", [{"jsonrpc": "2.0", "id": 1, "method": "ping"}]),
        ("2025-03-26", []),
        ("2025-03-26", [{"jsonrpc": "2.0", "id": 1, "method": "ping"}] * 101),
        ("2025-03-26", [{"jsonrpc": "2.0", "id": 1, "method": "ping"}, 7]),
    ],
)
async def test_a_batch_that_is_none_or_too_many_is_refused_whole(
    front: Running, client: Client, version: str, batch: list[object]
) -> None:
    session = await front.session(version)
    answer = await client.post(batch, {"Mcp-Session-Id": session})
    assert answer.status == 400
    assert front.core.asked == []


class Store:
    """Keeps sessions in a dict; can be made to fail."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.is_away = False

    async def load(self, identifier: str) -> bytes | None:
        return None if self.is_away else self.kept.get(identifier)

    async def save(self, identifier: str, data: bytes) -> None:
        self.kept[identifier] = data

    async def delete(self, identifier: str) -> None:
        self.kept[identifier] = ENDED


@pytest.mark.requirement("T-23")
async def test_a_session_outlives_its_toolman_in_a_store() -> None:
    store = Store()
    async with running(store) as before:
        session_id = await before.session("2025-06-18", "/mcp/one")
        (session,) = before.sessions
        session.subscriptions.add(("one", "a:b"))
        session.log_level = "error"
        async with before.client() as client:
            await client.post(
                {"jsonrpc": "2.0", "id": 1, "method": "logging/setLevel"}, {"Mcp-Session-Id": session_id}, "/mcp/one"
            )
        await before.sessions.settle()
        other_store = Store()
        other_store.kept = dict(store.kept)
    async with running(other_store) as after:
        arrived: list[Session] = []
        after.sessions.arrived = arrived.append
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        async with after.client() as client, after.client() as other:
            for each in (client, other):
                await each.post(ping, {"Mcp-Session-Id": session_id}, "/mcp/one", waits=False)
            assert [(await each.read()).status for each in (client, other)] == [200, 200]
            assert (await client.call(session_id)).status == 404  # another endpoint
            assert (await client.call("unknown")).status == 404
            assert (await client.listen("unknown")).status == 404
        (found,) = arrived
        assert (found.version, found.server, found.log_level) == ("2025-06-18", "one", "error")
        assert found.subscriptions == {("one", "a:b")}
        after.sessions.end(found)
        await after.sessions.settle()
        assert other_store.kept == {session_id: ENDED}
        async with after.client() as client:
            assert (await client.call(session_id)).status == 404


@pytest.mark.requirement("T-23")
async def test_what_is_ended_at_one_toolman_ends_at_others_and_what_the_store_lost_it_gets_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "CHECK", -1.0)
    store = Store()
    async with running(store) as one, running(store) as other, one.client() as here, other.client() as there:
        session_id = await one.session()
        await one.sessions.settle()
        store.kept.clear()
        assert (await here.call(session_id)).status == 200
        await one.sessions.settle()
        assert (await there.call(session_id)).status == 200
        (known,) = one.sessions
        one.sessions.end(known)
        await one.sessions.settle()
        await there.call(session_id)  # may still be answered: nobody waits for the store
        await other.sessions.settle()
        assert (await there.call(session_id)).status == 404
        assert store.kept == {session_id: ENDED}


@pytest.mark.requirement("T-23")
async def test_a_session_that_nobody_uses_here_may_be_used_elsewhere() -> None:
    store = Store()
    async with running(store) as one:
        session_id = await one.session()
        (known,) = one.sessions
        known.used -= one.sessions.ttl + 1
        one.sessions.expire()
        await one.sessions.settle()
        assert (known.is_ended, store.kept[session_id] != ENDED) == (True, True)


@pytest.mark.requirement("T-23")
async def test_a_store_that_is_away_or_holds_nonsense_means_a_new_session(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.kept["x"] = b"nonsense"
    async with running(store) as front, front.client() as client:
        assert (await client.call("x")).status == 404
        assert "cannot be read" in caplog.text
        store.is_away = True
        assert (await client.call("y")).status == 404
        assert (await client.call("z" * 500)).status == 404
