from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from toolman_harness import HEADERS, SCRIPTED, is_alive, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolman_harness import Client, Starter

pytestmark = pytest.mark.requirement("T-07")

CHANGED = "notifications/tools/list_changed"
MODERN = "2026-07-28"
EVERYTHING = {"source": "all"}


def server(name: str, *tools: str, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any setting
    upstream = {"kind": "process", "command": SCRIPTED, "env": {"SERVER_TOOLS": ",".join(tools)}}
    return {"name": name, "upstream": upstream} | changes


@contextlib.contextmanager
def listening(client: Client, identifier: object = "listen:0") -> Iterator[Iterator[dict[str, Any]]]:
    """Listen for changed tools as clients of the modern era do."""
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"notifications": {"toolsListChanged": True}, "_meta": meta}
    body = {"jsonrpc": "2.0", "id": identifier, "method": "subscriptions/listen", "params": params}
    headers = HEADERS | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    with client.http.stream("POST", "/mcp", content=json.dumps(body), headers=headers) as response:
        data = (line.removeprefix("data:").strip() for line in response.iter_lines() if line.startswith("data:"))
        yield (json.loads(text) for text in data if text)


def test_a_dead_and_a_slow_server_hide_their_own_tools_alone(starter: Starter) -> None:
    dead = {"name": "dead", "upstream": {"kind": "process", "command": ["false"]}}
    slow = {"name": "slow", "upstream": {"kind": "process", "command": ["sleep", "1000"]}, "timeouts": {"start": 2}}
    _, client, _ = starter.serve({"servers": [dead, slow, server("git", "a")], "layers": [EVERYTHING]})
    assert client.tools() == ["git__a"]
    assert "result" in client.request("tools/call", {"name": "git__a"})


def test_each_server_has_an_endpoint_of_its_own(starter: Starter) -> None:
    toolman, client, _ = starter.serve({"servers": [server("git", "a"), server("time", "b")], "layers": [EVERYTHING]})
    port = client.http.base_url.port or 0
    assert client.tools() == ["git__a", "time__b"]
    for name, tools in (("git", ["git__a"]), ("time", ["time__b"])):
        one = starter.client(port)
        meant = one.http.post(f"/mcp/{name}", content=initialize())
        headers = {"Mcp-Session-Id": meant.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}
        listed = one.http.post(f"/mcp/{name}", content=request("tools/list"), headers=headers).json()
        assert [tool["name"] for tool in listed["result"]["tools"]] == tools
        other = ({"git__a", "time__b"} - set(tools)).pop()
        called = one.http.post(f"/mcp/{name}", content=request("tools/call", name=other), headers=headers).json()
        assert called["error"]["message"] == f"Unknown tool: {other}"
    assert toolman.log.count("MCP 2025-11-25") == 2


def initialize() -> str:
    return request(
        "initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t", "version": "1"}
    )


def request(method: str, **params: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})


@pytest.mark.requirement("T-03")
def test_changed_tools_are_told_to_both_eras_once_and_only_if_the_visible_ones_changed(starter: Starter) -> None:
    layers = [{"source": "x", "tools": {"deny": ["secret*"]}}]
    servers = [server("git", "change", "a"), server("time", "b")]
    _, client, _ = starter.serve({"servers": servers, "layers": layers})
    assert client.tools() == ["git__change", "git__a", "time__b"]
    with client.events() as legacy, listening(client) as modern:
        assert next(modern)["params"]["notifications"] == {"toolsListChanged": True}
        client.call("git__change", tools=["change", "a", "secret"], times=3)
        client.call("git__change", tools=["change", "c"], times=20)
        assert next(legacy)["method"] == CHANGED
        heard = next(modern)
        assert (heard["method"], heard["params"]["_meta"]) == (
            CHANGED,
            {"io.modelcontextprotocol/subscriptionId": "listen:0"},
        )
        assert client.tools() == ["git__change", "git__c", "time__b"]
        client.call("git__change", tools=["change"])
        assert [next(legacy)["method"], next(modern)["method"]] == [CHANGED, CHANGED]
        assert client.tools() == ["git__change", "time__b"]


@pytest.mark.requirement("T-22")
def test_each_session_has_a_process_of_its_own_which_ends_with_it(starter: Starter) -> None:
    own = server("own", "state", sessions="perSession")
    _, one, _ = starter.serve({"servers": [own], "layers": [EVERYTHING]})
    other = starter.client(one.http.base_url.port or 0).initialize()
    pids = [client.ask("own__state")["pid"] for client in (one, other)]
    assert pids[0] != pids[1]
    assert one.ask("own__state")["pid"] == pids[0]
    assert one.http.delete("/mcp").is_success
    until(lambda: not is_alive(pids[0]))
    assert is_alive(pids[1])
    assert other.ask("own__state")["pid"] == pids[1]


@pytest.mark.requirement("T-22")
def test_where_sessions_are_needed_clients_of_the_modern_era_are_sent_to_them(starter: Starter) -> None:
    own = server("own", "a", sessions="perSession")
    _, client, _ = starter.serve({"servers": [own], "layers": [EVERYTHING]})
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": meta}}
    headers = HEADERS | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "server/discover"}
    fresh = starter.client(client.http.base_url.port or 0)
    refused = fresh.http.post("/mcp", content=json.dumps(body), headers=headers)
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == -32601
    assert fresh.initialize().tools() == ["own__a"]


@pytest.mark.requirement("T-13")
def test_a_tool_that_is_not_what_was_verified_is_hidden_like_an_unknown_one(starter: Starter) -> None:
    recorded = [{"name": "a", "hash": "sha256:0"}]
    toolman, client, _ = starter.serve({"servers": [server("git", "a", manifest=recorded)], "layers": [EVERYTHING]})
    assert client.tools() == []
    assert client.request("tools/call", {"name": "git__a"})["error"]["message"] == "Unknown tool: git__a"
    record = until(toolman.audit)[-1]
    assert (record["reason"], record["layer"]) == ("Pinned", "manifest")
    toolman.said("not what was verified, by their servers' manifests: git/a")
