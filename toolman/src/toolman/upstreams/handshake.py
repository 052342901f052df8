"""Getting to know a server: ``initialize``, then every page of ``tools/list``, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.catalog import Tool, read_tools
from toolman.protocol import legacy
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from toolman.upstreams.peer import Peer

MAX_PAGES = 1_000
MAX_TOOLS = 10_000
MAX_BYTES = 8 * 1024 * 1024
"""Bounds of one server's list. Real servers have up to some hundred tools."""


class _Page(msgspec.Struct):
    tools: list[Raw] = []
    nextCursor: str | None = None  # noqa: N815 - the wire's name


_page = msgspec.json.Decoder(_Page)


async def initialize(peer: Peer, limit: float) -> str:
    """Open the session with a server and give the version it speaks.

    Raises:
        Failure: It refuses, or speaks a version that toolman does not.
    """
    answer = await peer.request(legacy.INITIALIZE.encode(), legacy.initialize_params(), limit)
    try:
        version = legacy.server_version(answer)
    except ValueError as problem:
        raise Failure(str(problem)) from None
    peer.notify(legacy.INITIALIZED_MESSAGE)
    return version


async def list_tools(peer: Peer, limit: float) -> list[Tool]:
    """Walk all pages. An empty cursor is a cursor; one that comes again would go on for ever.

    Raises:
        Failure: An error, an unreadable page, or a list beyond the bounds.
    """
    raw: list[Raw] = []
    size = 0
    seen: set[str] = set()
    params = b"{}"
    while True:
        answer = await peer.request(legacy.LIST_TOOLS.encode(), params, limit)
        page = _read(answer)
        raw += page.tools
        size += len(answer)
        cursor = page.nextCursor
        if cursor is None:
            return read_tools(peer.name, raw)
        if cursor in seen:
            raise Failure("its tools/list gives the same cursor twice")
        seen.add(cursor)
        if len(seen) >= MAX_PAGES or len(raw) > MAX_TOOLS or size > MAX_BYTES:
            raise Failure(f"its tools/list goes on beyond {MAX_PAGES} pages, {MAX_TOOLS} tools or {MAX_BYTES} bytes")
        params = jsonrpc.encode({"cursor": cursor})


def _read(answer: bytes) -> _Page:
    try:
        return _page.decode(jsonrpc.repaired(answer) if b"\\ud" in answer.lower() else answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Failure(f"its answer to tools/list cannot be read: {problem}") from None
