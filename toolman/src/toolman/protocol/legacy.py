"""The revisions with a handshake: 2025-03-26, 2025-06-18 and 2025-11-25.

Source: modelcontextprotocol.io/specification, *Lifecycle* and *Transports* of each revision.
"""

from __future__ import annotations

import msgspec

from toolman import __version__, jsonrpc

VERSIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
LATEST = VERSIONS[-1]
UPSTREAM_VERSIONS = ("2024-11-05", *VERSIONS)
"""What a server may answer; over stdio 2024-11-05 differs in nothing that toolman passes on."""

INITIALIZE = "initialize"
INITIALIZED = "notifications/initialized"
PING = "ping"
LIST_TOOLS = "tools/list"
CALL_TOOL = "tools/call"
CANCELLED = "notifications/cancelled"
PROGRESS = "notifications/progress"
TOOLS_CHANGED = "notifications/tools/list_changed"

TOOLS_CHANGED_MESSAGE = jsonrpc.notification(TOOLS_CHANGED.encode())
INITIALIZED_MESSAGE = jsonrpc.notification(INITIALIZED.encode())


class _InitializeParams(msgspec.Struct):
    protocolVersion: str  # noqa: N815 - the wire's name


class _ServerAnswer(msgspec.Struct):
    protocolVersion: str  # noqa: N815 - the wire's name


_params = msgspec.json.Decoder(_InitializeParams)
_answer = msgspec.json.Decoder(_ServerAnswer)
_ME = {"name": "toolman", "version": __version__}


def negotiate(params: bytes | None) -> str:
    """Choose the version for a session: the client's, or the latest if it asks for one that is not served.

    Raises:
        Malformed: There is no ``protocolVersion``.
    """
    try:
        wanted = _params.decode(params or b"{}").protocolVersion
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, '"protocolVersion" must be a string') from None
    return wanted if wanted in VERSIONS else LATEST


def initialize_result(version: str) -> bytes:
    """Answer a client's ``initialize``: only what is served is advertised, and nothing of the servers behind."""
    capabilities = {"tools": {"listChanged": True}}
    return jsonrpc.encode({"protocolVersion": version, "capabilities": capabilities, "serverInfo": _ME})


def initialize_params() -> bytes:
    """Ask a server: no capabilities, because none of its requests are served yet."""
    return jsonrpc.encode({"protocolVersion": LATEST, "capabilities": {}, "clientInfo": _ME})


def server_version(result: bytes) -> str:
    """Read a server's answer to ``initialize``.

    Raises:
        ValueError: It is no such answer, or in a version that toolman does not speak.
    """
    try:
        version = _answer.decode(result).protocolVersion
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"its answer to initialize cannot be read: {problem}") from None
    if version not in UPSTREAM_VERSIONS:
        raise ValueError(f"it speaks MCP {version!r}; toolman speaks {', '.join(UPSTREAM_VERSIONS)}")
    return version
