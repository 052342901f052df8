"""The revisions with a handshake: 2025-03-26, 2025-06-18 and 2025-11-25.

Source: modelcontextprotocol.io/specification, *Lifecycle* and *Transports* of each revision.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from toolman import __version__, jsonrpc

VERSIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
LATEST = VERSIONS[-1]
BATCHING = "2025-03-26"
"""The only revision with batches."""
UPSTREAM_VERSIONS = ("2024-11-05", *VERSIONS)
"""What a server may answer; over stdio 2024-11-05 differs in nothing that toolman passes on."""

INITIALIZE = "initialize"
INITIALIZED = "notifications/initialized"
PING = "ping"
LIST_TOOLS = "tools/list"
CALL_TOOL = "tools/call"
LIST_PROMPTS = "prompts/list"
GET_PROMPT = "prompts/get"
LIST_RESOURCES = "resources/list"
LIST_TEMPLATES = "resources/templates/list"
READ_RESOURCE = "resources/read"
SUBSCRIBE = "resources/subscribe"
UNSUBSCRIBE = "resources/unsubscribe"
COMPLETE = "completion/complete"
SET_LEVEL = "logging/setLevel"
LIST_TASKS = "tasks/list"
GET_TASK = "tasks/get"
TASK_RESULT = "tasks/result"
CANCEL_TASK = "tasks/cancel"
CANCELLED = "notifications/cancelled"
PROGRESS = "notifications/progress"
LOGGED = "notifications/message"
TASK_STATUS = "notifications/tasks/status"
ROOTS_CHANGED = "notifications/roots/list_changed"

INITIALIZED_MESSAGE = jsonrpc.notification(INITIALIZED.encode())

RESOURCE_NOT_FOUND = -32002
"""Retired by the modern era, which has ``INVALID_PARAMS`` for it."""

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of log messages, the most verbose first."""
DEFAULT_LEVEL = "info"
"""For sessions that never set one: the specification leaves it to the server."""

RELATED_TASK = "io.modelcontextprotocol/related-task"
"""In ``_meta``: the task that a message is about."""

SERVER_INFO = jsonrpc.encode({"name": "toolman", "version": __version__})
"""How toolman names itself."""


class Opening(msgspec.Struct, frozen=True):
    """What a client's ``initialize`` says.

    Attributes:
        version: Of the session: the client's, or the latest if it asks for one that is not served.
        capabilities: The client's, a raw JSON object.
        client_info: Its name and version, a raw JSON object, None if it gives none.
    """

    version: str
    capabilities: bytes
    client_info: bytes | None


def open_session(params: bytes | None) -> Opening:
    """Read ``initialize`` and choose the session's version.

    Raises:
        Malformed: There is no ``protocolVersion``, or ``capabilities`` is not an object.
    """
    found = jsonrpc.members(params or b"{}", jsonrpc.OPENING_KEYS)
    version = jsonrpc.text(found, "protocolVersion")
    capabilities = bytes(found.get("capabilities", b"{}"))
    if capabilities[:1] != b"{":
        raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, '"capabilities" must be an object')
    info = bytes(found.get("clientInfo", b""))
    return Opening(version if version in VERSIONS else LATEST, capabilities, info if info[:1] == b"{" else None)


def initialize_result(version: str, capabilities: bytes, instructions: str | None = None) -> bytes:
    """Answer a client's ``initialize``.

    Args:
        version: Of the session.
        capabilities: What is served, a raw JSON object.
        instructions: For the model.
    """
    result: dict[str, object] = {
        "protocolVersion": version,
        "capabilities": Raw(capabilities),
        "serverInfo": Raw(SERVER_INFO),
    }
    if instructions:
        result["instructions"] = instructions
    return jsonrpc.encode(result)


def initialize_params(capabilities: bytes = b"{}") -> bytes:
    """Ask a server; ``capabilities`` is what it may know of its clients', a raw JSON object."""
    return jsonrpc.encode(
        {"protocolVersion": LATEST, "capabilities": Raw(capabilities), "clientInfo": Raw(SERVER_INFO)}
    )
