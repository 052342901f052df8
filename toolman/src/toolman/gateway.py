"""What toolman knows at a moment: its configuration, its servers, what is visible of them, and the sessions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from toolman import memory
from toolman.catalog import View
from toolman.config import Process
from toolman.sessions import Sessions
from toolman.upstreams.supervisor import Supervisor

if TYPE_CHECKING:
    from toolman.catalog import Tool
    from toolman.config import Config, Server
    from toolman.upstreams import Launcher

log = logging.getLogger(__name__)

_POLL = 0.05
_EXPIRE = 60.0
"""Seconds between looks for sessions that nobody uses, and memory."""


class Gateway:
    """Runs the servers of a configuration and keeps what is visible of them up to date.

    Attributes:
        config: The configuration in force.
        view: What is visible under it.
        generation: Counts the changes of the visible list.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.generation = 1
        self._tools: dict[str, list[Tool]] = {}
        self.view = View(config, self._tools)
        self.sessions = Sessions(asyncio.get_running_loop().time)
        self._supervisors: dict[str, Supervisor] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start all servers; returns at once."""
        for server in self.config.servers:
            self._add(server)
        self._expire()

    async def finish_calls(self, limit: float) -> None:
        """Wait until no call is on its way, or the limit (in seconds) is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while any(session.calls for session in self.sessions):  # noqa: ASYNC110 - once, at the very end
                    await asyncio.sleep(_POLL)

    async def stop(self) -> None:
        """End all servers, within a bounded time."""
        if self._expiry is not None:
            self._expiry.cancel()
        supervisors, self._supervisors = self._supervisors, {}
        await asyncio.gather(*(supervisor.stop() for supervisor in supervisors.values()), *self._leaving)
        if any(isinstance(server.upstream, Process) for server in self.config.servers):
            from toolman.upstreams import children  # noqa: PLC0415 - only child processes leave orphans

            children.reap_orphans(kill=True)

    def apply(self, config: Config) -> None:
        """Put another configuration in force, at once and as a whole; servers that it does not touch keep running."""
        if _addresses(config) != _addresses(self.config):
            log.warning("listen or admin: host and port stay as they are until toolman is restarted")
        before = {server.name: server for server in self.config.servers}
        after = {server.name: server for server in config.servers}
        self.config = config
        for name in [name for name, server in before.items() if after.get(name) != server]:
            self._remove(name)
        for name, server in after.items():
            if name not in self._supervisors:
                self._add(server)
        self._refresh()

    def supervisor(self, name: str) -> Supervisor:
        """Give the keeper of a server that is in the view."""
        return self._supervisors[name]

    def problems(self) -> dict[str, str]:
        """Tell which servers are not running, and why."""
        return {name: keeper.problem for name, keeper in self._supervisors.items() if keeper.problem}

    @property
    def is_introduced(self) -> bool:
        """Whether no server is waited for any more."""
        return all(supervisor.is_introduced for supervisor in self._supervisors.values())

    async def introduced(self) -> None:
        """Wait, bounded, for servers that have never been listed: a slow one hides its own tools, not the others'."""
        await asyncio.gather(*(supervisor.introduced() for supervisor in self._supervisors.values()))

    def _add(self, server: Server) -> None:
        supervisor = Supervisor(server, _launcher(server), self._listed)
        self._supervisors[server.name] = supervisor
        supervisor.start()

    def _remove(self, name: str) -> None:
        self._tools.pop(name, None)
        supervisor = self._supervisors.pop(name)
        leaving = asyncio.create_task(supervisor.stop(), name=f"end of {name}")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _listed(self, supervisor: Supervisor, tools: list[Tool]) -> None:
        if self._supervisors.get(supervisor.name) is supervisor:
            self._tools[supervisor.name] = tools
            self._refresh()

    def _refresh(self) -> None:
        before, self.view = self.view, View(self.config, self._tools)
        if self.view.collisions and self.view.collisions != before.collisions:
            log.error(
                "more than one tool would be called %s, so none is shown: use naming: prefixed, or deny all but one",
                ", ".join(self.view.collisions),
            )
        if self.view.listing != before.listing:
            self.generation += 1
            log.info("%d of %d tools are visible", len(self.view.routes), len(self.view.entries))
            for session in self.sessions:
                if session.streams:
                    session.streams[-1].notify()

    def _expire(self) -> None:
        self.sessions.expire()
        memory.give_back()
        self._expiry = asyncio.get_running_loop().call_later(_EXPIRE, self._expire)


def _addresses(config: Config) -> tuple[object, ...]:
    """What cannot be changed while listening; the other settings of ``listen`` can."""
    return config.listen.loopback, config.listen.host, config.listen.port, config.admin


def _launcher(server: Server) -> Launcher:
    """Choose how a server is started; what is not used is not imported."""
    if isinstance(server.upstream, Process):
        from toolman.upstreams.process import ProcessLauncher  # noqa: PLC0415

        return ProcessLauncher(server.name, server.upstream)
    from toolman.upstreams.pipes import PipesLauncher  # noqa: PLC0415

    return PipesLauncher(server.name, server.upstream)
