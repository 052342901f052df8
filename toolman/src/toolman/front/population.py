"""All connections of the front: who is idle, slow or does not read, and who goes when there are too many.

Nothing here costs a timer of its own: one look a second goes through what is due. Bounds hold for all connections
together, so that no number of them can take the memory, or the places, of everybody else.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

KEEP_ALIVE = 15 * 60.0
"""Seconds that an idle connection stays: agents think for minutes between two calls."""

NEW_TIME = 60.0
"""Seconds in which a connection must have asked for something."""

HEAD_TIME = 15.0
"""Seconds from the first byte of a request to the last one of its headers."""

BODY_TIME = 60.0
"""Seconds from the first byte of a request to its last one: 4 MiB at 70 kB a second."""

LINGER_TIME = 5.0
"""Seconds for which what a refused client still sends is read and dropped, so that it gets to read the answer."""

UNREAD_TIME = 60.0
"""Seconds in which a client that is sent something reads nothing of it, before it is given up."""

QUIET_TIME = 15.0
"""Seconds after which a client that waits is shown that somebody is still there."""

MAX_REFUSED = 64
"""Connections that were refused and are kept open so that the client gets to read why."""

MAX_RECEIVING = 64 * 1024 * 1024
"""Bytes of bodies that are not complete, of all connections together. The one that began first is ended."""

MAX_AHEAD = 16 * 1024 * 1024
"""Bytes of whole requests that wait for the answer to an earlier one of their connection, of all connections together.
The one with most of them is ended."""

MAX_UNREAD = 64 * 1024 * 1024
"""Bytes that clients have not read, of all connections together. The one with most of them is ended."""

_POLL = 0.02
TICK = 1.0
"""Seconds between two looks."""


class Member(Protocol):
    """A connection, as far as its place among the others goes."""

    def expire(self, *, is_slow: bool) -> None:
        """End: idle for too long, displaced by another one or, if it is slow, in the middle of a request."""

    def abort(self) -> None:
        """End at once, without another word."""

    def shutdown(self) -> None:
        """End after the request that is being served."""

    @property
    def waiting_to_be_read(self) -> int:
        """Bytes that its client has not read."""


class Waiter(Protocol):
    """A response that is on its way."""

    def keep_alive(self) -> None:
        """Show that there is life."""


class _Slow(NamedTuple):
    began: float
    until: float
    size: int


class Population:
    """The connections.

    Args:
        clock: Seconds, monotonic.
        later: Calls a function after some seconds.

    Attributes:
        visited: When the last one was made, on the clock.
    """

    def __init__(self, clock: Callable[[], float], later: Callable[[float, Callable[[], None]], object]) -> None:
        self.visited = -math.inf
        self._clock = clock
        self._later = later
        self._is_ticking = False
        self._all: set[Member] = set()
        self._new: OrderedDict[Member, float] = OrderedDict()
        self._idle: OrderedDict[Member, float] = OrderedDict()
        self._slow: OrderedDict[Member, _Slow] = OrderedDict()
        self._stuck: dict[Member, tuple[float, int]] = {}
        self._waiting: OrderedDict[Waiter, float] = OrderedDict()
        self._refused: OrderedDict[Member, None] = OrderedDict()
        self._receiving = 0
        self._ahead: dict[Member, int] = {}

    def __len__(self) -> int:
        return len(self._all)

    async def end(self, limit: float) -> None:
        """End all of them after what they are serving; cut those that have not ended within so many seconds."""
        for member in tuple(self._all):
            member.shutdown()
        until = self._clock() + limit
        while self._all and self._clock() < until:  # noqa: ASYNC110 - once, at the very end
            await asyncio.sleep(_POLL)
        for member in tuple(self._all):
            member.abort()

    @property
    def is_serving(self) -> bool:
        """Whether somebody waits for more of a response."""
        return bool(self._waiting)

    def enter(self, member: Member, limit: int) -> bool:
        """Take a new connection in; False if there is no place and nobody who could make it.

        Who has never asked anything goes first, then who has been idle for longest, then who is slow.
        """
        if len(self._all) >= limit:
            displaced = next(iter(self._new or self._idle or self._slow), None)
            if displaced is None:
                return False
            is_slow = displaced in self._slow  # it may have a call on its way, too, and would stay for that
            self.leave(displaced)
            displaced.abort() if is_slow else displaced.expire(is_slow=False)
        self._all.add(member)
        self.visited = self._clock()
        self._new[member] = self.visited + NEW_TIME
        self._tick_later()
        return True

    def leave(self, member: Member) -> None:
        """Forget a connection that has ended."""
        self._all.discard(member)
        self._new.pop(member, None)
        self._idle.pop(member, None)
        self._stuck.pop(member, None)
        self._refused.pop(member, None)
        self._ahead.pop(member, None)
        self.quick(member)

    def linger(self, member: Member) -> None:
        """Note that it was refused and may still be sending; these have some places of their own, and not for long."""
        self.leave(member)
        self.slow(member, 0, LINGER_TIME)
        self._refused[member] = None
        if len(self._refused) > MAX_REFUSED:
            oldest = next(iter(self._refused))
            self.leave(oldest)
            oldest.abort()
        self._tick_later()

    def busy(self, member: Member) -> None:
        """Note that a request of it is complete and being served."""
        self._new.pop(member, None)
        self._idle.pop(member, None)

    def idle(self, member: Member) -> None:
        """Note that it was answered and asks for nothing."""
        if member in self._all:
            self._idle[member] = self._clock() + KEEP_ALIVE

    def slow(self, member: Member, size: int, limit: float) -> None:
        """Note that a part of something has come; ``limit`` (seconds) counts from when it began."""
        self._idle.pop(member, None)
        known = self._slow.get(member)
        began = self._clock() if known is None else known.began
        self._receiving += size - (known.size if known else 0)
        self._slow[member] = _Slow(began, began + limit, size)
        while self._receiving > MAX_RECEIVING:
            holder = next(each for each, slow in self._slow.items() if slow.size)
            self.quick(holder)
            holder.expire(is_slow=True)

    def quick(self, member: Member) -> None:
        """Note that it is not in the middle of anything any more."""
        known = self._slow.pop(member, None)
        if known is not None:
            self._receiving -= known.size

    def ahead(self, member: Member, size: int) -> None:
        """Note how many bytes of whole requests of it wait for an answer to come before theirs."""
        if not size:
            self._ahead.pop(member, None)
            return
        self._ahead[member] = size
        while sum(self._ahead.values()) > MAX_AHEAD:
            worst = max(self._ahead, key=self._ahead.__getitem__)
            del self._ahead[worst]
            worst.abort()

    def stuck(self, member: Member) -> None:
        """Note that its client does not read."""
        self._stuck[member] = (self._clock() + UNREAD_TIME, member.waiting_to_be_read)
        self._bound_unread()

    def reads(self, member: Member) -> None:
        """Note that its client reads again."""
        self._stuck.pop(member, None)

    def wait(self, waiter: Waiter) -> None:
        """Note that a client waits for more of a response."""
        self._waiting[waiter] = self._clock() + QUIET_TIME
        self._tick_later()

    def answered(self, waiter: Waiter) -> None:
        """Note that a response is complete, or nobody waits for it."""
        self._waiting.pop(waiter, None)

    def look(self) -> None:
        """Go through everything that is due by now."""
        now = self._clock()
        for member in [member for member, slow in self._slow.items() if slow.until <= now]:
            self.quick(member)
            member.expire(is_slow=True)
        while self._idle and next(iter(self._idle.values())) <= now:
            self._idle.popitem(last=False)[0].expire(is_slow=False)
        while self._new and next(iter(self._new.values())) <= now:
            self._new.popitem(last=False)[0].expire(is_slow=False)
        self._look_at_stuck(now)
        while self._waiting and next(iter(self._waiting.values())) <= now:
            waiter = self._waiting.popitem(last=False)[0]
            self._waiting[waiter] = now + QUIET_TIME
            waiter.keep_alive()

    def _look_at_stuck(self, now: float) -> None:
        for member, (until, before) in tuple(self._stuck.items()):
            unread = member.waiting_to_be_read
            if unread < before:
                self._stuck[member] = (now + UNREAD_TIME, unread)
            elif until <= now:
                member.abort()
        self._bound_unread()

    def _bound_unread(self) -> None:
        while self._stuck and sum(member.waiting_to_be_read for member in self._stuck) > MAX_UNREAD:
            worst = max(self._stuck, key=lambda member: member.waiting_to_be_read)
            del self._stuck[worst]
            worst.abort()

    def _tick_later(self) -> None:
        if not self._is_ticking:
            self._is_ticking = True
            self._later(TICK, self._tick)

    def _tick(self) -> None:
        self._is_ticking = False
        self.look()
        if self._all or self._waiting or self._slow:
            self._tick_later()
