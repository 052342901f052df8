"""The calls that a server has not answered yet: their numbers, whose they are, and who has been silent for too long."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, NamedTuple

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from toolman.exchange import Call

UNAVAILABLE = -32000
TIMED_OUT = -32001
"""Codes of toolman's own errors, from the range that JSON-RPC leaves to servers."""

OWN = "toolman's own"
"""Owner of toolman's own requests."""

LINGERS = 60.0
"""Seconds for which a call that was given up may still be worked on: until then, or until it is answered after all,
what a server asks or logs may be about it, and is nobody else's."""

MAX_GIVEN_UP = 1_000
"""Of which so many are remembered."""

_SWEEP = 1.0
"""Seconds between looks at who has been silent for too long."""


class _GivenUp(NamedTuple):
    owner: Hashable
    logs: bool
    until: float


class InFlight:
    """Calls by their numbers.

    Args:
        on_silence: Called with each call that was silent for longer than its timeout; it is still in here.
        asking: Numbers of calls that wait for a client and not for the server.
    """

    def __init__(self, on_silence: Callable[[Call], None], asking: Callable[[], frozenset[int]]) -> None:
        self._on_silence = on_silence
        self._asking = asking
        self._calls: dict[int, Call] = {}
        self._given_up: dict[int, _GivenUp] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        """Take a call that has just been sent under its number."""
        call.heard = self._loop.time()
        self._calls[call.number] = call
        if self._timer is None and call.timeout < math.inf:
            self._timer = self._loop.call_later(min(_SWEEP, call.timeout / 4), self._sweep)

    def pop(self, number: int) -> Call | None:
        """Take a call out; None if it is not in here (any more)."""
        if self._given_up:
            self._given_up.pop(number, None)
        return self._calls.pop(number, None)

    def __contains__(self, number: int) -> bool:
        return number in self._calls

    def remove(self, call: Call) -> bool:
        """Take a call out; False if it is not in here, such as one that went to another life of the server."""
        if self._calls.get(call.number) is not call:
            return False
        del self._calls[call.number]
        return True

    def give_up(self, call: Call) -> bool:
        """Take a call out that the server may still work on; False as above."""
        if not self.remove(call):
            return False
        if call.owner is not OWN:
            until = self._loop.time() + LINGERS
            self._given_up[call.number] = _GivenUp(call.owner, call.outgoing.log_level is not None, until)
            if len(self._given_up) > MAX_GIVEN_UP:
                del self._given_up[next(iter(self._given_up))]
        return True

    def heard(self, number: int) -> Call | None:
        """Note that something of a call was heard, and give it."""
        call = self._calls.get(number)
        if call is not None:
            call.heard = self._loop.time()
        return call

    def newest(self, *, logging_only: bool = False) -> tuple[Call | None, bool]:
        """Give the newest call of clients if all of them are one owner's, and whether there is none at all.

        Those that were given up count, but are not given.

        Args:
            logging_only: Look only at calls that want log messages.
        """
        newest: Call | None = None
        for call in self._calls.values():
            if call.owner is OWN or (logging_only and call.outgoing.log_level is None):
                continue
            if newest is not None and newest.owner != call.owner:
                return None, False
            newest = call
        for given_up in self._lingering() if self._given_up else ():
            if (given_up.logs or not logging_only) and (newest is None or newest.owner != given_up.owner):
                return None, False
        return newest, newest is None

    def asking(self) -> tuple[Call | None, bool]:
        """Give, as :meth:`newest` does, the call that a question may belong to.

        Where several clients could be meant, those that certainly wait for their own answers are not.
        """
        call, is_alone = self.newest()
        if call is not None or is_alone:
            return call, is_alone
        now = self._loop.time()
        active = [each for each in self._calls.values() if each.owner is not OWN and not each.is_waiting(now)]
        owners = {each.owner for each in active} | {each.owner for each in self._lingering()}
        return (active[-1] if active and len(owners) == 1 else None), False

    def later(self, last: int) -> tuple[Call | None, bool]:
        """Give the call that a question may belong to once all others are sure to wait, and whether they are by now.

        Args:
            last: The newest number when the question came.
        """
        now = self._loop.time()
        known = [each for each in self._calls.values() if each.owner is not OWN and each.number <= last]
        active = [each for each in known if not each.is_waiting(math.inf)]
        owners = {each.owner for each in active} | {each.owner for each in self._lingering()}
        if not active or len(owners) != 1:
            return None, True
        call = active[-1]
        return call, all(each.is_waiting(now) for each in known if each.owner != call.owner)

    def _lingering(self) -> tuple[_GivenUp, ...]:
        now = self._loop.time()
        while self._given_up and next(iter(self._given_up.values())).until <= now:
            del self._given_up[next(iter(self._given_up))]
        return tuple(self._given_up.values())

    def fail(self, text: str) -> None:
        """Answer all with an error."""
        calls, self._calls = self._calls, {}
        self._given_up.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for call in calls.values():
            call.replied(jsonrpc.error(UNAVAILABLE, text))

    def _sweep(self) -> None:
        now = self._loop.time()
        asking = self._asking()
        silent = [call for call in self._calls.values() if now - call.heard >= call.timeout]
        for call in silent:
            if call.number not in asking:
                self._on_silence(call)
        shortest = min((call.timeout for call in self._calls.values()), default=math.inf)
        bounded = shortest < math.inf
        self._timer = self._loop.call_later(min(_SWEEP, shortest / 4), self._sweep) if bounded else None
