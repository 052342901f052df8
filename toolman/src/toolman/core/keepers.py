"""The servers that run: one for all clients, or one for each session; begun, replaced and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

import msgspec

from toolman.config import Timeouts
from toolman.exchange import REFUSED
from toolman.upstreams.supervisor import PATIENCE, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from msgspec import Raw

    from toolman.config import Server
    from toolman.core.subscriptions import Home
    from toolman.exchange import Question
    from toolman.upstreams import Connector
    from toolman.upstreams.offers import Offers

    Connect = Callable[[Server], Connector]

MOMENT = 3.0
"""Seconds that are waited for servers that start while others are there: longer than most take."""

_REMEMBERED = 10_000
"""Sessions that are over and must not begin a server any more: a request of theirs may still be under way."""


def can_stay(before: Server, after: Server) -> bool:
    """Tell whether a running server is as another configuration wants it.

    What its tools are compared with, and how long it is waited for, can change while it runs.
    """
    return _running(before) == _running(after)


def _running(server: Server) -> Server:
    return msgspec.structs.replace(server, manifest=None, pin="off", timeouts=Timeouts())


class Ears(Protocol):
    """Who hears what servers say that are in force."""

    def offered(self, home: Home, offers: Offers | None) -> None:
        """Learn what one offers now; None while it is given up."""

    def updated(self, home: Home, uri: str, params: Raw) -> None:
        """Learn that a resource that is followed has changed."""

    def logged(self, home: Home, params: Raw) -> None:
        """Take a log message that belongs to no call."""

    def notified(self, home: Home, method: str, params: Raw | None) -> None:
        """Take any other notification."""

    def asked(self, home: Home, question: Question) -> None:
        """Take a question that belongs to no call."""


class Keepers:
    """All supervisors, and their watcher: what one says that is not in force any more is not heard.

    Args:
        connect: Makes the connector of a server.
        ears: Hear the others.
    """

    def __init__(self, connect: Connect, ears: Ears) -> None:
        self._connect = connect
        self._ears = ears
        self._all: dict[Home, Supervisor] = {}
        self._homes: dict[Supervisor, Home] = {}
        self._leaving: dict[Home, asyncio.Task[None]] = {}
        self._gone: dict[Hashable, None] = {}

    def __iter__(self) -> Iterator[tuple[Home, Supervisor]]:
        return iter(tuple(self._all.items()))

    def get(self, home: Home) -> Supervisor | None:
        """Give one that is in force."""
        return self._all.get(home)

    def make(self, server: Server, capabilities: bytes, label: str = "-") -> Supervisor:
        """Make one that is not in force yet.

        Args:
            server: Its configuration.
            capabilities: What it is told of its clients.
            label: Of the session whose own it is.

        Raises:
            Failure: Nothing can be made of its configuration.
        """
        return Supervisor(server, self._connect(server), self, capabilities, label)

    def add(self, home: Home, supervisor: Supervisor) -> None:
        """Put one in force and begin it, when what was in its place has ended: two would use one port, or one pipe."""
        self._all[home] = supervisor
        self._homes[supervisor] = home
        before = self._leaving.get(home)
        if before is None:
            supervisor.start()
        else:
            before.add_done_callback(lambda _: supervisor.start() if supervisor in self._homes else None)

    def remove(self, home: Home) -> None:
        """End one; returns at once."""
        supervisor = self._all.pop(home)
        del self._homes[supervisor]
        before = self._leaving.get(home)
        leaving = asyncio.create_task(self._end(supervisor, before), name=f"end of {supervisor.name}")
        self._leaving[home] = leaving
        leaving.add_done_callback(lambda task: self._ended(home, task))

    def want(self, home: Home, uris: frozenset[str]) -> None:
        """Have one tell of changes of exactly these resources."""
        supervisor = self._all.get(home)
        if supervisor is not None:
            supervisor.want(uris)

    def want_log_level(self, home: Home, level: str | None) -> None:
        """Have one log from a level on; None for not caring any more."""
        supervisor = self._all.get(home)
        if supervisor is not None:
            supervisor.want_log_level(level)

    def remove_all_of(self, owner: Hashable) -> list[Home]:
        """End all that are a session's own, for good; give which."""
        self._gone[owner] = None
        if len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]
        homes = [home for home in self._all if home[1] is not None and home[1] == owner]
        for home in homes:
            self.remove(home)
        return homes

    def is_gone(self, owner: Hashable) -> bool:
        """Tell whether a session is over."""
        return owner in self._gone

    def is_introduced(self, home: Home) -> bool:
        """Tell whether one was listed, or is not waited for any more; one that takes another's place is waited for."""
        supervisor = self._all.get(home)
        return supervisor is not None and home not in self._leaving and supervisor.is_introduced

    async def introduced(self, homes: Iterable[Home], is_enough: Callable[[], bool]) -> None:
        """Wait, bounded, until :meth:`is_introduced` of some, or only a moment if the others are enough."""
        waits = [asyncio.create_task(self.introduced_one(home)) for home in homes]
        try:
            if waits:
                await asyncio.wait(waits, timeout=MOMENT)
                if not is_enough():
                    await asyncio.wait(waits)
        finally:
            for wait in waits:
                wait.cancel()

    async def introduced_one(self, home: Home) -> None:
        """Wait, bounded, until :meth:`is_introduced` of one."""
        leaving = self._leaving.get(home)
        if leaving is not None:
            await asyncio.wait([leaving], timeout=PATIENCE)
        supervisor = self._all.get(home)
        if supervisor is not None:
            await supervisor.introduced()

    def offered(self, supervisor: Supervisor, offers: Offers | None) -> None:
        """Pass on what a server offers."""
        if supervisor in self._homes:
            self._ears.offered(self._homes[supervisor], offers)

    def updated(self, supervisor: Supervisor, uri: str, params: Raw) -> None:
        """Pass on that a resource has changed."""
        if supervisor in self._homes:
            self._ears.updated(self._homes[supervisor], uri, params)

    def logged(self, supervisor: Supervisor, params: Raw) -> None:
        """Pass on a log message."""
        if supervisor in self._homes:
            self._ears.logged(self._homes[supervisor], params)

    def notified(self, supervisor: Supervisor, method: str, params: Raw | None) -> None:
        """Pass on any other notification."""
        if supervisor in self._homes:
            self._ears.notified(self._homes[supervisor], method, params)

    def asked(self, supervisor: Supervisor, question: Question) -> None:
        """Pass on a question, or refuse it."""
        if supervisor in self._homes:
            self._ears.asked(self._homes[supervisor], question)
        else:
            question.answer(REFUSED)

    async def stop(self) -> None:
        """End all of them, within a bounded time."""
        for home, _ in self:
            self.remove(home)
        await asyncio.gather(*self._leaving.values())

    async def _end(self, supervisor: Supervisor, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(before)
        await supervisor.stop()

    def _ended(self, home: Home, task: asyncio.Task[None]) -> None:
        if self._leaving.get(home) is task:
            del self._leaving[home]
