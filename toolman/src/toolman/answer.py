"""What one request gets: perhaps notes while it is worked on, in the end an outcome."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from toolman.jsonrpc import Outcome

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment shows that somebody is still there."""

MAX_WAITING = 4 * 1024 * 1024
"""Bytes of notes that wait for a client to read. If a server sends faster than the client reads, the oldest go."""

_OVERHEAD = 64  # what a note costs besides its bytes, so that empty ones are bounded, too


class Answer:
    """Filled by the upstream, read by the HTTP response; whoever comes first does not wait for the other.

    Attributes:
        outcome: None until it is there.
    """

    __slots__ = ("_loop", "_notes", "_waiter", "_waiting", "outcome")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.outcome: Outcome | None = None
        self._loop = loop
        self._notes: deque[bytes] | None = None
        self._waiting = 0
        self._waiter: asyncio.Future[None] | None = None

    def note(self, message: bytes) -> None:
        """Add a message that goes before the outcome; an empty one only shows that there is life."""
        if self._notes is None:
            self._notes = deque()
        self._notes.append(message)
        self._waiting += len(message) + _OVERHEAD
        while self._waiting > MAX_WAITING:
            self._take(self._notes)
        self._wake()

    def finish(self, outcome: Outcome) -> None:
        """Give the outcome; only the first one counts."""
        if self.outcome is None:
            self.outcome = outcome
            self._wake()

    async def next(self) -> bytes | None:
        """Wait for the next note; None once there are no more and the outcome is there."""
        if not self._notes and self.outcome is None:
            self._waiter = self._loop.create_future()
            timer = self._loop.call_later(KEEP_ALIVE, self.note, b"")
            try:
                await self._waiter
            finally:
                timer.cancel()
        return self._take(self._notes) if self._notes else None

    def _take(self, notes: deque[bytes]) -> bytes:
        message = notes.popleft()
        self._waiting -= len(message) + _OVERHEAD
        return message

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
