"""Keeping one server alive: connect, list, watch, connect again.

A server that dies is started again at once; only one that keeps dying quickly has to wait, longer each time. What was
on its way gets an answer that says what happened. What was wanted of it is asked for again in its next life.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Protocol

from toolman.upstreams import SESSION, Failure
from toolman.upstreams.life import Life

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.config import Server
    from toolman.exchange import Question
    from toolman.upstreams import Connector, Peer
    from toolman.upstreams.offers import Offers

log = logging.getLogger(__name__)

QUICK_DEATH = 10.0
"""Seconds. Who lived shorter has not worked, and a restart is unlikely to help."""

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
"""Seconds before the second and the last restarts in a row after quick deaths. The first restart does not wait."""

PATIENCE = 10.0
"""Seconds that a list or a call waits at most for a server that is starting: agents give up soon after."""


class Watcher(Protocol):
    """Who wants to know what a server has and does."""

    def offered(self, supervisor: Supervisor, offers: Offers | None) -> None:
        """Learn what it offers now; None while it is given up."""

    def updated(self, supervisor: Supervisor, uri: str, params: Raw) -> None:
        """Learn that a resource that is wanted has changed."""

    def logged(self, supervisor: Supervisor, params: Raw) -> None:
        """Take a log message that belongs to no call."""

    def notified(self, supervisor: Supervisor, method: str, params: Raw | None) -> None:
        """Take any other notification."""

    def asked(self, supervisor: Supervisor, question: Question) -> None:
        """Take a question that belongs to no call."""


class Supervisor:
    """Keeps one server running.

    Args:
        server: Its part of the configuration.
        connector: How to reach it.
        watcher: Told of everything that belongs to no call.
        capabilities: What clients can do, as far as the server may know it; a raw JSON object.
        session: The label of the session that it is for, for logs; ``-`` if it is shared.

    Attributes:
        peer: The server, None while it is not running.
        offers: What it offers, None until it was listed and while it is given up.
        problem: Why it is not running, empty while it is or is starting.
        restarts: Lives that it has begun or tried to begin after the first one.
        started_at: Unix time of the beginning of this life, 0 while it is not running.
    """

    def __init__(
        self, server: Server, connector: Connector, watcher: Watcher, capabilities: bytes, session: str = "-"
    ) -> None:
        self.server = server
        self.name = server.name
        self._watcher = watcher
        self.peer: Peer | None = None
        self.offers: Offers | None = None
        self.problem = ""
        self.restarts = 0
        self.started_at = 0.0
        self._connector = connector
        self._capabilities = capabilities
        self._session = session
        self._uris: frozenset[str] = frozenset()
        self._log_level: str | None = None
        self._life: Life | None = None
        self._attempted = asyncio.Event()
        self._introduced = asyncio.Event()
        self._deadline = 0.0
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin; returns at once."""
        self._deadline = asyncio.get_running_loop().time() + min(PATIENCE, self.server.timeouts.start)
        self._task = asyncio.create_task(self._run(), name=f"server {self.name}")

    async def stop(self) -> None:
        """End the server, within a bounded time."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._connector.close()

    @property
    def is_introduced(self) -> bool:
        """Whether its first start has come to an end, good or bad, or is not waited for any more."""
        return self._introduced.is_set() or asyncio.get_running_loop().time() >= self._deadline

    async def introduced(self) -> None:
        """Wait until :attr:`is_introduced`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._deadline):
                await self._introduced.wait()

    async def attempted(self) -> None:
        """Wait until a start has come to an end, good or bad, as long as that takes."""
        await self._introduced.wait()

    async def get(self) -> Peer:
        """Give the server, waiting a moment for one that is starting.

        Raises:
            Failure: It is not running.
        """
        if self.peer is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(PATIENCE, self.server.timeouts.start)):
                    await self._attempted.wait()
        if self.peer is None:
            why = self.problem or "it is still starting"
            raise Failure(f"server {self.name!r} is not running: {why}; it is being restarted, try again later")
        return self.peer

    def want(self, uris: frozenset[str]) -> None:
        """Be told of changes of exactly these resources, now and after every restart."""
        self._uris = uris
        if self._life is not None:
            self._life.want(uris, self._log_level)

    def want_log_level(self, level: str | None) -> None:
        """Have log messages from a level on, now and after every restart; None for not caring any more."""
        self._log_level = level
        if self._life is not None:
            self._life.want(self._uris, level)

    def listed(self, offers: Offers) -> None:
        """Learn what the server offers now."""
        self.offers = offers
        self._watcher.offered(self, offers)

    def lost(self) -> None:
        """Learn that the server is gone: who wants it waits for its next life."""
        self.peer = None
        self._attempted.clear()

    def updated(self, uri: str, params: Raw) -> None:
        """Pass on that a resource has changed."""
        self._watcher.updated(self, uri, params)

    def logged(self, params: Raw) -> None:
        """Pass on a log message."""
        self._watcher.logged(self, params)

    def notified(self, method: str, params: Raw | None) -> None:
        """Pass on a notification."""
        self._watcher.notified(self, method, params)

    def asked(self, question: Question) -> None:
        """Pass on a question."""
        self._watcher.asked(self, question)

    async def _run(self) -> None:
        SESSION.set(self._session)
        deaths = 0
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started = loop.time()
            self._attempted.clear()
            try:
                await self._live()
            except Failure as problem:
                self.problem = str(problem)
                log.error("server %r: %s%s", self.name, problem, problem.detail)  # noqa: TRY400 - no bug, no trace
                self._give_up()
            deaths = deaths + 1 if loop.time() - started < QUICK_DEATH else 0
            if deaths > 1:
                self._give_up()  # nobody should wait for it meanwhile
                delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** (deaths - 2))
                log.warning("server %r: next start in %g s", self.name, delay)
                await asyncio.sleep(delay)
            self.restarts += 1

    async def _live(self) -> None:
        """Live one life until it ends.

        Raises:
            Failure: It did not start.
        """
        life = self._life = Life(self)
        life.want(self._uris, self._log_level)
        try:
            async with asyncio.timeout(self.server.timeouts.start) as limit:
                await self._begin(life, limit)
            how = await life.over
            self.problem = f"it stopped ({how})"
            log.warning("server %r stopped (%s)", self.name, how)
        except TimeoutError:
            raise Failure(f"it did not start within {self.server.timeouts.start:g} s") from None
        finally:
            self.peer = self._life = None
            self.started_at = 0.0
            await life.close()

    async def _begin(self, life: Life, limit: asyncio.Timeout) -> None:
        peer = await self._connector.connect(life, self._capabilities)
        left = (limit.when() or 0.0) - asyncio.get_running_loop().time()
        listed = await life.begin(peer, left * _LISTING_SHARE)
        log.info("server %r: MCP %s, %d tools", self.name, peer.hello.version, len(listed.offers.tools))
        self.peer = peer
        self.problem = ""
        self.started_at = time.time()
        self.listed(listed.offers)
        self._settle()

    def _give_up(self) -> None:
        self.offers = None
        self._watcher.offered(self, None)
        self._settle()

    def _settle(self) -> None:
        self._attempted.set()
        self._introduced.set()


_LISTING_SHARE = 0.9
"""Of the time that is left: a list that does not come hides itself, and not the whole server."""
