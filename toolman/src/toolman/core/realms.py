"""One gateway for each caller over servers that all share: the views, limits and sessions of each are its own.

The trunk keeps the shared servers running and serves nobody. A realm is a gateway whose shared servers are the trunk's,
so nothing of what one caller has can be reached from another's: not a session, not a task, not what a limit leaves.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from toolman.core.gateway import Gateway
from toolman.core.keepers import Keepers
from toolman.core.loglevels import LogLevels
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from msgspec import Raw

    from toolman.config import Config, Server
    from toolman.core.keepers import Connect
    from toolman.core.subscriptions import Home
    from toolman.sessions import Session, Sessions
    from toolman.upstreams.offers import Offers
    from toolman.upstreams.supervisor import Supervisor


class Trunk(Gateway):
    """Runs the servers that all share; what they say goes to the realms. A question outside a call goes nowhere.

    Args:
        config: What to run.
        connect: Makes the connector of a server.
        sessions: Of nobody: the realms have theirs.
    """

    def __init__(self, config: Config, connect: Connect, sessions: Sessions) -> None:
        self.connect = connect
        self._realms: dict[Realm, None] = {}
        self._uris: dict[Home, dict[Realm, frozenset[str]]] = {}
        self._levels = LogLevels(lambda *_: None)
        super().__init__(config, connect, sessions)

    @property
    def keepers(self) -> Keepers:
        """Keep the shared servers running."""
        return self._keepers

    @property
    def is_ready(self) -> bool:
        """Whether every server that is shared can be used."""
        return all(keeper.offers is not None for _, keeper in self._keepers)

    def supervisors(self) -> Iterator[tuple[Home, Supervisor]]:
        """Give the shared servers, and those that are a session's own."""
        return itertools.chain(self._keepers, *(realm.own_servers() for realm in self._realms))

    def count_sessions(self) -> int:
        """Count those of all realms."""
        return sum(len(realm.sessions) for realm in self._realms)

    def all_sessions(self) -> Iterator[Session]:
        """Give those of all realms."""
        return itertools.chain.from_iterable(realm.sessions for realm in self._realms)

    def join(self, realm: Realm) -> None:
        """Have a realm hear of what servers say."""
        self._realms[realm] = None

    def leave(self, realm: Realm) -> None:
        """Have a realm hear nothing any more, and want nothing."""
        self._realms.pop(realm, None)
        for home, _ in self._keepers:
            self.want_for(realm, home, frozenset())
            self.want_log_level_for(realm, home, None)

    def want_for(self, realm: Realm, home: Home, uris: frozenset[str]) -> None:
        """Have a server tell of what all realms follow."""
        wishes = self._uris.setdefault(home, {})
        wishes[realm] = uris
        if not uris:
            del wishes[realm]
        self.want(home, frozenset().union(*wishes.values()))

    def want_log_level_for(self, realm: Realm, home: Home, level: str | None) -> None:
        """Have a server log as much as the realm that wants most."""
        if level is None:
            self._levels.drop((realm, home))
        else:
            self._levels.choose((realm, home), [home], level)
        self.want_log_level(home, self._levels.level(home))

    def offered(self, home: Home, offers: Offers | None) -> None:
        """Tell all realms what a server offers."""
        super().offered(home, offers)
        for realm in self._realms:
            realm.offered(home, offers)

    def updated(self, home: Home, uri: str, params: Raw) -> None:
        """Tell those who follow a resource; each realm knows which of its clients may read it."""
        for realm in self._realms:
            realm.updated(home, uri, params)

    def logged(self, home: Home, params: Raw) -> None:
        """Pass nothing on: nobody knows about whose call it is."""

    def notified(self, home: Home, method: str, params: Raw | None) -> None:
        """Pass on what names a task or a question: each realm knows its own."""
        for realm in self._realms:
            realm.notified(home, method, params)

    def _expire(self) -> None:
        for realm in self._realms:
            realm.sessions.expire()
        super()._expire()


class Realm(Gateway):
    """What one caller has.

    Args:
        trunk: Runs the servers that are shared.
        config: The trunk's, with the caller's layers.
        sessions: The caller's.
    """

    def __init__(self, trunk: Trunk, config: Config, sessions: Sessions) -> None:
        self._trunk = trunk
        self._branch = _Branch(trunk, self)
        super().__init__(config, trunk.connect, sessions, self._branch)
        self.metrics = trunk.metrics
        self.traces = trunk.traces

    def start(self) -> None:
        """Join the servers that run."""
        self._trunk.join(self)
        super().start()
        self.hub.begin()

    async def stop(self) -> None:
        """End every session, what is on its way in it, and its own servers; the shared ones go on."""
        self.leave()
        await self._branch.stop()

    def leave(self) -> None:
        """End every session, at once."""
        for session in self.sessions:
            self.sessions.end(session)
        self.hub.stop()
        self._trunk.leave(self)

    def own_servers(self) -> Iterator[tuple[Home, Supervisor]]:
        """Give the servers that are a session's own."""
        return self._branch.own()

    def _expire(self) -> None:
        """Do nothing: the trunk looks after all sessions."""


class _Branch(Keepers):
    """The servers of a realm: the trunk's, which it neither begins nor ends, and those that are a session's own."""

    def __init__(self, trunk: Trunk, realm: Realm) -> None:
        super().__init__(trunk.connect, realm)
        self._trunk = trunk
        self._realm = realm

    def __iter__(self) -> Iterator[tuple[Home, Supervisor]]:
        return itertools.chain(self._trunk.keepers, self.own())

    def own(self) -> Iterator[tuple[Home, Supervisor]]:
        return super().__iter__()

    def get(self, home: Home) -> Supervisor | None:
        return self._trunk.keepers.get(home) if home[1] is None else super().get(home)

    def make(self, server: Server, capabilities: bytes, label: str = "-") -> Supervisor:
        if not server.is_shared:
            return super().make(server, capabilities, label)
        found = self.get((server.name, None))
        if found is None:
            raise Failure(f"server {server.name!r} is not there")
        return found

    def add(self, home: Home, supervisor: Supervisor) -> None:
        if home[1] is not None:
            super().add(home, supervisor)
        elif supervisor.offers is not None:
            self._realm.offered(home, supervisor.offers)

    def remove(self, home: Home) -> None:
        if home[1] is not None:
            super().remove(home)

    def want(self, home: Home, uris: frozenset[str]) -> None:
        if home[1] is None:
            self._trunk.want_for(self._realm, home, uris)
        else:
            super().want(home, uris)

    def want_log_level(self, home: Home, level: str | None) -> None:
        if home[1] is None:
            self._trunk.want_log_level_for(self._realm, home, level)
        else:
            super().want_log_level(home, level)

    def is_introduced(self, home: Home) -> bool:
        return self._trunk.keepers.is_introduced(home) if home[1] is None else super().is_introduced(home)

    async def introduced_one(self, home: Home) -> None:
        if home[1] is None:
            await self._trunk.keepers.introduced_one(home)
        else:
            await super().introduced_one(home)
