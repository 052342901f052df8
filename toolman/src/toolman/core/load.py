"""How much all calls on their way hold together: a client that goes away has not cancelled its calls in the legacy era.

So they, and what they carry, would pile up for as long as a server is silent. When there are too many, those of whoever
has the most make room: a flood must keep nobody else from being served.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from msgspec import Raw

    from toolman.jsonrpc import Outcome
    from toolman.sessions import Session

MAX_CALLS = 8_192
"""Calls on their way. One costs some 1.5 kB besides what it carries."""

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of the params of big ones together."""

BIG = 16 * 1024
"""Bytes of params from which on a call is a big one; the others are bounded by their number."""

BUSY = jsonrpc.error(-32000, "too many requests are on their way: try again later")


class Weighed(Protocol):
    """A call."""

    @property
    def owner(self) -> Hashable:
        """Whose it is."""

    def cancel(self, reason: Raw | None) -> None:
        """End it."""


class Load:
    """Counts them.

    Args:
        sessions: Clients of the legacy era: of all others no more is on its way than they have connections.
    """

    def __init__(self, sessions: Iterable[Session]) -> None:
        self._sessions = sessions
        self._count = 0
        self._bytes = 0
        self._big: dict[Weighed, int] = {}

    def take(self, call: Weighed, size: int) -> Outcome | None:
        """Take a call in whose params have so many bytes; give the error that it ends with if it cannot be."""
        self._count += 1
        if self._count > MAX_CALLS:
            self._thin_out()
        if size < BIG:
            return None
        self._big[call] = size
        self._bytes += size
        while self._bytes > MAX_BYTES:
            worst = self._heaviest()
            if worst.owner == call.owner:
                return BUSY
            worst.cancel(None)
        return None

    def give(self, call: Weighed) -> None:
        """Take note that a call that was taken in is over."""
        self._count -= 1
        self._bytes -= self._big.pop(call, 0)

    def _thin_out(self) -> None:
        """Cancel the oldest call of the session that has most of them."""
        worst = max(self._sessions, key=lambda session: len(session.inflight), default=None)
        if worst is not None and worst.inflight:
            next(iter(worst.inflight.values()))(None)

    def _heaviest(self) -> Weighed:
        """Give the oldest big call of whoever has most bytes on their way."""
        held: Counter[Hashable] = Counter()
        for call, size in self._big.items():
            held[call.owner] += size
        most = max(held.values())
        return next(call for call in self._big if held[call.owner] == most)
