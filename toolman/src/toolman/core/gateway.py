"""What toolman knows at a moment: its configuration, its servers, what each client sees of them, and who listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from toolman import memory
from toolman.config import ConfigError, Process
from toolman.core.capabilities import declared_to
from toolman.core.hub import Hub
from toolman.core.keepers import Keepers, can_stay
from toolman.core.views import Sight, Views
from toolman.exchange import REFUSED
from toolman.limits import Limiter
from toolman.metrics import Metrics
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from msgspec import Raw

    from toolman.config import Config, Server
    from toolman.core.capabilities import Advertised
    from toolman.core.catalog import View
    from toolman.core.keepers import Connect
    from toolman.core.subscriptions import Home
    from toolman.exchange import Caller, Question
    from toolman.sessions import Session, Sessions
    from toolman.traces import Traces
    from toolman.upstreams.offers import Offers
    from toolman.upstreams.supervisor import Supervisor

log = logging.getLogger(__name__)

_ORPHANS = 2.0
"""Seconds for what servers have started and left behind, after they are gone."""

_EXPIRE = 60.0
"""Seconds between looks for sessions that nobody uses, and memory."""


class Gateway:
    """Runs the servers of a configuration; the supervisors' ``Ears`` and the hub's ``Surroundings``.

    Args:
        config: What to run.
        connect: Makes the connector of a server.
        sessions: All clients of the legacy era.
        keepers: Keep the servers running, where those are not this gateway's alone.

    Attributes:
        config: The configuration in force.
        hub: Tells clients what changes.
        views: What each client sees; for reports, what there is at all.
        limiter: Admits calls, by the layers in force.
        metrics: Count what happens.
        traces: Follow calls, None if nobody wants them.
        on_asked: Takes a question that belongs to no call.
        on_notified: Takes a notification that belongs to no call.
        on_left: Called with a session that is over, before what was its own is ended.
    """

    def __init__(self, config: Config, connect: Connect, sessions: Sessions, keepers: Keepers | None = None) -> None:
        self.config = config
        self.sessions = sessions
        self.hub = Hub(self, sessions)
        self.limiter = Limiter(time.monotonic)
        self.limiter.apply(config.layers)
        self.metrics = Metrics()
        self.traces: Traces | None = None
        self.on_asked: Callable[[Home, Question], None] = lambda _, question: question.answer(REFUSED)
        self.on_notified: Callable[[Home, str, Raw | None], None] = lambda *_: None
        self.on_left: Callable[[Session], None] = lambda _: None
        self._keepers = keepers or Keepers(connect, self)
        self._settled: set[Home] = set()
        self.views = Views(config, self._is_settled, self.hub.changed)
        self._own = _own(config)
        self._expiry: asyncio.TimerHandle | None = None
        sessions.arrived = self.hub.restore
        sessions.left = self.left

    def start(self) -> None:
        """Start all servers that clients share; returns at once.

        Raises:
            ConfigError: Nothing can be made of one of them.
        """
        for made in self._made(self.config, ()):
            self._begin(*made)
        self._expire()

    async def stop(self) -> None:
        """End all servers, within a bounded time."""
        if self._expiry is not None:
            self._expiry.cancel()
        self.hub.stop()
        await self._keepers.stop()
        if any(isinstance(server.upstream, Process) for server in self.config.servers):
            from toolman.upstreams.children import nursery  # noqa: PLC0415 - only child processes leave orphans

            await nursery.end(_ORPHANS)

    def apply(self, config: Config) -> None:
        """Put another configuration in force, at once and as a whole; servers that it does not touch keep running.

        Raises:
            ConfigError: It cannot be; the one before stays in force.
        """
        before, after = _by_name(self.config), _by_name(config)
        kept = {name for name in before.keys() & after.keys() if can_stay(before[name], after[name])}
        made = self._made(config, kept)
        if _addresses(config) != _addresses(self.config):
            log.warning("listen or admin: host and port stay as they are until toolman is restarted")
        sights = [(session, self.sight(session)) for session in self.sessions]
        self.config, self._own = config, _own(config)
        self.limiter.apply(config.layers)
        gone = {home for home, _ in self._keepers if home[0] not in kept}
        for home in gone:
            self._settled.discard(home)
            self._keepers.remove(home)
        for (name, _), supervisor in self._keepers:
            supervisor.server = after[name]
        self.views.apply(config, gone)
        for each in made:
            self._begin(*each)
        for session, sight in sights:
            self.views.move(sight, self.sight(session))
            self._begin_again(session, gone)

    def view(self, caller: Caller) -> View:
        """Give what a client sees at this moment."""
        found = None if self._own else self.views.shared.get(caller.server)  # every call comes along here
        return found or self.seen(self.sight(caller))

    def is_introduced(self, caller: Caller) -> bool:
        """Tell whether no server that a client sees is waited for any more."""
        return all(self._is_settled(home) for home in self.homes(caller))

    async def introduced(self, caller: Caller) -> None:
        """Wait for servers that have never been listed: a moment, or longer as long as there is nothing else to see."""
        homes = self.homes(caller)
        for name, _ in homes:
            with contextlib.suppress(Failure):
                self.upstream(name, caller)
        await self._keepers.introduced(homes, lambda: self.view(caller).has_anything)

    def upstream(self, server: str, caller: Caller) -> Supervisor:
        """Give the keeper of a server; where each session has its own it is begun when it is first asked for.

        Raises:
            Failure: There is no such server any more, or none for this caller.
        """
        home = self.home(server, caller)
        found = self._keepers.get(home)
        if found is not None:
            return found
        known = _by_name(self.config).get(server)
        if known is None:
            raise Failure(f"server {server!r} is not there any more: list again")
        if home[1] is None:
            raise Failure(f"server {server!r} has a process for each session: send initialize first")
        if self._keepers.is_gone(home[1]):
            raise Failure("this session has ended: send initialize again")
        capabilities = declared_to(self.config.layers, known, caller.capabilities)
        made = self._keepers.make(known, capabilities, caller.label)
        self._begin(home, made)
        return made

    def hello(self, caller: Caller) -> Advertised:
        """Give what a client is told that there is, for ``initialize`` and ``server/discover``; does not wait."""
        return self.view(caller).advertise(caller.era)

    def is_stateless_for(self, scope: str | None) -> bool:
        """Tell whether no server of an endpoint needs sessions: otherwise clients fall back to the legacy era."""
        return not self._own or (scope is not None and scope not in self._own)

    def left(self, session: Session) -> None:
        """Forget a session that is over, and end what was its own."""
        self.on_left(session)
        self.hub.forget(session)
        homes = self._keepers.remove_all_of(session.owner)
        self._settled.difference_update(homes)
        self.views.drop(Sight(session.server, session.owner), homes)

    def problems(self) -> dict[str, str]:
        """Tell which servers are not running, and why."""
        return {name: keeper.problem for (name, _), keeper in self._keepers if keeper.problem}

    def count_sessions(self) -> int:
        """Count the sessions of clients."""
        return len(self.sessions)

    def supervisors(self) -> Iterator[tuple[Home, Supervisor]]:
        """Give all running servers: for metrics and reports."""
        return iter(self._keepers)

    # What the hub asks.

    def sight(self, caller: Caller) -> Sight:
        """Tell which view is a caller's."""
        has_own = bool(self._own) and caller.era == "legacy" and not self.is_stateless_for(caller.server)
        return Sight(caller.server, caller.owner if has_own else None)

    def seen(self, sight: Sight) -> View:
        """Give a view as it is now."""
        if sight.owner is not None and self._keepers.is_gone(sight.owner):
            return self.views.made(sight)
        return self.views.seen(sight)

    def home(self, server: str, caller: Caller) -> Home:
        """Tell which running server a caller's is."""
        return server, caller.owner if server in self._own and caller.era == "legacy" else None

    def homes(self, caller: Caller) -> list[Home]:
        """Give the running servers that a caller sees."""
        return self.views.homes(self.sight(caller))

    def keeper(self, home: Home) -> Supervisor | None:
        """Give who keeps a server running."""
        return self._keepers.get(home)

    def want(self, home: Home, uris: frozenset[str]) -> None:
        """Have a server tell of changes of exactly these resources."""
        self._keepers.want(home, uris)

    def want_log_level(self, home: Home, level: str | None) -> None:
        """Have a server log from a level on."""
        self._keepers.want_log_level(home, level)

    # What servers say.

    def offered(self, home: Home, offers: Offers | None) -> None:
        """Learn what a server offers now; None while it is given up."""
        self._settled.add(home)
        self.views.offered(home, offers)

    def updated(self, home: Home, uri: str, params: Raw) -> None:
        """Have those who follow a resource hear that it has changed."""
        self.hub.updated(home, uri, params)

    def logged(self, home: Home, params: Raw) -> None:
        """Have those who want it hear a log message that belongs to no call."""
        self.hub.logged(home, params)

    def notified(self, home: Home, method: str, params: Raw | None) -> None:
        """Hand on any other notification."""
        self.on_notified(home, method, params)

    def asked(self, home: Home, question: Question) -> None:
        """Hand on a question that belongs to no call."""
        self.on_asked(home, question)

    def _made(self, config: Config, kept: Collection[str]) -> list[tuple[Home, Supervisor]]:
        """Make what keeps the shared servers of a configuration running, all of them or none."""
        wanted = [server for server in config.servers if server.is_shared and server.name not in kept]
        try:
            return [
                ((server.name, None), self._keepers.make(server, declared_to(config.layers, server, None)))
                for server in wanted
            ]
        except Failure as problem:
            raise ConfigError(str(problem)) from None

    def _begin(self, home: Home, supervisor: Supervisor) -> None:
        uris, level = self.hub.wishes(home)
        self._keepers.add(home, supervisor)
        if uris:
            self.want(home, uris)
        if level is not None:
            self.want_log_level(home, level)

    def _begin_again(self, session: Session, gone: Collection[Home]) -> None:
        """Begin what was a session's own before its configuration changed, if it still is."""
        for home in self.homes(session):
            if home[1] is not None and home in gone:
                with contextlib.suppress(Failure):  # it is made when it is needed, or says then why it cannot be
                    self.upstream(home[0], session)

    def _is_settled(self, home: Home) -> bool:
        return home in self._settled or self._keepers.is_introduced(home)

    def _expire(self) -> None:
        self.sessions.expire()
        memory.give_back()
        self._expiry = asyncio.get_running_loop().call_later(_EXPIRE, self._expire)


def _by_name(config: Config) -> dict[str, Server]:
    return {server.name: server for server in config.servers}


def _own(config: Config) -> frozenset[str]:
    """Give the servers of which each session has its own."""
    return frozenset(server.name for server in config.servers if not server.is_shared)


def _addresses(config: Config) -> tuple[object, ...]:
    """What cannot be changed while listening; the other settings of ``listen`` can."""
    return config.listen.loopback, config.listen.host, config.listen.port, config.admin
