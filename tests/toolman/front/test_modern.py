from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from front_harness import META, Client, Running, enveloped, eventually, running
from toolman.front.modern import Client as Caller
from toolman.protocol import modern

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.requirement("T-01")


@pytest.fixture
async def front() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


@pytest.fixture
async def client(front: Running) -> AsyncIterator[Client]:
    async with front.client() as found:
        yield found


async def test_a_request_needs_no_session_and_an_id_of_one_is_ignored(client: Client) -> None:
    answer = await client.ask("server/discover", Mcp_Session_Id="nonsense")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert "mcp-session-id" not in answer.headers


async def test_the_caller_is_what_the_envelope_says(front: Running, client: Client) -> None:
    meta = META | {
        "io.modelcontextprotocol/clientInfo": {"name": "c"},
        "io.modelcontextprotocol/logLevel": "info",
        "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        "traceparent": "x",
    }
    await client.ask("tools/call", {"name": "t", "_meta": meta}, Mcp_Param_Region="eu", Mcp_Param_X="=?base64?eA==?=")
    await client.ask("tools/list")
    (caller, message), (other, _) = front.core.asked
    assert (caller.era, caller.version, caller.label, caller.principal) == ("modern", modern.VERSION, "-", "")
    assert caller.capabilities == b'{"sampling": {}}'
    assert caller.client_info == b'{"name": "c"}'
    assert caller.log_level == "info"
    assert caller.mirrored == {"region": b"eu", "x": b"=?base64?eA==?="}
    assert b"traceparent" in (message.params or b"")
    assert (other.client_info, other.log_level) == (None, None)
    assert caller.owner == other.owner  # one connection is one client's
    await client.ask("tools/list", X_Forwarded_For="10.0.0.1")
    assert front.core.asked[-1][0].owner != other.owner  # but for those behind a proxy


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (-32700, 400),
        (-32600, 400),
        (-32601, 404),
        (-32602, 400),
        (-32603, 200),
        (-32020, 400),
        (-32021, 400),
        (-32022, 400),
        (-32000, 200),
        (-32002, 200),
        (1, 200),
    ],
)
async def test_the_status_comes_from_the_code_whoever_gave_the_error(client: Client, code: int, status: int) -> None:
    answer = await client.ask("fail", {"code": code})
    assert answer.status == status
    assert answer.json() == {"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "failed"}}


async def test_params_that_the_core_cannot_read_are_a_bad_request(client: Client) -> None:
    answer = await client.ask("bad")
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32602)


def without(key: str) -> dict[str, Any]:
    return {"_meta": {name: value for name, value in META.items() if not name.endswith(key)}}


CALL = {"name": "tool"}


@pytest.mark.parametrize(
    ("method", "params", "headers", "code"),
    [
        ("x", {"_meta": None}, {}, -32602),
        ("x", {"_meta": 1}, {}, -32602),
        ("x", without("protocolVersion"), {}, -32602),
        ("x", without("clientCapabilities"), {}, -32602),
        ("x", {"_meta": META | {"io.modelcontextprotocol/clientCapabilities": []}}, {}, -32602),
        ("x", {"_meta": META | {"io.modelcontextprotocol/protocolVersion": 1}}, {}, -32602),
        ("x", {"_meta": META | {"io.modelcontextprotocol/protocolVersion": "2025-11-25"}}, {}, -32020),
        ("x", {}, {"MCP-Protocol-Version": "2027-01-01"}, -32020),
        ("x", {}, {"Mcp-Method": "absent"}, -32020),
        ("x", {}, {"Mcp-Method": "X"}, -32020),
        ("tools/call", CALL, {"Mcp-Name": "absent"}, -32020),
        ("tools/call", CALL, {"Mcp-Name": "Tool"}, -32020),
        ("tools/call", CALL, {"Mcp-Name": "=?base64?!!!?="}, -32020),
        ("prompts/get", CALL, {"Mcp-Name": "other"}, -32020),
        ("resources/read", {"uri": "a:b"}, {"Mcp-Name": "a:c"}, -32020),
        ("tasks/get", {"taskId": "1"}, {"Mcp-Name": "2"}, -32020),
        ("tasks/cancel", {"taskId": "1"}, {"Mcp-Name": "absent"}, -32020),
    ],
)
async def test_what_is_missing_or_does_not_agree_is_a_bad_request(
    client: Client, method: str, params: dict[str, Any], headers: dict[str, str], code: int
) -> None:
    message, found = enveloped(method, params)
    answer = await client.post(message, found | headers)
    assert (answer.status, answer.json()["error"]["code"], answer.json()["id"]) == (400, code, 1)


@pytest.mark.parametrize("name", ["tool", "  tool  ", "=?base64?dG9vbA==?="])
async def test_a_name_may_be_padded_or_encoded(client: Client, name: str) -> None:
    assert (await client.ask("tools/call", {"name": "tool"}, Mcp_Name=name)).status == 200


async def test_without_a_name_the_core_says_what_is_wrong(front: Running, client: Client) -> None:
    assert (await client.ask("tools/call", {})).status == 200
    assert front.core.asked[0][1].method == "tools/call"


@pytest.mark.parametrize("has_meta", [True, False])
async def test_a_version_that_is_not_served_is_answered_with_those_that_are(client: Client, has_meta: bool) -> None:  # noqa: FBT001
    meta = META | {"io.modelcontextprotocol/protocolVersion": "2027-01-01"}
    message = {"jsonrpc": "2.0", "id": "p", "method": "server/discover", "params": {"_meta": meta} if has_meta else {}}
    answer = await client.post(message, {"MCP-Protocol-Version": "2027-01-01", "Mcp-Method": "server/discover"})
    assert answer.status == 400
    assert answer.json()["id"] == "p"
    assert answer.json()["error"]["code"] == -32022
    assert answer.json()["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2027-01-01"}


@pytest.mark.requirement("T-32")
@pytest.mark.parametrize("name", ["Mcp-Method", "Mcp-Name", "MCP-Protocol-Version", "Mcp-Param-A"])
async def test_a_header_that_must_agree_must_appear_once(client: Client, name: str) -> None:
    message, found = enveloped("tools/call", {"name": "t"})
    answer = await client.post(message, found | {"Mcp-Param-A": "1", name.upper() + ": x\r\n" + name: "x"})
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[]", b'{"jsonrpc":"2.0","id":1}', b'{"jsonrpc":"2.0","id":1,"result":{}}']
)
async def test_what_is_no_request_is_a_bad_request(client: Client, body: bytes) -> None:
    answer = await client.post(body, {"MCP-Protocol-Version": "2026-07-28"})
    assert answer.status == 400
    assert answer.json()["error"]["code"] in {-32700, -32600}


@pytest.mark.requirement("T-32")
async def test_json_that_is_nested_too_deeply_is_refused(client: Client) -> None:
    deep = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":' + b"[" * 500_000 + b"]" * 500_000 + b"}}"
    answer = await client.post(deep, {"MCP-Protocol-Version": "2026-07-28"})
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32700)


async def test_a_notification_is_accepted_and_dropped(front: Running, client: Client) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    answer = await client.post(message, {"MCP-Protocol-Version": "2026-07-28"})
    assert (answer.status, answer.body) == (202, b"")
    assert front.core.heard == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_is_nothing_but_post(client: Client, method: str) -> None:
    client.send(f"{method} /mcp HTTP/1.1\r\nHost: localhost\r\nMCP-Protocol-Version: 2026-07-28\r\n\r\n".encode())
    answer = await client.read()
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_notes_make_the_response_a_stream_without_ids(front: Running, client: Client) -> None:
    message, found = enveloped("hold")
    await client.post(message, found, waits=False)
    await eventually(lambda: front.core.held)
    reply = front.core.held[0][2]
    assert reply.note(b'{"a":1}')
    assert reply.note(b'{"a":\r\n2}')
    reply.finish(jsonrpc.result(b"{}"))
    assert not reply.note(b'{"late":1}')
    answer = await client.read()
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-accel-buffering"] == "no"
    assert await client.event() == {"event": "message", "data": '{"a":1}'}
    assert await client.message() == {"a": 2}
    assert await client.message() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    with pytest.raises(EOFError):
        await client.message()
    assert (await client.ask("ping")).status == 200


async def test_who_waits_long_gets_a_stream_that_shows_life(front: Running, client: Client) -> None:
    message, found = enveloped("hold")
    await client.post(message, found, waits=False)
    await eventually(lambda: front.core.held)
    front.pass_time(15)
    front.pass_time(15)
    assert (await client.read()).headers["content-type"] == "text/event-stream"
    assert await client.event() == await client.event() == {"": "keep-alive"}
    front.core.held[0][2].finish(jsonrpc.error(-32602, "x"))
    assert (await client.message())["error"]["code"] == -32602


async def test_who_takes_no_streams_gets_none(front: Running, client: Client) -> None:
    message, found = enveloped("hold")
    await client.post(message, found | {"Accept": "application/json"}, waits=False)
    await eventually(lambda: front.core.held)
    assert not front.core.held[0][2].note(b"{}")
    front.pass_time(20)
    front.core.held[0][2].finish(jsonrpc.result(b"{}"))
    assert (await client.read()).json()["result"] == {}


async def test_who_takes_streams_alone_gets_one(client: Client) -> None:
    message, found = enveloped("ping")
    answer = await client.post(message, found | {"Accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream"
    assert (await client.message())["id"] == 1


async def test_a_client_that_goes_away_has_cancelled(front: Running) -> None:
    async with front.client() as client:
        message, found = enveloped("hold")
        await client.post(message, found, waits=False)
        await eventually(lambda: front.core.held)
        front.core.held[0][2].note(b"{}")
    await eventually(lambda: front.core.cancelled == [1])
    assert not front.core.held[0][2].note(b"{}")


@pytest.mark.parametrize("path", ["/mcp", "/mcp/one"])
async def test_where_servers_need_sessions_clients_are_made_to_fall_back(
    front: Running, client: Client, path: str
) -> None:
    front.gateway.stateful = {None, "one"}
    for method in ("server/discover", "tools/list"):
        message, found = enveloped(method)
        answer = await client.post(message, found, path)
        assert (answer.status, answer.json()["error"]["code"]) == (404, -32601)
        assert "initialize" in answer.json()["error"]["message"]


async def test_an_endpoint_of_a_server_shows_that_server_alone(front: Running, client: Client) -> None:
    message, found = enveloped("tools/list")
    assert (await client.post(message, found, "/mcp/one")).status == 200
    assert (await client.post(message, found, "/mcp/two")).status == 404
    assert front.core.asked[0][0].server == "one"


def test_a_caller_has_no_more_than_it_needs() -> None:
    assert not hasattr(Caller(modern.Envelope("v", b"{}", None, None, None), "", None, {}), "__dict__")
