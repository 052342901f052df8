"""Keeping one server alive: start, handshake, list, watch, start again.

A server that dies is started again at once; only one that keeps dying quickly has to wait, longer each time. What was
on its way gets an answer that says what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from toolman.upstreams import Failure, handshake
from toolman.upstreams.peer import Call, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.catalog import Tool
    from toolman.config import Server
    from toolman.upstreams import Launcher, Link

log = logging.getLogger(__name__)

QUICK_DEATH = 10.0
"""Seconds. Who lived shorter has not worked, and a restart is unlikely to help."""

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
"""Seconds before the second and the last restarts in a row after quick deaths. The first restart does not wait."""

PATIENCE = 10.0
"""Seconds that a list or a call waits at most for a server that is starting: agents give up soon after."""

RELIST_PAUSE = 0.2
"""Seconds between two lists that the server itself causes, however often it says that its tools changed..."""

RELIST_SHARE = 4
"""...and at least so many times what the last one took, so that a flood of changes leaves time for others."""


class Life:
    """One life of a server: receives what the link brings."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tools_changed = asyncio.Event()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.link: Link | None = None
        self.peer = Peer(name, self._write, self.tools_changed.set)
        self.line = self.peer.line

    def ended(self, how: str) -> None:
        """Learn from the link that the server is gone."""
        if not self.over.done():
            self.over.set_result(how)
            self.peer.fail(
                f"server {self.name!r} stopped ({how}) before answering; it is being restarted; "
                "the call may or may not have taken effect"
            )

    async def close(self) -> None:
        """End the server."""
        self.peer.fail(f"server {self.name!r} was ended before answering; the call may or may not have taken effect")
        if self.link is not None:
            await self.link.close()

    def _write(self, line: bytes) -> bool:
        return self.link is not None and self.link.write(line)


class Supervisor:
    """Keeps one server running.

    Args:
        server: Its part of the configuration.
        launcher: How to start it.
        on_tools: Called with this and the server's tools whenever they were listed; with none when it is given up
            for now.

    Attributes:
        problem: Why it is not running, empty while it is or is starting.
    """

    def __init__(self, server: Server, launcher: Launcher, on_tools: Callable[[Supervisor, list[Tool]], None]) -> None:
        self.server = server
        self.name = server.name
        self.problem = ""
        self._launcher = launcher
        self._on_tools = on_tools
        self._peer: Peer | None = None
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
        await self._launcher.close()

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

    async def call(self, call: Call, method: bytes, params: Callable[[bytes], bytes]) -> None:
        """Send a request, waiting a moment for a server that is starting.

        Raises:
            Failure: It is not running, or does not read.
        """
        peer = self._peer
        if peer is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(PATIENCE, self.server.timeouts.start)):
                    await self._attempted.wait()
            peer = self._peer
            if peer is None:
                why = self.problem or "it is still starting"
                raise Failure(f"server {self.name!r} is not running: {why}; it is being restarted, try again later")
        peer.call(call, method, params)

    async def _run(self) -> None:
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
                self._on_tools(self, [])
                self._settle()
            deaths = deaths + 1 if loop.time() - started < QUICK_DEATH else 0
            if deaths > 1:
                self._on_tools(self, [])
                self._settle()  # nobody should wait for it meanwhile
                delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** (deaths - 2))
                log.warning("server %r: next start in %g s", self.name, delay)
                await asyncio.sleep(delay)

    async def _live(self) -> None:
        """Live one life until it ends.

        Raises:
            Failure: It did not start.
        """
        life = Life(self.name)
        watcher: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self.server.timeouts.start):
                await self._begin(life)
            self._peer, self.problem = life.peer, ""
            self._settle()
            watcher = asyncio.create_task(self._relist(life), name=f"tools of {self.name}")
            how = await life.over
            self.problem = f"it stopped ({how})"
            log.warning("server %r stopped (%s)", self.name, how)
        except TimeoutError:
            raise Failure(f"it did not start within {self.server.timeouts.start:g} s") from None
        finally:
            self._peer = None
            if watcher is not None:
                watcher.cancel()
            await life.close()

    async def _begin(self, life: Life) -> None:
        life.link = await self._launcher.launch(life)
        greeting = asyncio.create_task(self._greet(life), name=f"handshake with {self.name}")
        life.over.add_done_callback(lambda _: greeting.cancel())
        try:
            await greeting
        except asyncio.CancelledError:
            greeting.cancel()
            if life.over.done():
                raise Failure(f"it stopped ({life.over.result()}) while starting") from None
            raise

    async def _greet(self, life: Life) -> None:
        limit = self.server.timeouts.start
        version = await handshake.initialize(life.peer, limit)
        tools = await handshake.list_tools(life.peer, limit)
        log.info("server %r: MCP %s, %d tools", self.name, version, len(tools))
        self._on_tools(self, tools)

    def _settle(self) -> None:
        self._attempted.set()
        self._introduced.set()

    async def _relist(self, life: Life) -> None:
        while True:
            await life.tools_changed.wait()
            life.tools_changed.clear()
            started = time.monotonic()
            try:
                self._on_tools(self, await handshake.list_tools(life.peer, self.server.timeouts.start))
            except Failure as problem:
                log.warning("server %r: listing its tools again failed: %s; the old list stays", self.name, problem)
            await asyncio.sleep(max(RELIST_PAUSE, RELIST_SHARE * (time.monotonic() - started)))
