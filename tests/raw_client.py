"""A client on bare sockets that sends exactly the bytes it is given and shows exactly those that come back."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass, field

from raw_json import members

LIMIT = 20.0
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


@dataclass
class Answer:
    """What came back: the messages are those of the event stream, or the body alone."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def messages(self) -> list[str]:
        """Give the text of every message."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            events = self.body.replace(b"\r\n", b"\n").split(b"\n\n")
            lines = [line for event in events for line in event.split(b"\n") if line.startswith(b"data:")]
            return [found for line in lines if (found := line.removeprefix(b"data:").removeprefix(b" ").decode())]
        return [self.body.decode()] if self.body else []

    @property
    def last(self) -> dict[str, str]:
        """Give the members of the response, as they are written."""
        return members(self.messages[-1])


def exchange(port: int, request: bytes) -> Answer:
    """Send bytes over a new connection and read one response; none at all has the status 0."""
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return Answer(0, {}, b"")
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


@dataclass
class RawClient:
    """A client of one era. A legacy one opens a session first."""

    port: int
    era: str
    version: str = ""
    session: str = ""
    capabilities: str = "{}"
    headers: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.version = self.version or (MODERN if self.era == "modern" else LEGACY)
        if self.era == "legacy":
            params = f'{{"protocolVersion":"{self.version}","capabilities":{self.capabilities},"clientInfo":{_INFO}}}'
            answer = self.send(f'{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}')
            self.session = answer.headers["mcp-session-id"]
            self.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def head(self, *more: tuple[str, str]) -> list[tuple[str, str]]:
        """Give the headers of a request; those of ``more`` come in addition."""
        found = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
        if self.era == "modern":
            found.append(("MCP-Protocol-Version", self.version))
        elif self.session:
            found += [("Mcp-Session-Id", self.session), ("MCP-Protocol-Version", self.version)]
        return [*found, *more]

    def send(self, body: str | bytes, *more: tuple[str, str]) -> Answer:
        """Post a body as it is."""
        return self.post(body, self.head(*more))

    def post(self, body: str | bytes, headers: list[tuple[str, str]]) -> Answer:
        """Post a body with these headers alone."""
        content = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        lines = [f"{name}: {value}" for name, value in [("Host", "localhost"), *headers]]
        lines.append(f"Content-Length: {len(content)}")
        head = "\r\n".join(["POST /mcp HTTP/1.1", *lines, "Connection: close", "", ""])
        return exchange(self.port, head.encode("latin-1") + content)

    def request(self, method: str, params: str = "{}", *, identifier: str = "1", meta: str = "") -> Answer:
        """Send a request: ``params`` and ``identifier`` as JSON text, ``meta`` as members of ``_meta``."""
        body = self.body(method, params, identifier=identifier, meta=meta)
        return self.send(body, *self.mirrored(method, params))

    def body(self, method: str, params: str, *, identifier: str = "1", meta: str = "") -> str:
        """Give a request's text; the envelope is the last member of its params."""
        envelope = [meta] if meta else []
        if self.era == "modern":
            envelope += [f'"{_PREFIX}protocolVersion":"{MODERN}"', f'"{_PREFIX}clientCapabilities":{self.capabilities}']
            envelope.append(f'"{_PREFIX}clientInfo":{_INFO}')
        if envelope:
            inner = params.strip()[1:-1]
            params = f'{{{inner}{"," if inner.strip() else ""}"_meta":{{{",".join(envelope)}}}}}'
        return f'{{"jsonrpc":"2.0","id":{identifier},"method":"{method}","params":{params}}}'

    def mirrored(self, method: str, params: str) -> list[tuple[str, str]]:
        """Give the headers that repeat the body, in the modern era."""
        if self.era != "modern":
            return []
        found = [("Mcp-Method", method)]
        if method in NAMED:
            found.append(("Mcp-Name", json.loads(members(params)[NAMED[method]])))
        return found


_PREFIX = "io.modelcontextprotocol/"
_INFO = '{"name":"raw","version":"1"}'
