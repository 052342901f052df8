from __future__ import annotations

import json
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from lab.pki import Authority
from mcp_operator import remote
from mcp_operator.images.contract import BuildCancelled, BuildError
from mcp_operator.remote import Target

from toolman import addresses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.requirement("O-01")

TOOLS = [{"name": "read", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}]
SECRET = "Bearer hunter2hunter2"


class Server(ThreadingHTTPServer):
    """An MCP server over HTTP, or something that is none: ``answer`` says what requests get."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.status = 200
        self.location = ""
        self.error = ""
        self.is_mute = False
        self.ended: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hangs up."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        if self.is_mute:
            return {}
        if self.error:
            return {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -1, "message": self.error}}
        results = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "far", "version": "2"},
            },
            "tools/list": {"tools": TOOLS},
        }
        return {"jsonrpc": "2.0", "id": message["id"], "result": results[message["method"]]}


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.heads.append(dict(self.headers))
        self.server.paths.append(self.path)
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.answer(message)).encode() if "id" in message else b""
        self.send_response(self.server.status if body else 202)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Type", "application/json")
        self.send_header("Mcp-Session-Id", "session-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self) -> None:
        self.server.ended.append(self.headers["Mcp-Session-Id"])
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    with Server() as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as found:
        yield found


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine count as another one."""
    monkeypatch.setattr(addresses, "place", lambda _: "public")


def target(server: Server, **more: Any) -> Target:  # noqa: ANN401 - fields of it
    return Target(url=f"http://mcp.example.com:{server.port}/mcp?key=1", transport="streamable-http", **more)


def here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.mark.usefixtures("elsewhere")
def test_a_server_is_greeted_at_its_url_with_its_headers(server: Server) -> None:
    found = remote.greet(target(server, headers={"Authorization": SECRET}), look_up=here)
    assert found.manifest.server == "far 2"
    (tool,) = found.manifest.tools
    assert (tool.name, tool.read_only) == ("read", True)
    assert set(server.paths) == {"/mcp?key=1"}
    assert {head["Host"] for head in server.heads} == {f"mcp.example.com:{server.port}"}
    assert {head["Authorization"] for head in server.heads} == {SECRET}
    assert server.ended == ["session-1"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1", "0.0.0.0"],  # noqa: S104
)
@pytest.mark.parametrize("inside", [True, False])
def test_this_machine_and_metadata_are_refused_even_where_a_policy_names_the_host(
    server: Server,
    address: str,
    inside: bool,  # noqa: FBT001 - a column of the table
) -> None:
    with pytest.raises(BuildError, match="which is this machine or a cloud's metadata") as told:
        remote.greet(target(server, inside=inside), look_up=lambda *_: ["8.8.8.8", address])
    assert told.value.reason == "AddressRefused"
    assert not server.heads


@pytest.mark.parametrize("address", ["10.96.0.1", "192.168.1.1", "fd12::1", "100.64.0.7", "198.51.100.9"])
def test_addresses_of_the_cluster_are_refused_unless_a_policy_names_the_host(server: Server, address: str) -> None:
    networks = ("198.51.100.0/24",)
    with pytest.raises(BuildError, match="inside of the cluster") as told:
        remote.greet(target(server, networks=networks), look_up=lambda *_: [address])
    assert told.value.reason == "AddressRefused"
    assert "sources.allow" in told.value.hint


@pytest.mark.parametrize(
    "host",
    [
        "weather",
        "weather.team.svc",
        "weather.team.svc.cluster.local",
        "metadata.google.internal",
        "localhost.",
        "x.local",
    ],
)
def test_names_of_the_cluster_are_refused_without_asking_for_their_address(host: str) -> None:
    asked: list[str] = []

    def look_up(name: str, _port: int) -> list[str]:
        asked.append(name)
        return ["8.8.8.8"]

    with pytest.raises(BuildError) as told:
        remote.greet(Target(url=f"https://{host}/mcp", transport="streamable-http"), look_up=look_up)
    assert told.value.reason == "AddressRefused"
    assert asked == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:7f00:1]"]
)
def test_every_spelling_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(BuildError) as told:
        remote.greet(Target(url=f"http://{host}:1/mcp", transport="streamable-http"))
    assert told.value.reason == "AddressRefused"


@pytest.mark.parametrize("url", ["https://mcp.example.com:99999/mcp", "https://[::1/mcp", "https:///mcp"])
def test_a_url_that_cannot_be_used_is_the_owners_to_correct(url: str) -> None:
    with pytest.raises(BuildError) as told:
        remote.greet(Target(url=url, transport="streamable-http"), look_up=lambda *_: ["8.8.8.8"])
    assert (told.value.reason, told.value.transient) == ("RemoteRefused", False)
    assert "spec.source.remote.url" in told.value.hint


@pytest.mark.usefixtures("elsewhere")
def test_a_redirect_leads_nowhere_else(server: Server) -> None:
    with running() as other:
        server.status, server.location = 307, f"http://127.0.0.1:{other.port}/elsewhere"
        server.is_mute = True
        with pytest.raises(BuildError) as told:
            remote.greet(target(server), look_up=here)
        assert told.value.reason == "RemoteRefused"
        assert not other.heads


@pytest.mark.usefixtures("elsewhere")
def test_what_a_server_says_in_an_error_has_no_secret_and_no_control_characters(server: Server) -> None:
    server.error = f"\x1b[2Jwrong token {SECRET.split()[1]}"
    with pytest.raises(BuildError) as told:
        remote.greet(target(server, headers={"Authorization": SECRET}), look_up=here)
    assert told.value.reason == "RemoteRefused"
    assert "hunter2" not in told.value.message
    assert "wrong token ***" in told.value.message
    assert told.value.message.isprintable()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("status", "reason", "transient"),
    [(401, "RemoteRefused", False), (404, "RemoteRefused", False), (503, "RemoteUnreachable", True)],
)
def test_statuses_say_whose_fault_it_is(server: Server, status: int, reason: str, transient: bool) -> None:  # noqa: FBT001 - a column
    server.status = status
    server.is_mute = True
    with pytest.raises(BuildError) as told:
        remote.greet(target(server), look_up=here)
    assert (told.value.reason, told.value.transient) == (reason, transient)


@pytest.mark.usefixtures("elsewhere")
def test_a_server_that_is_not_there_is_tried_again(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(BuildError) as told:
        remote.greet(Target(url=f"http://mcp.example.com:{port}/", transport="sse"), look_up=here)
    assert (told.value.reason, told.value.transient) == ("RemoteUnreachable", True)
    assert not server.heads


def test_a_name_without_an_address_is_tried_again() -> None:
    def look_up(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(BuildError, match=r"mcp\.example\.com has no address: Name or service not known") as told:
        remote.greet(Target(url="https://mcp.example.com/", transport="streamable-http"), look_up=look_up)
    assert told.value.transient


@pytest.mark.usefixtures("elsewhere")
def test_a_server_that_never_answers_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(BuildError):
            remote.greet(Target(url=f"http://mcp.example.com:{port}/", transport="streamable-http"), look_up=here)


@pytest.mark.usefixtures("elsewhere")
def test_an_operator_that_ends_does_not_go_on_asking(server: Server) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(BuildCancelled):
        remote.greet(target(server), cancelled, look_up=here)


@pytest.mark.usefixtures("elsewhere")
def test_only_the_authorities_that_are_named_are_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.create()
    authority.server("far", "/CN=far", ["DNS:mcp.example.com"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.folder / "far.crt", authority.folder / "far.key")
    with running(context) as server:
        url = f"https://mcp.example.com:{server.port}/mcp"
        trusted = authority.certificate.read_text()
        found = remote.greet(Target(url=url, transport="streamable-http", authorities=trusted), look_up=here)
        assert found.manifest.tools[0].name == "read"
        with pytest.raises(BuildError, match="its certificate is not trusted") as told:
            remote.greet(Target(url=url, transport="streamable-http"), look_up=here)
        assert (told.value.reason, told.value.transient) == ("RemoteRefused", False)
        with pytest.raises(BuildError, match="caRef holds no certificates"):
            remote.greet(Target(url=url, transport="streamable-http", authorities="nothing"), look_up=here)
