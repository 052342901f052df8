"""Beginning a life of a server that carries lines: start it, find out which era it speaks, shake hands.

A server that has never been met is asked in the modern way first. A result means that it is modern; anything else, or
silence, that it is not. Some servers end at a request that is not ``initialize``: such a one is started a second time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.protocol import legacy, modern, outgoing
from toolman.upstreams import Failure, Hello, welcome
from toolman.upstreams.peer import LinePeer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolman.exchange import Era
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Events, Launcher
    from toolman.upstreams.asking import Asking

log = logging.getLogger(__name__)

SILENCE = 1.0
"""Seconds after which a server that does not answer ``server/discover`` is sent ``initialize`` as well.

As long as many servers take to start: one that was only slow answers both, in order, and the first answer counts.
"""


class _Ended(Exception):  # noqa: N818 - reads as what it says
    """The server ended in the handshake: maybe for being asked for the modern era, whenever it came to read that."""


class LineConnector:
    """How one server that carries lines is reached. Implements :class:`toolman.upstreams.Connector`.

    May have several lives at a time, one for each session of a client.

    Args:
        name: The server's, for messages.
        launcher: How it is started.
        is_legacy: Whether its transport is of the legacy era alone, so that nothing else need be tried.
    """

    def __init__(self, name: str, launcher: Launcher, *, is_legacy: bool = False) -> None:
        self._name = name
        self._launcher = launcher
        self._is_legacy = is_legacy
        self._era: Era | None = None

    async def connect(self, events: Events, capabilities: bytes) -> LinePeer:
        """Begin a life of the server.

        Raises:
            Failure: It cannot be started, ends, refuses, or speaks no revision that toolman does.
        """
        era: Era | None = "legacy" if self._is_legacy else self._era
        try:
            peer = await self._begin(events, capabilities, era)
        except _Ended:
            log.info("server %r ended when it was asked for %s: trying an older one", self._name, modern.VERSION)
            peer = await self._begin(events, capabilities, "legacy")
        self._era = peer.hello.era
        return peer

    async def close(self) -> None:
        """Give back what outlives a single life, once no life needs it any more."""
        await self._launcher.close()

    async def _begin(self, events: Events, capabilities: bytes, era: Era | None) -> LinePeer:
        self._era = None  # forgotten unless it works
        peer = LinePeer(self._name, events, capabilities)
        try:
            peer.link = await self._launcher.launch(peer)
            peer.introduce(await self._shake_hands(peer, capabilities, era))
        except (Failure, _Ended) as problem:
            await peer.close()
            if not peer.over.done() or (isinstance(problem, _Ended) and era is None):
                raise
            how = f"it stopped ({peer.over.result()}) while starting"
            raise Failure(how, f"\n{peer.detail}" if peer.detail else "") from None
        except BaseException:
            await peer.close()
            raise
        return peer

    async def _shake_hands(self, peer: LinePeer, capabilities: bytes, era: Era | None) -> Hello:
        handshake = _Handshake(peer, capabilities)
        if era != "legacy":
            return await handshake.modern_first()
        return await handshake.legacy_only() if self._is_legacy else await handshake.legacy_first()


class _Handshake:
    """One handshake with a server that has just been started. All of it raises :class:`Failure` and :class:`_Ended`."""

    def __init__(self, peer: LinePeer, capabilities: bytes) -> None:
        self._peer = peer
        self._capabilities = capabilities

    async def modern_first(self) -> Hello:
        """Shake hands with a server that may be of either era."""
        discover = self._discover()
        await asyncio.wait((discover.reply,), timeout=SILENCE)  # answered by the peer if it ends
        initialize: Asking | None = None
        if not discover.reply.done():
            initialize = self._initialize()
            await asyncio.wait((discover.reply, initialize.reply), return_when=asyncio.FIRST_COMPLETED)
        if self._peer.over.done():
            raise _Ended
        if discover.reply.done():
            hello = welcome.discovered(discover.reply.result())
            if hello is not None:
                return hello
        outcome = await self._answer(initialize or self._initialize())
        if outcome[0] is not jsonrpc.RESULT and not discover.reply.done():
            hello = welcome.discovered(await self._answer(discover))
            if hello is not None:
                return hello
        self._peer.forget(discover)
        return self._confirmed(outcome)

    async def legacy_first(self) -> Hello:
        """Shake hands with a server that was a legacy one the last time."""
        outcome = await self._answer(self._initialize())
        if outcome[0] is not jsonrpc.RESULT:
            hello = welcome.discovered(await self._answer(self._discover()))
            if hello is not None:
                return hello
        return self._confirmed(outcome)

    async def legacy_only(self) -> Hello:
        """Shake hands with a server that can be nothing else."""
        return self._confirmed(await self._answer(self._initialize()))

    def _confirmed(self, outcome: Outcome) -> Hello:
        hello = welcome.initialized(outcome)
        self._peer.notify(legacy.INITIALIZED)
        return hello

    def _discover(self) -> Asking:
        return self._post(modern.DISCOVER, {}, "modern")

    def _initialize(self) -> Asking:
        params = {
            "protocolVersion": jsonrpc.encode(legacy.LATEST),
            "capabilities": self._capabilities,
            "clientInfo": outgoing.CLIENT_INFO,
        }
        return self._post(legacy.INITIALIZE, params, "legacy")

    def _post(self, method: str, params: Mapping[str, bytes], era: Era) -> Asking:
        call = self._peer.own(method, params, math.inf)  # who connects bounds the whole
        self._peer.post(call, era)
        return call

    async def _answer(self, call: Asking) -> Outcome:
        outcome = await call.reply
        if self._peer.over.done():
            raise _Ended
        return outcome
