"""The probe against scripted bytes; tests/integration/test_verify.py has it against real servers in containers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from mcp_operator.images import http_client, http_probe
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.handshake import HandshakeError
from mcp_operator.images.sandbox import Ended

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.requirement("B-15")

Answer = tuple[int, dict[str, str], bytes]
HELLO = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "web"}}


class Site:
    """A web server in memory: each connection answers each request with what ``answer`` gives."""

    def __init__(self, answer: Callable[[str, str, dict[str, str], dict[str, Any]], Answer]) -> None:
        self.answer = answer
        self.seen: list[tuple[str, str, dict[str, str], dict[str, Any]]] = []
        self.connections = 0

    def dial(self) -> Connection:
        self.connections += 1
        return Connection(self)


class Connection:
    """One connection to a :class:`Site`."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._heard = b""
        self._output = b""

    def write(self, data: bytes, budget: Budget) -> None:
        assert not budget.over()
        self._heard += data
        head, found, rest = self._heard.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not found or len(rest) < int(length[1] if length else 0):
            return
        self._heard = b""
        first, *lines = head.decode().split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        request = (method, path, headers, json.loads(rest) if rest else {})
        self._site.seen.append(request)
        status, more, body = self._site.answer(*request)
        more = {"Content-Length": str(len(body)), **more}
        text = "".join(f"{name}: {value}\r\n" for name, value in more.items() if value)
        self._output += f"HTTP/1.1 {status} X\r\n{text}\r\n".encode() + body

    def read(self, budget: Budget) -> bytes:
        assert not budget.over()
        if not self._output:
            raise Ended
        piece, self._output = self._output[:1000], self._output[1000:]
        return piece


def result(message: dict[str, Any]) -> dict[str, Any]:
    results: dict[str, Any] = {"initialize": HELLO, "tools/list": {"tools": [{"name": "a"}]}}
    return {"jsonrpc": "2.0", "id": message.get("id"), "result": results.get(message["method"], {})}


def plain(status: int, text: str = "") -> Answer:
    return status, {"Content-Type": "text/plain"}, text.encode()


def said(value: object, status: int = 200, session: str = "") -> Answer:
    return status, {"Content-Type": "application/json", "Mcp-Session-Id": session}, json.dumps(value).encode()


def find(site: Site, *paths: str) -> http_probe.Found:
    return http_probe.find(site.dial, 80, paths, Budget(60))


def test_a_session_is_kept_and_the_revision_said_in_each_request() -> None:
    def answer(_method: str, path: str, _headers: dict[str, str], message: dict[str, Any]) -> Answer:
        if path != "/mcp":
            return plain(404)
        if "id" not in message:
            return plain(202)
        return said(result(message), session="s-1")

    site = Site(answer)
    found = find(site, "", "/named")

    assert (found.path, found.transport, [tool.name for tool in found.manifest.tools]) == (
        "/mcp",
        "streamable-http",
        ["a"],
    )
    assert [path for _, path, _, _ in site.seen] == ["/named", "/mcp", "/mcp", "/mcp"]
    _, _, headers, message = site.seen[-1]
    assert message["method"] == "tools/list"
    assert (headers["mcp-session-id"], headers["mcp-protocol-version"]) == ("s-1", "2025-06-18")
    assert site.connections == 1


def test_answers_that_are_streams_of_events_are_read() -> None:
    def answer(_method: str, _path: str, _headers: dict[str, str], message: dict[str, Any]) -> Answer:
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/message"})
        text = f": hello\n\nevent: message\ndata: {note}\n\nid: 1\ndata: {json.dumps(result(message))}\n\n"
        return (
            (200, {"Content-Type": "text/event-stream; charset=utf-8"}, text.encode())
            if "id" in message
            else plain(202)
        )

    assert find(Site(answer)).manifest.server == "web"


def test_a_redirect_is_followed_and_its_path_reported() -> None:
    def answer(_method: str, path: str, _headers: dict[str, str], message: dict[str, Any]) -> Answer:
        if path == "/mcp":
            return 307, {"Location": "http://127.0.0.1/mcp/"}, b""
        return said(result(message)) if path == "/mcp/" else plain(404)

    assert find(Site(answer)).path == "/mcp/"


def test_redirects_without_end_are_no_endpoint() -> None:
    site = Site(lambda *_: (307, {"Location": "/mcp"}, b""))

    with pytest.raises(HandshakeError, match="no MCP at /mcp"):
        find(site)


def test_a_server_that_refuses_initialize_is_asked_in_the_modern_era_with_its_headers() -> None:
    def answer(_method: str, _path: str, headers: dict[str, str], message: dict[str, Any]) -> Answer:
        if message["method"] == "initialize":
            return said({"jsonrpc": "2.0", "id": None, "error": {"code": -32022, "message": "no"}}, 400)
        assert (headers["mcp-protocol-version"], headers["mcp-method"]) == ("2026-07-28", message["method"])
        discovered = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
        return said({"jsonrpc": "2.0", "id": message["id"], "result": discovered})

    assert find(Site(answer)).manifest.era == "modern"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (plain(401), "wants an authorization at /mcp"),
        (plain(500), "no MCP at /mcp, /sse"),
        (plain(200, "<html>"), "no MCP"),
        ((200, {"Content-Type": "application/json"}, b'{"detail": "Not Found"}'), "no MCP"),
        (said({"jsonrpc": "2.0", "id": 1, "error": {"message": "broken"}}), "error: broken"),
        ((200, {"Content-Type": "text/event-stream"}, b"data: x\n\n"), "no MCP"),
    ],
)
def test_what_is_no_endpoint_is_said(answer: Answer, message: str) -> None:
    with pytest.raises(HandshakeError, match=message):
        find(Site(lambda *_: answer))


def test_what_speaks_no_http_is_no_endpoint() -> None:
    class Mute(Connection):
        def write(self, data: bytes, budget: Budget) -> None:
            assert data
            assert not budget.over()
            self._output += b"220 mail.example.com ESMTP\r\n"

    site = Site(lambda *_: plain(200))

    with pytest.raises(HandshakeError, match="no MCP"):
        http_probe.find(lambda: Mute(site), 25, (), Budget(60))


def test_an_answer_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "MAX_BODY", 1000)
    events = (200, {"Content-Type": "text/event-stream"}, b": x\n" * 1000)

    for answer in (plain(200, "x" * 2000), events):
        with pytest.raises(HandshakeError, match="more than"):
            find(Site(lambda *_, answer=answer: answer))


def test_the_time_of_the_whole_build_is_not_swallowed() -> None:
    class Slow(Connection):
        def write(self, data: bytes, budget: Budget) -> None:
            assert data
            budget.check(Step.VERIFY)

        def read(self, budget: Budget) -> bytes:
            assert not budget.over()
            raise BuildError("TimedOut", "over", step=Step.VERIFY)

    site = Site(lambda *_: plain(200))
    with pytest.raises(BuildError):
        http_probe.find(lambda: Slow(site), 80, (), Budget(0.0))
    with pytest.raises(HandshakeError):
        http_probe.find(lambda: Slow(site), 80, (), Budget(60))


def test_a_path_that_cannot_be_asked_for_is_left_out() -> None:
    with pytest.raises(HandshakeError, match="no MCP at /mcp, /sse"):
        find(Site(lambda *_: plain(404)), "/x y", "/\u00e4", "no-slash", "/x\r\nHost: evil")


def test_an_address_for_messages_that_cannot_be_asked_for_is_said() -> None:
    def answer(method: str, *_: object) -> Answer:
        event = b"event: endpoint\ndata: /\xc3\xa4\n\n"
        return (200, {"Content-Type": "text/event-stream"}, event) if method == "GET" else plain(405)

    with pytest.raises(HandshakeError, match="no usable address"):
        find(Site(answer))


def test_paths_are_read_from_what_a_server_writes() -> None:
    lines = [
        "Listening on http://localhost:3001/mcp.",
        "see https://example.com/docs",
        "http://[::]:80/x http://0.0.0.0:3001",
    ]

    assert http_probe.paths_in(lines) == ["/mcp", "/x"]
