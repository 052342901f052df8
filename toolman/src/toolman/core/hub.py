"""Who hears of what: changed lists, updated resources, and log messages that belong to no call.

Nothing is told of what its listener does not see, and nothing twice: changes of one moment are one message a list, and
a list that is as it was is none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Raw

from toolman import jsonrpc
from toolman.core.capabilities import read_object
from toolman.core.listening import Listener, honoured
from toolman.core.loglevels import LogLevels, admits
from toolman.core.subscriptions import Subscriptions
from toolman.protocol import legacy, modern
from toolman.sessions import Session
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from toolman.core.catalog import View
    from toolman.core.listening import Filter
    from toolman.core.subscriptions import Home
    from toolman.core.views import Sight
    from toolman.exchange import Caller
    from toolman.upstreams import ListKind

COALESCE = 0.05
"""Seconds in which changes become one message: servers that start together, a server that is back at once."""

SLICE = 0.02
"""Seconds for which clients' views are looked at before others get a turn: a server may change without end."""

MAX_FOLLOWED = 1_000
"""Resources that one session or one listener follows."""

UPDATED = b"notifications/resources/updated"
_CHANGED: dict[ListKind, bytes] = {
    "tools": b"notifications/tools/list_changed",
    "prompts": b"notifications/prompts/list_changed",
    "resources": b"notifications/resources/list_changed",
}
_CHANGED_MESSAGES = {kind: jsonrpc.notification(method) for kind, method in _CHANGED.items()}
_MODERN_REQUESTS = "requests of the modern era"


class Surroundings(Protocol):
    """What is needed of the gateway."""

    def sight(self, caller: Caller) -> Sight:
        """Tell which view is a caller's."""

    def seen(self, sight: Sight) -> View:
        """Give a view as it is now."""

    def home(self, server: str, caller: Caller) -> Home:
        """Tell which running server a caller's is."""

    def homes(self, caller: Caller) -> list[Home]:
        """Give the running servers that a caller sees."""

    def want(self, home: Home, uris: frozenset[str]) -> None:
        """Have a server tell of changes of exactly these resources."""

    def want_log_level(self, home: Home, level: str | None) -> None:
        """Have a server log from a level on."""


class Hub:
    """Knows who listens.

    Args:
        surroundings: The gateway.
        sessions: All clients of the legacy era.
    """

    def __init__(self, surroundings: Surroundings, sessions: Iterable[Session]) -> None:
        self._around = surroundings
        self._sessions = sessions
        self._listeners: dict[Listener, None] = {}
        self._before: dict[Sight, View] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._followed: Subscriptions[Session | Listener] = Subscriptions(surroundings.want)
        self._levels = LogLevels(surroundings.want_log_level)

    def listen(self, caller: Caller, identifier: bytes, wanted: Filter, send: Callable[[bytes], None]) -> Listener:
        """Open a subscription and acknowledge it, as far as there is what it wants.

        Args:
            caller: Whose it is.
            identifier: Of the request, raw: what is sent carries it.
            wanted: What it wants to hear of.
            send: Sends a message; called until the listener is closed.

        Raises:
            Failure: It wants too much.
        """
        _refuse_more_than(len(wanted.resource_subscriptions))
        view = self._view(caller)
        listener = Listener(caller, identifier, honoured(wanted, view), send, self.forget)
        self._listeners[listener] = None
        for uri in listener.honoured.resource_subscriptions:
            owner = view.owner(uri)
            if owner is not None:
                self._followed.add(self._around.home(owner[0], caller), uri, listener)
        listener.acknowledge()
        return listener

    async def subscribe(self, session: Session, server: str, uri: str) -> None:
        """Have a session follow a resource whose owner is known.

        Raises:
            Failure: It follows too many.
        """
        _refuse_more_than(self._followed.count(session) + 1)
        session.subscriptions.add((server, uri))
        self._followed.add(self._around.home(server, session), uri, session)

    async def unsubscribe(self, session: Session, server: str, uri: str) -> None:
        """Have a session follow a resource no more."""
        session.subscriptions.discard((server, uri))
        self._followed.remove(self._around.home(server, session), uri, session)

    def set_log_level(self, session: Session, level: str) -> None:
        """Have a session get log messages from a level on, one of :data:`toolman.protocol.legacy.LEVELS`."""
        session.log_level = level
        if level not in legacy.LEVELS:
            return
        self._levels.choose(session, self._around.homes(session), level)

    def restore(self, session: Session) -> None:
        """Have a session that was brought back from elsewhere hear of what it did before."""
        for server, uri in sorted(session.subscriptions)[:MAX_FOLLOWED]:
            self._followed.add(self._around.home(server, session), uri, session)
        if session.log_level is not None:
            self.set_log_level(session, session.log_level)

    def need_log_level(self, caller: Caller, server: str, level: str) -> None:
        """See that a server of the legacy era logs as much as a request of the modern era wants."""
        home = self._around.home(server, caller)
        now = self._levels.level(home)
        if level in legacy.LEVELS and not admits(now, level):
            self._levels.choose(_MODERN_REQUESTS, [home], level)

    def forget(self, who: Session | Listener) -> None:
        """Drop everything of a session that is over, or of a listener."""
        if isinstance(who, Listener):
            self._listeners.pop(who, None)
        else:
            self._levels.drop(who)
            sight = self._around.sight(who)
            if sight.owner is not None:
                self._before.pop(sight, None)
        self._followed.drop(who)

    def wishes(self, home: Home) -> tuple[frozenset[str], str | None]:
        """Give what a server that begins is to be asked for: resources to follow, a log level."""
        for session in self._sessions:
            if session.log_level is not None and home in self._around.homes(session):
                self._levels.choose(session, [home], session.log_level)
        return self._followed.uris(home), self._levels.level(home)

    def changed(self, sight: Sight, before: View) -> None:
        """Note that a view may not be what it was; who sees it is told soon, if it is not."""
        self._before.setdefault(sight, before)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COALESCE, self._flush)

    def begin(self) -> None:
        """Note that nobody has seen anything until now."""
        self._before.clear()

    def updated(self, home: Home, uri: str, params: Raw) -> None:
        """Tell of a changed resource to those who follow it and may read it."""
        followers = self._followed.followers(home, uri)
        if not followers:
            return
        try:
            told = {**jsonrpc.members(params, jsonrpc.REFERENCE_KEYS), "uri": Raw(jsonrpc.encode(uri))}
        except jsonrpc.Malformed:
            return
        meta = read_object(told.pop("_meta", b"{}"))
        meta.pop(modern.META_SUBSCRIPTION, None)  # the server's own, of what toolman listens to
        plain = jsonrpc.dump({**told, "_meta": jsonrpc.dump(meta)} if meta else told)
        message = jsonrpc.notification(UPDATED, jsonrpc.on_one_line(plain))
        may_read: dict[Sight, bool] = {}
        for who in followers:
            caller = who.caller if isinstance(who, Listener) else who
            sight = self._around.sight(caller)
            if sight not in may_read:
                may_read[sight] = self._may_read(sight, home, uri)
            if may_read[sight]:
                if isinstance(who, Listener):
                    who.tell(UPDATED, told, meta)
                else:
                    who.push(message)

    def logged(self, home: Home, params: Raw) -> None:
        """Give a log message to the sessions that see its server and want it."""
        wanting = self._levels.admitting(home, _level(params))
        if wanting:
            message = jsonrpc.notification(legacy.LOGGED.encode(), jsonrpc.on_one_line(bytes(params)))
            for who in wanting:
                if isinstance(who, Session) and home in self._around.homes(who):
                    who.push(message)

    def stop(self) -> None:
        """Tell nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _view(self, caller: Caller) -> View:
        return self._around.seen(self._around.sight(caller))

    def _may_read(self, sight: Sight, home: Home, uri: str) -> bool:
        found = self._around.seen(sight).owner(uri)
        return found is not None and found[0] == home[0]

    def _flush(self) -> None:
        """Compare what was seen with what is seen now, and tell the difference."""
        loop = asyncio.get_running_loop()
        changes: dict[Sight, tuple[View, list[ListKind]]] = {}
        end = loop.time() + SLICE
        while self._before and loop.time() < end:
            sight = next(iter(self._before))
            before = self._before.pop(sight)
            kinds = self._around.seen(sight).changes(before)
            if kinds:
                changes[sight] = (before, kinds)
        self._timer = loop.call_later(COALESCE, self._flush) if self._before else None
        if changes:
            self._tell_sessions(changes)
            self._tell_listeners(changes)

    def _tell_sessions(self, changes: dict[Sight, tuple[View, list[ListKind]]]) -> None:
        for session in self._sessions:
            sight = self._around.sight(session)
            if sight not in changes:
                continue
            before, kinds = changes[sight]
            now = self._around.seen(sight)
            for kind in kinds:
                listed = session.listed.get(kind)
                # Who has never asked while servers were starting will get the list as it is when it does ask.
                if listed != now.generation[kind] and (listed is not None or before.is_complete):
                    session.push(_CHANGED_MESSAGES[kind])

    def _tell_listeners(self, changes: dict[Sight, tuple[View, list[ListKind]]]) -> None:
        for listener in tuple(self._listeners):
            _, kinds = changes.get(self._around.sight(listener.caller), (None, ()))
            for kind in kinds:
                if listener.honoured.wants(kind):
                    listener.tell(_CHANGED[kind])


class _Log(msgspec.Struct):
    level: str = ""


_log = msgspec.json.Decoder(_Log).decode


def _level(params: Raw) -> str:
    try:
        return _log(params).level
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _refuse_more_than(count: int) -> None:
    if count > MAX_FOLLOWED:
        raise Failure(f"at most {MAX_FOLLOWED} resources can be followed at a time: unsubscribe from some first")
