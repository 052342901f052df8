"""Sending a call once more when the server says that its headers do not fit: the tool's schema has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from toolman import jsonrpc
from toolman.protocol import legacy, mirror
from toolman.upstreams import Failure, incoming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Raw

    from toolman.exchange import Outgoing

MAX_PAGES = 100
"""Of the server's list, to find one tool."""

_LIMIT = 30.0  # seconds for one page


class Asker(Protocol):
    """What is needed of a peer."""

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        """Send a request and give the result; raises Failure."""


async def mirrored(asker: Asker, sent: Outgoing) -> tuple[tuple[str, str], ...] | None:
    """Give the headers that the server's list asks for now, None if the tool is not in it."""
    cursor: bytes | Raw | None = None
    for _ in range(MAX_PAGES):
        params = {} if cursor is None else {"cursor": cursor}
        try:
            page = jsonrpc.members(await asker.request(legacy.LIST_TOOLS, params, _LIMIT), frozenset())
            schema = _schema(page, sent)
            if schema is not None:
                return mirror.headers(mirror.find(schema), sent.params.get("arguments"))
        except (Failure, jsonrpc.Malformed, mirror.InvalidAnnotationError):
            return None
        cursor = page.get("nextCursor")
        if cursor is None or bytes(cursor)[:1] != b'"':
            return None
    return None


def _schema(page: jsonrpc.Members, sent: Outgoing) -> Raw | None:
    for raw in jsonrpc.elements(page.get("tools", b"[]")):
        tool = jsonrpc.members(raw, frozenset())
        name = tool.get("name")
        if name is not None and incoming.text(name) == sent.name:
            return tool.get("inputSchema")
    return None
