"""One life of a server: what belongs to no call is passed on, what is wanted of the server is asked for."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from toolman.upstreams import Failure, listing
from toolman.upstreams.abilities import KINDS, Abilities

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from msgspec import Raw

    from toolman.config import Server
    from toolman.exchange import Question
    from toolman.upstreams import ListKind, Peer
    from toolman.upstreams.offers import Offers

log = logging.getLogger(__name__)

RELIST_PAUSE = 0.2
"""Seconds between two lists that the server itself causes, however often it says that something changed..."""

RELIST_SHARE = 4
"""...and at least so many times what the last one took, so that a flood of changes leaves time for others."""

RETRY = 30.0
"""Seconds before a list that failed is asked for again, unless the server says before that it has changed."""

REFRESH = 60.0
"""Seconds before a list is asked for again of whose changes the server does not tell, however short it may be kept."""


class Owner(Protocol):
    """Whose life it is."""

    server: Server

    def listed(self, offers: Offers) -> None:
        """Learn what the server offers now."""

    def lost(self) -> None:
        """Learn that the server is gone."""

    def updated(self, uri: str, params: Raw) -> None:
        """Learn that a resource that is wanted has changed."""

    def logged(self, params: Raw) -> None:
        """Take a log message that belongs to no call."""

    def notified(self, method: str, params: Raw | None) -> None:
        """Take any other notification."""

    def asked(self, question: Question) -> None:
        """Take a question that belongs to no call."""


class Life:
    """What a peer tells its events. Implements :class:`toolman.upstreams.Events`.

    Attributes:
        over: Done when it is over, with how it ended.
    """

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._name = owner.server.name
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.updated = owner.updated
        self.logged = owner.logged
        self.notified = owner.notified
        self.asked = owner.asked
        self._peer: Peer | None = None
        self._changes: set[ListKind] = set()
        self._changed = asyncio.Event()
        self._uris: frozenset[str] = frozenset()
        self._level: str | None = None
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def changed(self, kind: ListKind) -> None:
        """Note that a list has changed."""
        self._changes.add(kind)
        self._changed.set()

    def ended(self, how: str) -> None:
        """Learn that the server is gone."""
        if not self.over.done():
            self.over.set_result(how)
            self._owner.lost()

    def want(self, uris: frozenset[str], level: str | None) -> None:
        """Be told of changes of these resources, and log messages from this level on."""
        self._uris, self._level = uris, level
        self._wanted.set()

    async def begin(self, peer: Peer, limit: float) -> listing.Listed:
        """Have the server tell of its changes, and see what it offers.

        Args:
            peer: The server.
            limit: Seconds for each list.

        Raises:
            Failure: It ended, or nothing of it can be listed.
        """
        self._peer = peer
        self._tasks.append(asyncio.create_task(self._apply(peer), name=f"wishes to {self._name}"))
        self._wanted.set()
        listed = await listing.walk(self._name, peer, limit)
        if self.over.done():
            raise Failure(f"it stopped ({self.over.result()}) while starting")
        if listed.failed and not listed.is_any:
            raise Failure("; ".join(listed.failed.values()))
        self._complain(listed, "it is not shown")
        self._tasks.append(asyncio.create_task(self._relist(peer, listed), name=f"lists of {self._name}"))
        return listed

    async def close(self) -> None:
        """End the server."""
        for task in self._tasks:
            task.cancel()
        if self._peer is not None:
            await self._peer.close()

    async def _apply(self, peer: Peer) -> None:
        level = None
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._ask(peer.watch(self._uris))
            if self._level not in (None, level):
                level = self._level
                await self._ask(peer.set_log_level(level))

    async def _ask(self, asking: Awaitable[None]) -> None:
        try:
            await asking
        except Failure as problem:
            if not self.over.done():
                log.warning("server %r: it will not tell of everything: %s", self._name, problem)

    async def _relist(self, peer: Peer, listed: listing.Listed) -> None:
        loop = asyncio.get_running_loop()
        while True:
            pause, due = self._due(listed)
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                self._changes |= due
            self._changed.clear()
            kinds, self._changes = self._changes, set()
            started = loop.time()
            limit = self._owner.server.timeouts.start
            listed = await listing.walk(self._name, peer, limit, listed.offers, kinds)
            self._complain(listed, "the old list stays")
            self._owner.listed(listed.offers)
            await asyncio.sleep(max(RELIST_PAUSE, RELIST_SHARE * (loop.time() - started)))

    def _due(self, listed: listing.Listed) -> tuple[float | None, set[ListKind]]:
        """Tell when lists have to be asked for again without a word of the server's, and which."""
        if listed.failed:
            return RETRY, set(listed.failed)
        abilities = Abilities(listed.offers.hello.capabilities)
        untold = {kind for kind in KINDS if abilities.has(kind) and not abilities.says(kind, "listChanged")}
        ttl = listed.offers.ttl
        return (None if ttl is None or not untold else max(REFRESH, ttl / 1000)), untold

    def _complain(self, listed: listing.Listed, effect: str) -> None:
        if self.over.done():
            return
        for kind, why in listed.failed.items():
            log.warning("server %r: listing its %s failed: %s; %s", self._name, kind, why, effect)
