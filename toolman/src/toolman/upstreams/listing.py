"""Asking a server for everything that it offers: all pages of all lists that its capabilities name, within bounds.

One list that fails hides that list alone. Items that could be read in two ways are left out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.upstreams import Failure, ListKind, incoming
from toolman.upstreams.abilities import KINDS, Abilities
from toolman.upstreams.offers import Item, Offers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolman.upstreams import Peer

log = logging.getLogger(__name__)

MAX_PAGES = 1_000
MAX_ITEMS = 10_000
MAX_BYTES = 8 * 1024 * 1024
"""Bounds of one list. Real servers have up to some hundred tools."""

_FOR_EVER = 2**53


class _List(msgspec.Struct, frozen=True):
    """One list: what promises it, how it is asked for, where an item has its name, what may have no variant there."""

    kind: ListKind
    method: str
    member: str
    key: str
    guarded: frozenset[str] = jsonrpc.TOOL_KEYS


LISTS = {
    "tools": _List("tools", "tools/list", "tools", "name"),
    "prompts": _List("prompts", "prompts/list", "prompts", "name"),
    "resources": _List("resources", "resources/list", "resources", "uri", jsonrpc.REFERENCE_KEYS),
    "templates": _List("resources", "resources/templates/list", "resourceTemplates", "uriTemplate"),
}
"""By the attribute of :class:`Offers` that each becomes."""


class Listed(msgspec.Struct, frozen=True):
    """What came of listing.

    Attributes:
        offers: What the server has; a list that failed is as it was before, or empty.
        failed: Kinds that could not be listed, and why.
    """

    offers: Offers
    failed: dict[ListKind, str] = {}

    @property
    def is_any(self) -> bool:
        """Whether there is anything at all."""
        return any(getattr(self.offers, part) for part in LISTS)


async def walk(
    name: str, peer: Peer, limit: float, before: Offers | None = None, kinds: Iterable[ListKind] = KINDS
) -> Listed:
    """Walk the lists of some kinds, all at the same time.

    Args:
        name: The server's, for messages.
        peer: The server.
        limit: Seconds for each list.
        before: What is known of the other lists, and of those that fail.
        kinds: Which lists to walk.
    """
    offers = before or Offers(peer.hello)
    walks = {part: _Walk(name, peer, LISTS[part]) for part in _promised(peer) if LISTS[part].kind in kinds}
    results = await asyncio.gather(*(one.run(limit) for one in walks.values()))
    failed: dict[ListKind, str] = {}
    for part, result in zip(walks, results, strict=True):
        if not isinstance(result, str):
            offers = msgspec.structs.replace(offers, **{part: result})
        elif part == "templates":  # many servers with resources do not know the method
            log.info("server %r: its templates cannot be listed: %s", name, result)
        else:
            failed[LISTS[part].kind] = result
    known = None if before is None else before.ttl
    bounds = [ttl for ttl in (known, *(one.ttl for one in walks.values())) if ttl is not None]
    return Listed(msgspec.structs.replace(offers, ttl=min(bounds, default=None)), failed)


def _promised(peer: Peer) -> list[str]:
    """Tell which lists there are. A server that promises nothing at all is asked for tools, as many forget to."""
    abilities = Abilities(peer.hello.capabilities)
    found = [part for part, part_of in LISTS.items() if abilities.has(part_of.kind)]
    return found or ["tools"]


class _Walk:
    """The walk through one list. ``ttl`` is the least that a page gave."""

    def __init__(self, name: str, peer: Peer, wanted: _List) -> None:
        self._name = name
        self._peer = peer
        self._wanted = wanted
        self.ttl: int | None = None

    async def run(self, limit: float) -> tuple[Item, ...] | str:
        """Give the items, or why there are none."""
        try:
            async with asyncio.timeout(limit):
                return self._items(await self._pages(limit))
        except Failure as problem:
            return str(problem)
        except TimeoutError:
            return f"its {self._wanted.method} took more than {limit:g} s"

    async def _pages(self, limit: float) -> list[Raw]:
        """Walk all pages. An empty cursor is a cursor; one that comes again would go on for ever.

        Raises:
            Failure: An error, an unreadable page, or a list beyond the bounds.
        """
        method = self._wanted.method
        raw: list[Raw] = []
        size = 0
        seen: set[str] = set()
        params: dict[str, bytes | Raw] = {}
        while True:
            answer = await self._peer.request(method, params, limit)
            items, cursor = self._page(answer)
            raw += items
            size += len(answer)
            if len(seen) >= MAX_PAGES or len(raw) > MAX_ITEMS or size > MAX_BYTES:
                raise Failure(f"its {method} goes on beyond {MAX_PAGES} pages, {MAX_ITEMS} items or {MAX_BYTES} bytes")
            if cursor is None:
                return raw
            if cursor in seen:
                raise Failure(f"its {method} gives the same cursor twice")
            seen.add(cursor)
            params = {"cursor": jsonrpc.encode(cursor)}

    def _page(self, answer: bytes) -> tuple[list[Raw], str | None]:
        try:
            found = jsonrpc.members(jsonrpc.repaired(answer) if b"\\ud" in answer.lower() else answer, frozenset())
            items = jsonrpc.elements(found.get(self._wanted.member, b"[]"))
        except jsonrpc.Malformed as problem:
            raise Failure(f"its answer to {self._wanted.method} cannot be read: {problem}") from None
        ttl = found.get("ttlMs", Raw(b""))
        if bytes(ttl).isdigit():
            self.ttl = min(incoming.integer(ttl), _FOR_EVER if self.ttl is None else self.ttl)
        raw = found.get("nextCursor", Raw(b"null"))
        cursor = incoming.text(raw)
        if cursor is None and bytes(raw) != b"null":
            raise Failure(f"its answer to {self._wanted.method} cannot be read: nextCursor must be a string")
        return items, cursor

    def _items(self, raw: list[Raw]) -> tuple[Item, ...]:
        items: dict[str, Item] = {}
        problems: list[str] = []
        for one in raw:
            try:
                members = jsonrpc.members(one, self._wanted.guarded)
                name = jsonrpc.text(members, self._wanted.key)
            except jsonrpc.Malformed as problem:
                problems.append(str(problem))
                continue
            if name in items:
                problems.append(f"{name!r} is listed twice; the first one counts")
            else:
                items[name] = Item(name, members)
        if problems:
            text = "server %r: %d of its %s are left out; the first one: %s"
            log.warning(text, self._name, len(problems), self._wanted.member, problems[0])
        return tuple(items.values())
