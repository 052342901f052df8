from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from front_harness import Client, Running, post, running
from toolman.config import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("T-32")

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}


@pytest.fixture
async def front() -> AsyncIterator[Running]:
    async with running() as found:
        yield found


@pytest.fixture
async def client(front: Running) -> AsyncIterator[Client]:
    async with front.client() as found:
        yield found


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 403),
        ({"Host": "localhost.evil.example.com"}, 403),
        ({"Host": "127.0.0.1@evil.example.com"}, 400),
        ({"Host": "absent"}, 400),
        ({"Host": "localhost\r\nHost: localhost"}, 400),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:3000"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Origin": "http://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "file://localhost"}, 403),
        ({"Origin": "http://localhost:5173"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "absent"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": "text/plain\r\nContent-Type: application/json"}, 400),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "*/*"}, 200),
        ({"Accept": "absent"}, 200),
        ({"Accept": "application/json;q=0"}, 406),
        ({"Accept": "application/json\r\nAccept: text/event-stream"}, 200),
    ],
)
async def test_headers_are_checked_before_the_body(client: Client, headers: dict[str, str], status: int) -> None:
    assert (await client.post(INITIALIZE, headers)).status == status


@pytest.mark.requirement("T-01")
@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"])
async def test_other_methods_are_not_allowed(client: Client, method: str) -> None:
    client.send(f"{method} /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await client.read(has_body=method != "HEAD")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, DELETE")
    assert (await client.post(INITIALIZE)).status == 200


@pytest.mark.requirement("T-01")
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/mcp", 405),
        ("/mcp/", 405),
        ("/mcp?x=1", 405),
        ("http://localhost/mcp", 405),
        ("/mcp/one", 405),
        ("/mcp/two", 404),
        ("/mcp/one/more", 404),
        ("/MCP", 404),
        ("/", 404),
        ("*", 404),
        ("http://[/", 404),
        ("/.well-known/oauth-protected-resource/mcp", 404),
        ("/.well-known/openid-configuration", 404),
        ("/livez", 404),
    ],
)
async def test_bare_gets_and_probes_are_told_that_nothing_is_there(client: Client, target: str, status: int) -> None:
    client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert (await client.read()).status == status


async def test_settings_are_in_force_as_soon_as_they_are_changed(front: Running, client: Client) -> None:
    assert (await client.post(INITIALIZE, {"Host": "mcp.example.com"})).status == 403
    front.configure(allowed_hosts=("mcp.example.com",), path="/else")
    assert (await client.post(INITIALIZE, {"Host": "mcp.example.com"}, "/else")).status == 200
    assert (await client.post(INITIALIZE)).status == 404


async def test_without_the_token_nobody_is_served_and_a_new_one_counts_without_a_restart(
    front: Running, client: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "token"
    front.configure(token=Secret(file=str(path)))
    refused = await client.post(INITIALIZE, {"Authorization": "Bearer old"})
    assert (refused.status, refused.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert "the token cannot be read" in caplog.text
    path.write_text("old\n")
    front.pass_time(1)
    assert (await client.post(INITIALIZE)).status == 401
    assert (await client.post(INITIALIZE, {"Authorization": "Bearer older"})).status == 401
    assert (await client.post(INITIALIZE, {"Authorization": "Basic old"})).status == 401
    assert (await client.post(INITIALIZE, {"Authorization": "bearer old"})).status == 200
    assert (await client.post(INITIALIZE, {"Authorization": "Bearer old\r\nAuthorization: Bearer x"})).status == 400
    path.write_text("newer")
    front.pass_time(1)
    assert (await client.post(INITIALIZE, {"Authorization": "Bearer old"})).status == 401
    assert (await client.post(INITIALIZE, {"Authorization": "Bearer newer"})).status == 200
    path.write_text(" \n")
    front.pass_time(1)
    assert (await client.post(INITIALIZE, {"Authorization": "Bearer "})).status == 401
    assert (await client.post(INITIALIZE, {"Authorization": "Bearer"})).status == 401
    assert "there is no token in" in caplog.text
    client.send(b"GET /.well-known/oauth-protected-resource HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await client.read()).status == 404


async def test_who_shows_no_token_does_not_learn_which_servers_there_are(
    front: Running, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    front.configure(token=Secret(file=str(path)))
    shown = "Authorization: Bearer secret\r\n"
    for target, line, status in (("/mcp/none", "", 401), ("/mcp/none", shown, 404), ("/mcpx", "", 404)):
        client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{line}\r\n".encode())
        assert (await client.read()).status == status


async def test_without_a_token_nobody_is_asked_for_one(client: Client) -> None:
    assert (await client.post(PING)).status == 400
    client.send(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await client.read()).status == 405


async def test_the_token_is_asked_for_before_the_body_is_read(front: Running, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    front.configure(token=Secret(file=str(path)))
    head = post(b"x" * 100, {"Expect": "100-continue"}).partition(b"\r\n\r\n")[0]
    client.send(head + b"\r\n\r\n")
    assert (await client.read()).status == 401


@pytest.mark.requirement("T-01")
@pytest.mark.parametrize(
    ("message", "version", "expected"),
    [
        (INITIALIZE, None, 200),
        (INITIALIZE, "2025-11-25", 200),
        (INITIALIZE, "2024-11-05", 200),
        (PING, None, 400),
        (PING, "2025-06-18", 400),
        (PING, "2026-07-28", 400),
        (PING, "soon", 400),
    ],
)
async def test_the_version_header_tells_the_era(
    client: Client, message: dict[str, object], version: str | None, expected: int
) -> None:
    answer = await client.post(message, {"MCP-Protocol-Version": version or "absent"})
    assert answer.status == expected


@pytest.mark.requirement("T-01")
async def test_a_modern_request_that_names_no_version_in_a_header_is_told_so(client: Client) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    answer = await client.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}})
    assert (answer.status, answer.json()["error"]["code"], answer.json()["id"]) == (400, -32020, 1)
