from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from toolman_harness import Client, Starter, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("F-07")

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    starter = Starter(tmp_path_factory.mktemp("front"))
    _, client = starter.run()
    yield client
    starter.end()


@pytest.fixture
def fresh(front: Client) -> Iterator[Client]:
    """Give a client without a session."""
    client = Client(front.http.base_url.port or 0)
    yield client
    client.http.close()


@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_version_that_is_served_is_agreed_on(fresh: Client, version: str) -> None:
    fresh.initialize(version)
    assert fresh.http.headers["MCP-Protocol-Version"] == version


@pytest.mark.parametrize("version", ["2024-11-05", "2026-07-28", "soon"])
def test_any_other_version_gets_the_latest(fresh: Client, version: str) -> None:
    fresh.initialize(version)
    assert fresh.http.headers["MCP-Protocol-Version"] == "2025-11-25"


def test_only_what_is_served_is_advertised(fresh: Client) -> None:
    result = fresh.post(INITIALIZE).json()["result"]
    assert result["capabilities"] == {"tools": {"listChanged": True}}
    assert set(result) == {"protocolVersion", "capabilities", "serverInfo"}


def test_session_ids_are_long_visible_and_never_the_same(fresh: Client) -> None:
    found = {fresh.post(INITIALIZE).headers["Mcp-Session-Id"] for _ in range(20)}
    assert len(found) == 20
    assert all(len(one) >= 32 and one.isascii() and one.isprintable() and " " not in one for one in found)


def test_a_modern_probe_gets_an_answer_from_which_a_client_falls_back(fresh: Client) -> None:
    probe = {"jsonrpc": "2.0", "id": "server-discover-probe-1", "method": "server/discover", "params": {"_meta": {}}}
    response = fresh.post(probe, **{"MCP-Protocol-Version": "2026-07-28"})
    assert response.status_code == 400
    assert response.json()["id"] == "server-discover-probe-1"
    assert response.json()["error"]["code"] != -32022


def test_a_request_without_a_session_is_refused_and_an_unknown_session_is_not_found(fresh: Client) -> None:
    assert fresh.post(PING).status_code == 400
    response = fresh.post(PING, **{"Mcp-Session-Id": "nope"})
    assert response.status_code == 404
    assert response.json()["id"] == 1


def test_a_deleted_session_is_not_found_any_more(fresh: Client) -> None:
    fresh.initialize()
    assert fresh.http.delete("/mcp").status_code == 204
    assert fresh.post(PING).status_code == 404
    assert fresh.http.delete("/mcp").status_code == 404


def test_the_version_header_may_be_absent_but_not_wrong(fresh: Client) -> None:
    fresh.initialize()
    del fresh.http.headers["MCP-Protocol-Version"]
    assert fresh.request("ping")["result"] == {}
    response = fresh.post(PING, **{"MCP-Protocol-Version": "1999-01-01"})
    assert response.status_code == 400
    assert "1999-01-01" in response.json()["error"]["message"]


def test_notifications_and_responses_are_accepted_without_a_body(front: Client) -> None:
    for body in ({"jsonrpc": "2.0", "method": "notifications/x"}, {"jsonrpc": "2.0", "id": 1, "result": {}}):
        response = front.post(body)
        assert (response.status_code, response.content) == (202, b"")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ("1", -32700),
        ("[]", -32600),
        ("[" + json.dumps(PING) + "]", -32600),
        ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        ('{"id":1,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","method\\u0000":"tools/call"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","x":"\xff"}', -32700),
        ("[" * 100_000, -32600),
        ('{"a":' * 100_000, -32700),
    ],
)
def test_what_is_no_message_is_refused_with_the_right_error(front: Client, body: str | bytes, code: int) -> None:
    response = front.post(body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == code


def test_a_call_without_a_name_has_invalid_params(front: Client) -> None:
    for params in ({}, {"name": 5}, {"name": None}):
        assert front.request("tools/call", params)["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 403),
        ({"Host": "localhost.evil.example.com"}, 403),
        ({"Host": "127.0.0.1@evil.example.com"}, 400),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:3000"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Origin": "http://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "file://localhost"}, 403),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "*/*"}, 200),
        ({"Accept": "application/json;q=0"}, 406),
    ],
)
def test_headers_are_checked_before_the_body(fresh: Client, headers: dict[str, str], status: int) -> None:
    assert fresh.post(INITIALIZE, **headers).status_code == status


def test_a_body_over_the_limit_is_refused(front: Client) -> None:
    big = json.dumps(PING | {"params": {"x": "x" * 4 * 1024 * 1024}})
    assert front.post(big).status_code == 413
    chunks = (big[start : start + 65536].encode() for start in range(0, len(big), 65536))
    response = front.http.post("/mcp", content=chunks)
    assert response.status_code == 413
    assert front.request("ping")["result"] == {}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "HEAD", "OPTIONS"])
def test_other_methods_are_not_allowed(front: Client, method: str) -> None:
    response = front.http.request(method, "/mcp")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST, DELETE"


def test_a_bare_get_is_refused_and_well_known_documents_do_not_exist(fresh: Client) -> None:
    assert fresh.http.get("/mcp").status_code == 405
    assert fresh.http.get("/.well-known/oauth-protected-resource/mcp").status_code == 404
    assert fresh.http.get("/").status_code == 404


def test_the_stream_needs_an_accept_header_for_it(front: Client) -> None:
    assert front.http.get("/mcp", headers={"Accept": "application/json"}).status_code == 406


def test_a_change_of_the_tools_is_announced_on_the_stream(starter: Starter) -> None:
    _, client = starter.run()
    client.tools()
    with client.events() as events:
        client.call("change", tools=["echo", "change"])
        assert next(events) == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    assert client.tools() == ["echo", "change"]


def test_a_change_that_agents_cannot_see_is_not_announced(starter: Starter) -> None:
    toolman, client = starter.run("--deny", "hidden*", TOOLMAN_LOG_LEVEL="DEBUG")
    client.tools()
    with client.events() as events:
        everything = ["echo", "change"]
        client.call("change", tools=[*everything, "hidden1"])
        assert next(events)["method"] == "notifications/tools/list_changed"
        client.call("change", tools=[*everything, "hidden1", "hidden2"], times=100)
        client.call("change", tools=["echo"])
        assert next(events)["method"] == "notifications/tools/list_changed"
        until(lambda: client.tools() == ["echo"])
    assert toolman.log.count("tools are visible") == 3


def test_a_change_between_the_list_and_the_stream_is_announced(starter: Starter) -> None:
    _, client = starter.run()
    client.tools()
    client.call("change", tools=["echo"])
    other = starter.client(client.http.base_url.port or 0).initialize()
    until(lambda: other.tools() == ["echo"])
    with client.events() as events:
        assert next(events)["method"] == "notifications/tools/list_changed"


def test_the_stream_ends_with_its_session(starter: Starter) -> None:
    _, client = starter.run()
    with client.events() as events:
        assert client.http.delete("/mcp").status_code == 204
        assert list(events) == []


def test_a_line_break_in_a_result_cannot_forge_an_event(starter: Starter, tmp_path: Path) -> None:
    forging = tmp_path / "forging.py"
    forging.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if 'id' not in m: continue\n"
        "    r = {'initialize': {'protocolVersion': '2025-11-25', 'capabilities': {}, 'serverInfo': {}},\n"
        "         'tools/list': {'tools': [{'name': 't'}]}}.get(m['method'])\n"
        "    token = m.get('params', {}).get('_meta', {}).get('progressToken')\n"
        "    forged = '\\r\\rdata: {\"forged\":1}\\r\\r'\n"
        "    if r is None:\n"
        '        print(\'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%d,\'\n'
        "              '\"progress\":1' % token + forged.replace('data: {\"forged\":1}', '') + '}}', flush=True)\n"
        "    body = json.dumps(r) if r else '{\"content\":[]\\r\\r}'\n"
        '    print(\'{"jsonrpc":"2.0","id":%d,"result":%s}\' % (m[\'id\'], body), flush=True)\n'
    )
    toolman, client = starter.run(command=["python3", str(forging)])
    params = {"name": "t", "_meta": {"progressToken": 1}}
    response = client.post({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params})
    assert "\r" not in response.text, toolman.log
    assert response.text.count("\n\n") == 2


def test_both_loopback_addresses_serve(starter: Starter) -> None:
    _, client = starter.run()
    port = client.http.base_url.port or 0
    assert starter.client(port, "[::1]").initialize().request("ping")["result"] == {}
    assert starter.client(port, "localhost").initialize().request("ping")["result"] == {}
