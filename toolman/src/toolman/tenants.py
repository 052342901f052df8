"""The callers of a guard: what each has to itself, made when it first comes and ended when it may not come any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from toolman import tokens
from toolman.core.dispatch import Dispatcher
from toolman.core.load import Load
from toolman.core.realms import Realm, Trunk
from toolman.front.endpoint import Endpoint
from toolman.policy import Layer
from toolman.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolman.audit import Audit
    from toolman.config import Caller, Config
    from toolman.front.population import Population
    from toolman.sessions import Session

MAX_SESSIONS = 64
"""Of one caller: each may be a process of its own in the server's container."""

_OPEN = Layer(source="guard")
"""So that the report shows all that there is; nobody is served by the trunk."""


class Tenant(NamedTuple):
    """What one caller has."""

    realm: Realm
    dispatcher: Dispatcher
    endpoint: Endpoint


class _Everybody:
    """All sessions, for what is bounded together."""

    def __init__(self, trunk: Trunk) -> None:
        self._trunk = trunk

    def __iter__(self) -> Iterator[Session]:
        return self._trunk.all_sessions()


class Tenants:
    """All of them; implements :class:`toolman.front.guard.Callers`.

    Args:
        config: With the guard's part.
        trunk: Runs the servers.
        audit: Gets a record for each use of something.
        connections: Those whose clients wait.

    Attributes:
        ended: Called with the UID of a Pod that may not call any more.
    """

    def __init__(self, config: Config, trunk: Trunk, audit: Audit, connections: Population) -> None:
        self._trunk = trunk
        self._audit = audit
        self._connections = connections
        self.ended: Callable[[str], None] = _ignore
        self._load = Load(_Everybody(trunk))
        self._tenants: dict[str, Tenant] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._config = config
        self._callers = _callers(config)

    def is_caller(self, pod: str) -> bool:
        """Tell whether a Pod may call."""
        return pod in self._callers

    def endpoint(self, pod: str) -> Endpoint | None:
        """Give what serves a Pod, None if it may not call."""
        tenant = self._tenants.get(pod)
        if tenant is None:
            caller = self._callers.get(pod)
            if caller is None:
                return None
            tenant = self._tenants[pod] = self._make(caller)
        return tenant.endpoint

    def apply(self, config: Config) -> None:
        """Put another configuration in force, which the trunk has taken already."""
        self._config = config
        self._callers = _callers(config)
        for pod, tenant in tuple(self._tenants.items()):
            caller = self._callers.get(pod)
            if caller is None:
                self._end(pod)
                continue
            meant = _of(config, caller)
            if meant != tenant.realm.config:  # one caller more is no news for the others
                tenant.realm.apply(meant)
                tenant.realm.sessions.ttl = config.sessions.ttl

    def end_streams(self) -> None:
        """End the streams on which no outcome is waited for: toolman is shutting down."""
        for tenant in self._tenants.values():
            tenant.realm.sessions.end_streams()
            tenant.dispatcher.end_listens()

    async def stop(self) -> None:
        """End all of them, within a bounded time."""
        for pod in tuple(self._tenants):
            self._end(pod)
        await asyncio.gather(*self._leaving)

    def _make(self, caller: Caller) -> Tenant:
        clock = asyncio.get_running_loop().time
        sessions = Sessions(clock, self._config.sessions.ttl, most=MAX_SESSIONS)
        realm = Realm(self._trunk, _of(self._config, caller), sessions)
        dispatcher = Dispatcher(realm, self._audit, tokens.raw(32), who=caller.name, load=self._load)
        realm.start()
        return Tenant(realm, dispatcher, Endpoint(dispatcher, realm, sessions, self._connections, clock, caller.name))

    def _end(self, pod: str) -> None:
        tenant = self._tenants.pop(pod)
        tenant.realm.leave()
        tenant.dispatcher.end_listens()
        self.ended(pod)
        task = asyncio.create_task(tenant.realm.stop(), name="end of a caller")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def for_trunk(config: Config) -> Config:
    """Give what the trunk of a configuration runs."""
    return _with(config, (_OPEN,))


def _of(config: Config, caller: Caller) -> Config:
    return _with(config, caller.layers)


def _with(config: Config, layers: tuple[Layer, ...]) -> Config:
    guard = None if config.guard is None else msgspec.structs.replace(config.guard, callers=())
    return msgspec.structs.replace(config, layers=(*config.layers, *layers), guard=guard)


def _callers(config: Config) -> dict[str, Caller]:
    return {} if config.guard is None else {caller.pod: caller for caller in config.guard.callers}


def _ignore(pod: str) -> None:
    del pod
