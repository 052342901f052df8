"""Speak MCP with a server until its tools are known, in either era. Pure protocol over a :class:`Peer`.

What a server answers was written by a stranger: every length is bounded, every type is checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mcp_operator.images import redact
from mcp_operator.images.contract import Tool
from toolman import manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp_operator.images.budget import Budget

Era = Literal["legacy", "modern"]
"""With ``initialize`` and a session, or, since 2026-07-28, with everything in each request."""

PROTOCOL = "2025-11-25"
KNOWN_PROTOCOLS = ("2024-11-05", "2025-03-26", "2025-06-18", PROTOCOL)
MODERN_PROTOCOL = "2026-07-28"

CLIENT = {"name": "mcp-operator", "version": "1"}
_PREFIX = "io.modelcontextprotocol"
META = {
    f"{_PREFIX}/protocolVersion": MODERN_PROTOCOL,
    f"{_PREFIX}/clientCapabilities": {},
    f"{_PREFIX}/clientInfo": CLIENT,
}
"""Of each request of the modern era, in ``params._meta``."""

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one message: a thousand tools with large schemas have four MiB."""
MAX_VALUES = 1_000_000
"""Of one message: each costs us many times what it cost to send, and four MiB of tools have a tenth of it."""
MAX_MESSAGES = 1000
"""Messages and other lines between a request and its answer."""
MAX_PAGES = 100
MAX_TOOLS = 5000
MAX_NAME = 256

_METHOD_NOT_FOUND = -32601


class HandshakeError(Exception):
    """The server answered, and not as MCP says; the text says how."""


class NoToolsError(HandshakeError):
    """It shook hands, and refuses to list its tools: waiting longer changes nothing."""


class Peer(Protocol):
    """A server, as something that answers requests."""

    noise: int
    """Lines that were no messages, so far."""

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and give its result.

        Raises:
            HandshakeError: It answered with an error or with what is no answer.
        """

    def notify(self, method: str) -> None:
        """Send a notification."""


class Channel(Protocol):
    """The streams of a running server."""

    def write(self, data: bytes, budget: Budget) -> None:
        """Write to its stdin."""

    def read(self, budget: Budget) -> bytes:
        """Give the next piece of its stdout; raises when there is no more or the budget is over."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a server said of itself.

    Attributes:
        protocol: The revision that it chose.
        server: Its name and version, for people.
        tools: In its order; of several with one name the first.
        noise: Lines on stdout that were no messages.
        era: In which it was spoken with.
    """

    protocol: str
    server: str
    tools: tuple[Tool, ...]
    noise: int
    era: Era = "legacy"


def perform(peer: Peer, era: Era = "legacy") -> Manifest:
    """Do the handshake.

    Raises:
        HandshakeError: The server's answer is wrong or an error.
        Exception: What the peer raises at its end, or when its budget is over.
    """
    return _modern(peer) if era == "modern" else _legacy(peer)


def _legacy(peer: Peer) -> Manifest:
    hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": CLIENT}
    result = peer.request("initialize", hello)
    version = result.get("protocolVersion")
    if version not in KNOWN_PROTOCOLS:
        raise HandshakeError(f"the server chose the protocol revision {_short(version)}, which is not known")
    peer.notify("notifications/initialized")
    tools = tuple(_tools(peer, {})) if _has_tools(result) else ()
    server = _server(result.get("serverInfo"))
    return Manifest(protocol=version, server=server, tools=tools, noise=peer.noise)


def _modern(peer: Peer) -> Manifest:
    result = peer.request("server/discover", {"_meta": META})
    supported = result.get("supportedVersions")
    if not isinstance(supported, list) or MODERN_PROTOCOL not in supported:
        raise HandshakeError(f"the server supports the protocol revisions {_short(supported)}, which are not known")
    tools = tuple(_tools(peer, {"_meta": META})) if _has_tools(result) else ()
    said = result.get("_meta")
    info = said.get(f"{_PREFIX}/serverInfo") if isinstance(said, dict) else None
    server = _server(info)
    return Manifest(protocol=MODERN_PROTOCOL, server=server, tools=tools, noise=peer.noise, era="modern")


def _has_tools(result: dict[str, Any]) -> bool:
    capabilities = result.get("capabilities")
    return isinstance(capabilities, dict) and "tools" in capabilities


def _tools(peer: Peer, common: Mapping[str, Any]) -> Iterator[Tool]:
    seen: set[str] = set()
    cursor: object = None
    for _ in range(MAX_PAGES):
        result = peer.request("tools/list", {**common} if cursor is None else {**common, "cursor": cursor})
        listed = result.get("tools")
        if not isinstance(listed, list):
            raise HandshakeError("the answer to tools/list has no list of tools")
        for item in listed:
            tool = _tool(item)
            if tool.name not in seen:
                seen.add(tool.name)
                yield tool
        if len(seen) > MAX_TOOLS:
            raise HandshakeError(f"the server lists more than {MAX_TOOLS} tools")
        # The empty string is a cursor, too: only its absence ends the list.
        cursor = result.get("nextCursor")
        if cursor is None:
            return
    raise HandshakeError(f"the list of tools has more than {MAX_PAGES} pages")


def _tool(item: object) -> Tool:
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(name, str) or not _usable(name):
        raise HandshakeError(f"a tool has no usable name: {_short(name)}")
    annotations = item.get("annotations")
    claimed = annotations.get("readOnlyHint") if isinstance(annotations, dict) else None
    try:
        compact = json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
        hashed = manifest.tool_hash(item)
    except RecursionError:
        raise HandshakeError(f"the tool {_short(name)} is nested too deeply") from None
    return Tool(
        name=name,
        hash=hashed,
        tokens=manifest.tokens(len(compact)),
        read_only=claimed if isinstance(claimed, bool) else None,
    )


def _usable(name: str) -> bool:
    """Tell whether a name can be shown and written down: it goes into labels, resources and terminals."""
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def parsed(text: bytes | str) -> object:
    """Read JSON of a stranger.

    Raises:
        HandshakeError: It would need too much memory.
        ValueError: It is none.
    """
    if isinstance(text, bytes):
        values = sum(text.count(mark) for mark in (b"{", b"[", b","))
    else:
        values = sum(text.count(mark) for mark in "{[,")
    if values > MAX_VALUES:
        raise HandshakeError(f"the server wrote a message of more than {MAX_VALUES} values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _server(info: object) -> str:
    if not isinstance(info, dict):
        return ""
    return redact.line(f"{info.get('name', '')} {info.get('version', '')}".strip())[:200]


def _short(value: object) -> str:
    return redact.line(repr(value))[:80]


def result_of(method: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """Give the result of a response.

    Raises:
        HandshakeError: It is an error, or none.
    """
    error = message.get("error")
    if error is not None:
        said = error.get("message") if isinstance(error, dict) else error
        kind = NoToolsError if method == "tools/list" else HandshakeError
        raise kind(f"the server answers {method} with an error: {redact.line(str(said))[:300]}")
    result = message.get("result")
    if not isinstance(result, dict):
        raise HandshakeError(f"the answer to {method} has no result")
    return result


class Stdio:
    """A server on the other side of a :class:`Channel`, one message a line.

    One request at a time; what else the server says in the meantime is answered or dropped.
    """

    def __init__(self, channel: Channel, budget: Budget) -> None:
        self._channel = channel
        self._budget = budget
        self._buffer = bytearray()
        self._last = 0
        self.noise = 0

    def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its result."""
        self._last += 1
        self._send({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params})
        for _ in range(MAX_MESSAGES):
            message = self._message()
            if "method" in message:
                self._react(message)
            elif message.get("id") == self._last:
                return result_of(method, message)
        raise HandshakeError(f"the server wrote {MAX_MESSAGES} lines without answering {method}")

    def notify(self, method: str) -> None:
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method})

    def _react(self, message: dict[str, Any]) -> None:
        identity = message.get("id")
        if not isinstance(identity, str | int):
            return
        if message["method"] == "ping":
            self._send({"jsonrpc": "2.0", "id": identity, "result": {}})
        else:
            error = {"code": _METHOD_NOT_FOUND, "message": "not offered during the handshake"}
            self._send({"jsonrpc": "2.0", "id": identity, "error": error})

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.write(json.dumps(message).encode() + b"\n", self._budget)

    def _message(self) -> dict[str, Any]:
        """Give the next message; a line that is none counts as an empty one."""
        try:
            message = parsed(self._line())
        except ValueError:
            self.noise += 1
            return {}
        return message if isinstance(message, dict) else {}

    def _line(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MAX_LINE:
                raise HandshakeError(f"the server wrote a line of more than {MAX_LINE // 2**20} MiB")
            self._buffer += self._channel.read(self._budget)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line
