"""Being told by a server that carries lines of what changes: lists, and the resources that somebody subscribed to.

A legacy server tells of its lists unasked, and of resources one by one as they are subscribed to. A modern one is sent
one ``subscriptions/listen`` that stays open and names everything; a change of what is wanted is a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET, Raw

from toolman import jsonrpc
from toolman.protocol import legacy, modern
from toolman.upstreams import Failure, incoming
from toolman.upstreams.abilities import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolman.exchange import Call
    from toolman.upstreams import ListKind
    from toolman.upstreams.abilities import Abilities
    from toolman.upstreams.asking import Asking

log = logging.getLogger(__name__)

ANSWER = 30.0
"""Seconds for a server to take or acknowledge a subscription."""

FIRST_PAUSE = 1.0
MAX_PAUSE = 60.0
"""Seconds before a modern server that ended the subscription is listened to again; longer each time in a row."""


class Asker(Protocol):
    """What is needed of a peer."""

    name: str

    async def request(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> bytes:
        """Send a request and give the result."""

    def own(self, method: str, params: Mapping[str, bytes | Raw], limit: float) -> Asking:
        """Make a request to be sent."""

    def send(self, call: Call) -> None:
        """Send it."""

    def cancel(self, call: Call, reason: Raw | None = None) -> None:
        """Forget it and tell the server."""

    def changed(self, kind: ListKind) -> None:
        """Learn that a list may have changed unseen."""


class LegacyWatch:
    """Subscriptions one by one. ``uris`` are those that the server has taken."""

    def __init__(self, peer: Asker, abilities: Abilities) -> None:
        self.uris: frozenset[str] = frozenset()
        self._peer = peer
        self._abilities = abilities

    async def change(self, uris: frozenset[str]) -> None:
        """Subscribe to what is new and unsubscribe from what is not wanted any more.

        Raises:
            Failure: The server refuses one of them; the others are taken.
        """
        if uris and not self._abilities.says("resources", "subscribe"):
            raise Failure("it does not let anybody subscribe to resources")
        problem: Failure | None = None
        for uri in sorted(uris - self.uris):
            self.uris |= {uri}  # before: the first update may come ahead of the answer
            try:
                await self._say(legacy.SUBSCRIBE, uri)
            except Failure as refusal:
                self.uris -= {uri}
                problem = refusal
        for uri in sorted(self.uris - uris):
            self.uris -= {uri}
            try:
                await self._say(legacy.UNSUBSCRIBE, uri)
            except Failure as refusal:
                problem = refusal
        if problem is not None:
            raise problem

    def acknowledged(self, params: jsonrpc.Members) -> None:
        """Legacy servers have nothing to acknowledge."""

    def cancelled(self, number: int) -> None:
        """Legacy servers have nothing to end."""

    def hears(self, params: jsonrpc.Members) -> bool:
        """Tell whether a message counts: it does if it is of a resource that was subscribed to."""
        return incoming.text(params.get("uri", UNSET)) in self.uris

    def close(self) -> None:
        """Nothing is left to be ended."""

    async def _say(self, method: str, uri: str) -> None:
        await self._peer.request(method, {"uri": jsonrpc.encode(uri)}, ANSWER)


class ModernWatch:
    """One subscription that stays open. ``uris`` are those that are wanted."""

    def __init__(self, peer: Asker, abilities: Abilities) -> None:
        self.uris: frozenset[str] = frozenset()
        self._peer = peer
        self._flags = [kind for kind in KINDS if abilities.says(kind, "listChanged")]
        self._listen: Asking | None = None
        self._opening = 0
        self._current = 0
        self._news = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def change(self, uris: frozenset[str]) -> None:
        """Listen anew with what is wanted now, then end what was listened with until now.

        Raises:
            Failure: The server refuses.
        """
        if self._keeper is not None and uris == self.uris:
            return
        self.uris = uris
        self.close()
        before, self._listen = self._listen, None
        try:
            if uris or self._flags:
                self._listen = await self._open()
                self._keeper = asyncio.create_task(self._keep(self._listen), name=f"listening to {self._peer.name}")
        finally:
            if before is not None:
                self._peer.cancel(before)

    def acknowledged(self, params: jsonrpc.Members) -> None:
        """Take a server's word that it has begun: from now on nothing else is listened to."""
        if self._opening and _subscription(params) == self._opening:
            self._current = self._opening
            self._news.set()

    def cancelled(self, number: int) -> None:
        """Learn that the server has ended a subscription, which it may say in this way, too."""
        if self._listen is not None and self._listen.number == number:
            self._listen.replied(jsonrpc.result(b"{}"))

    def hears(self, params: jsonrpc.Members) -> bool:
        """Tell whether a message is of the subscription that counts."""
        return _subscription(params) in (0, self._current)

    def close(self) -> None:
        """Keep it up no more."""
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None

    async def _open(self) -> Asking:
        wanted: dict[str, bytes | Raw] = {f"{kind}ListChanged": b"true" for kind in self._flags}
        if self.uris:
            wanted["resourceSubscriptions"] = jsonrpc.encode(sorted(self.uris))
        call = self._peer.own(modern.LISTEN, {"notifications": jsonrpc.dump(wanted)}, math.inf)
        self._peer.send(call)
        self._opening = call.number
        call.reply.add_done_callback(lambda _: self._news.set())
        try:
            async with asyncio.timeout(ANSWER):
                while self._current != call.number and not call.reply.done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self._peer.cancel(call)
            raise Failure(f"it did not acknowledge {modern.LISTEN} within {ANSWER:g} s") from None
        except asyncio.CancelledError:
            self._peer.cancel(call)
            raise
        if self._current != call.number:
            value = bytes(call.reply.result()[1])[:500].decode(errors="replace")
            raise Failure(f"it answered {modern.LISTEN} with {value}")
        return call

    async def _keep(self, listen: Asking) -> None:
        """Listen again whenever the server ends it; what changed in between is not known."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            since = loop.time()
            await asyncio.wait([listen.reply])
            self._peer.cancel(listen)
            pause = FIRST_PAUSE if loop.time() - since > MAX_PAUSE else min(MAX_PAUSE, 2 * pause)
            log.info("server %r ended the subscription: listening again in %g s", self._peer.name, pause)
            await asyncio.sleep(pause)
            with contextlib.suppress(Failure):
                self._listen = listen = await self._open()
                for kind in self._flags:
                    self._peer.changed(kind)


def _subscription(params: jsonrpc.Members) -> int:
    try:
        meta = jsonrpc.members(params.get("_meta", b"{}"), jsonrpc.META_KEYS)
    except jsonrpc.Malformed:
        return 0
    return incoming.integer(meta.get(modern.META_SUBSCRIPTION, Raw(b"0")))
