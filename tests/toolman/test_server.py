"""toolman as a whole, as people run it: what agents see of it over HTTP, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import ports
import pytest
from toolman_harness import HEADERS, LIMIT, SCRIPTED, Client, Starter, is_alive, until

from toolman import config, server

if TYPE_CHECKING:
    from collections.abc import Iterator

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
SERVER = {"name": "s", "upstream": {"kind": "process", "command": SCRIPTED}}


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


def ask(client: Client, method: str, **params: Any) -> httpx.Response:  # noqa: ANN401 - whatever JSON holds
    """Ask in the modern era."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META, **params}}
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    return client.post(message, **headers)


@pytest.mark.requirement("F-07", "T-01")
@pytest.mark.parametrize("version", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_version_that_is_served_is_agreed_on(fresh: Client, version: str) -> None:
    fresh.initialize(version)
    assert fresh.http.headers["MCP-Protocol-Version"] == version


@pytest.mark.requirement("F-07", "T-01")
@pytest.mark.parametrize("version", ["2024-11-05", "2026-07-28", "soon"])
def test_any_other_version_gets_the_latest(fresh: Client, version: str) -> None:
    fresh.initialize(version)
    assert fresh.http.headers["MCP-Protocol-Version"] == "2025-11-25"


@pytest.mark.requirement("T-01")
def test_both_eras_are_served_by_one_endpoint(fresh: Client) -> None:
    found = ask(fresh, "server/discover").json()["result"]
    assert found["supportedVersions"] == ["2026-07-28"]
    modern = ask(fresh, "tools/list").json()["result"]["tools"]
    fresh.initialize()
    assert [tool["name"] for tool in modern] == fresh.tools()
    assert ask(fresh, "tools/call", name="rich").json()["result"]["resultType"] == "complete"


@pytest.mark.requirement("T-01")
@pytest.mark.parametrize(("method", "status"), [("nothing/like/this", 404), ("initialize", 404), ("ping", 404)])
def test_what_the_modern_era_does_not_have_is_not_found(fresh: Client, method: str, status: int) -> None:
    response = ask(fresh, method)
    assert (response.status_code, response.json()["error"]["code"]) == (status, -32601)


@pytest.mark.requirement("T-22")
def test_where_servers_need_sessions_a_probe_makes_clients_fall_back(starter: Starter) -> None:
    own = SERVER | {"sessions": "perSession"}
    _, client, _ = starter.serve({"servers": [own], "layers": [{"source": "test"}]})
    response = ask(client, "server/discover")
    assert (response.status_code, response.json()["error"]["code"]) == (404, -32601)
    assert client.call("s__rich")


@pytest.mark.requirement("F-07")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ("1", -32700),
        ("[]", -32600),
        ('{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        ('{"id":1,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', -32600),
        ('{"jsonrpc":"2.0","id":1,"method":"ping","method\\u0000":"tools/call"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","x":"\xff"}', -32700),
        ("[" * 100_000, -32700),
        ('{"a":' * 100_000, -32700),
    ],
)
def test_what_is_no_message_is_refused_with_the_right_error(front: Client, body: str | bytes, code: int) -> None:
    response = front.post(body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == code


@pytest.mark.requirement("T-32")
def test_a_body_over_the_limit_is_refused(front: Client) -> None:
    big = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x" * 4 * 1024 * 1024}})
    assert front.post(big).status_code == 413
    chunks = (big[start : start + 65536].encode() for start in range(0, len(big), 65536))
    response = front.http.post("/mcp", content=chunks)
    assert response.status_code == 413
    assert front.request("ping")["result"] == {}


@pytest.mark.requirement("F-07")
def test_a_change_of_the_tools_is_announced_on_the_stream(starter: Starter) -> None:
    _, client = starter.run()
    client.tools()
    with client.events() as events:
        client.call("change", tools=["echo", "change"])
        assert next(events) == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    assert client.tools() == ["echo", "change"]


@pytest.mark.requirement("F-07")
def test_a_change_that_agents_cannot_see_is_not_announced(starter: Starter) -> None:
    _, client = starter.run("--deny", "hidden*")
    client.tools()
    with client.events() as events:
        everything = ["echo", "change"]
        client.call("change", tools=[*everything, "hidden1"])
        assert next(events)["method"] == "notifications/tools/list_changed"
        client.tools()
        client.call("change", tools=[*everything, "hidden1", "hidden2"], times=100)
        client.call("change", tools=["echo"])
        assert next(events)["method"] == "notifications/tools/list_changed"
        until(lambda: client.tools() == ["echo"])


@pytest.mark.requirement("T-06")
def test_the_stream_ends_with_its_session(starter: Starter) -> None:
    _, client = starter.run()
    with client.events() as events:
        assert client.http.delete("/mcp").status_code == 200
        assert list(events) == []


@pytest.mark.requirement("F-07", "T-32")
def test_a_line_break_in_a_result_cannot_forge_an_event(starter: Starter, tmp_path: Path) -> None:
    forging = tmp_path / "forging.py"
    forging.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    m = json.loads(line)\n"
        "    if 'id' not in m: continue\n"
        "    if m['method'] == 'server/discover':\n"
        '        print(\'{"jsonrpc":"2.0","id":%d,"error":{"code":-32601,"message":"x"}}\' % m[\'id\'], flush=True)\n'
        "        continue\n"
        "    r = {'initialize': {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}}, 'serverInfo': {}},\n"
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
    assert [event.count("\n") for event in response.text.split("\n\n")] == [2, 2, 2, 0]
    assert "forged" not in response.text


@pytest.mark.requirement("F-06", "T-35")
def test_both_loopback_addresses_serve(starter: Starter) -> None:
    _, client = starter.run()
    port = client.http.base_url.port or 0
    assert starter.client(port, "[::1]").initialize().request("ping")["result"] == {}
    assert starter.client(port, "localhost").initialize().request("ping")["result"] == {}


@pytest.mark.requirement("T-32")
def test_it_is_served_over_tls(starter: Starter, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 1 -subj /CN=localhost"
    extension = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *extension], check=True, capture_output=True, timeout=LIMIT)
    port = ports.free()
    path = tmp_path / "toolman.json"
    listen = {"port": port, "tls": {"certificate": str(certificate), "key": str(key)}}
    path.write_text(json.dumps({"listen": listen, "servers": [SERVER]}))
    toolman = starter.start("serve", "--config", str(path))
    toolman.said("listening at https://")
    params = {"protocolVersion": "2025-11-25", "capabilities": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    trusting = ssl.create_default_context(cafile=str(certificate))  # the certificate is its own authority
    with httpx.Client(verify=trusting, headers=HEADERS) as client:
        assert client.post(f"https://localhost:{port}/mcp", json=message).json()["id"] == 1
    assert toolman.end() == 0


@pytest.mark.requirement("T-32")
def test_a_certificate_that_cannot_be_used_is_named(starter: Starter, tmp_path: Path) -> None:
    path = tmp_path / "toolman.json"
    path.write_text(json.dumps({"listen": {"port": ports.free(), "tls": {"certificate": "/none", "key": "/none"}}}))
    toolman = starter.start("serve", "--config", str(path))
    assert toolman.process.wait(LIMIT) == 1
    assert "listen.tls cannot be used" in toolman.log


@pytest.mark.requirement("T-30")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_the_probes_answer_on_both_families_and_not_on_the_port_of_agents(starter: Starter, host: str) -> None:
    port = ports.free()
    _, client, _ = starter.serve({"servers": [SERVER], "admin": {"port": port}})
    for path in ("livez", "readyz"):
        assert httpx.get(f"http://{host}:{port}/{path}").text == "ok\n"
        assert client.http.get(f"/{path}").status_code == 404


@pytest.mark.requirement("T-33")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_it_is_told_to(starter: Starter, number: signal.Signals) -> None:
    toolman, client = starter.run()
    pid = client.ask("state")["pid"]
    other = starter.client(client.http.base_url.port or 0).initialize()
    with other.events() as events:
        toolman.process.send_signal(number)
        assert list(events) == []
    assert toolman.process.wait(LIMIT) == 0
    assert not is_alive(pid)
    with pytest.raises(httpx.TransportError):
        client.request("ping")


@pytest.mark.requirement("T-33")
def test_a_call_that_does_not_finish_is_answered_before_the_end(starter: Starter) -> None:
    toolman, client = starter.run()
    pid = client.ask("state")["pid"]
    other = starter.client(client.http.base_url.port or 0).initialize()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(other.request, "tools/call", {"name": "wait"})
        until(lambda: client.ask("state")["waiting"])
        assert toolman.end() == 0
        assert "error" in waiting.result(LIMIT)
    assert not is_alive(pid)


@pytest.mark.requirement("T-33")
def test_a_client_that_reads_nothing_does_not_keep_it_from_ending(starter: Starter) -> None:
    toolman, client = starter.run()
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "huge", "arguments": {"size": 9_000_000}},
    }
    body = json.dumps(message)
    head = {**HEADERS, "Host": "localhost", "Content-Length": str(len(body))}
    head["Mcp-Session-Id"] = client.http.headers["Mcp-Session-Id"]
    with socket.create_connection(("127.0.0.1", client.http.base_url.port or 0)) as deaf:
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        deaf.sendall(f"POST /mcp HTTP/1.1\r\n{lines}\r\n{body}".encode())
        assert deaf.recv(10)
        assert toolman.end() == 0


@pytest.mark.requirement("T-34")
def test_the_command_line_counts_more_than_the_file() -> None:
    chosen = config.Config(listen=config.Listen(port=1))
    assert server.Overrides().apply(chosen) == chosen
    assert server.Overrides(port=2).apply(chosen).listen == config.Listen(port=2)
    everywhere = server.Overrides(host="192.0.2.1").apply(chosen).listen
    assert (everywhere.loopback, everywhere.host) == (False, "192.0.2.1")
    assert server.Overrides(host="localhost").apply(config.Config(listen=everywhere)).listen.loopback


@pytest.mark.requirement("T-32")
def test_as_many_files_may_be_open_as_connections_need(starter: Starter) -> None:
    toolman, _, _ = starter.serve({"listen": {"maxConnections": 3000}, "servers": [SERVER]})
    limits = Path(f"/proc/{toolman.process.pid}/limits").read_text()
    soft, hard = re.findall(r"Max open files +(\d+) +(\d+)", limits)[0]
    assert int(soft) >= min(3000 + server.SPARE_FILES, int(hard))
