"""The sessions of clients: made by ``initialize``, ended by the client, by idleness or by need of room."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolman.calls import ToolCall

IDLE = 30 * 60.0
"""Seconds without a request or an open stream after which a session ends."""

MAX_SESSIONS = 1_000
"""More than any agent needs. The one that was idle for the longest makes room."""

MAX_STREAMS = 8
"""Open GET streams of one session: a client that reconnects before its old connection is seen to be gone has two."""


class Stream:
    """An open GET stream: told when to look and when to end."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.is_changed = False
        self.is_ended = False

    def notify(self) -> None:
        """Have it say that the tools changed; any number of times before it comes to it are one."""
        self.is_changed = True
        self.wake.set()

    def end(self) -> None:
        """Have it end."""
        self.is_ended = True
        self.wake.set()


class Session:
    """One client.

    Attributes:
        identifier: What the client shows with each request; whoever knows it is that client.
        label: Names the session in logs, where the identifier must not appear.
        version: The protocol version that was agreed on.
        used: When it was last used, on the loop's clock.
        listed: Generation of the tool list that the client has, 0 for none.
        calls: What is on its way, by the value of the request's id.
        streams: Open GET streams, the newest last.
    """

    __slots__ = ("calls", "identifier", "label", "listed", "streams", "used", "version")

    def __init__(self, identifier: str, label: str, version: str, now: float) -> None:
        self.identifier = identifier
        self.label = label
        self.version = version
        self.used = now
        self.listed = 0
        self.calls: dict[int | str, ToolCall] = {}
        self.streams: list[Stream] = []

    def open_stream(self) -> Stream:
        """Add a stream; the oldest ends if there are too many."""
        stream = Stream()
        self.streams.append(stream)
        if len(self.streams) > MAX_STREAMS:
            self.streams.pop(0).end()
        return stream

    def close_stream(self, stream: Stream) -> None:
        """Remove a stream that has ended."""
        if stream in self.streams:
            self.streams.remove(stream)


class Sessions:
    """All of them, the longest unused first.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._all.values())

    def create(self, version: str) -> Session:
        """Make a session."""
        if len(self._all) >= MAX_SESSIONS:
            self._make_room()
        session = Session(secrets.token_urlsafe(24), secrets.token_hex(4), version, self._clock())
        self._all[session.identifier] = session
        return session

    def get(self, identifier: str) -> Session | None:
        """Find a session and note its use; None if there is none, or none any more."""
        session = self._all.get(identifier)
        if session is None:
            return None
        now = self._clock()
        if now - session.used > IDLE and not _is_busy(session):
            self.end(session)
            return None
        session.used = now
        self._all.move_to_end(identifier)
        return session

    def end(self, session: Session) -> None:
        """End a session, its streams and its calls."""
        self._all.pop(session.identifier, None)
        for stream in tuple(session.streams):
            stream.end()
        for call in tuple(session.calls.values()):
            call.cancel()

    def end_streams(self) -> None:
        """End all streams: toolman is shutting down."""
        for session in self:
            for stream in tuple(session.streams):
                stream.end()

    def expire(self) -> None:
        """End the sessions that nobody has used for too long."""
        limit = self._clock() - IDLE
        for session in tuple(self):
            if session.used > limit:
                break
            if not _is_busy(session):
                self.end(session)

    def _make_room(self) -> None:
        self.end(next((session for session in self if not _is_busy(session)), next(iter(self))))


def _is_busy(session: Session) -> bool:
    return bool(session.streams or session.calls)
