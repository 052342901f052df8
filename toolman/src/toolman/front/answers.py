"""What one request gets over HTTP: JSON, or a stream of events as soon as something has to go before the outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman.front import wire
from toolman.protocol import modern
from toolman.streams import RETRY

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from toolman.front.connection import Connection
    from toolman.front.population import Population
    from toolman.jsonrpc import Outcome
    from toolman.sessions import Session
    from toolman.streams import Stream

PRIMED_FROM = "2025-11-25"
"""The first revision whose clients know events without data."""


class EventSink:
    """Writes the events of a session's stream to a connection.

    Args:
        connection: Serves the request that the stream answers.
        version: The session's revision.
    """

    __slots__ = ("_connection", "_version")

    def __init__(self, connection: Connection, version: str) -> None:
        self._connection = connection
        self._version = version
        connection.open_stream()

    def send(self, message: bytes, identifier: bytes, *, is_last: bool = False) -> None:
        """Write an event."""
        self._connection.send(wire.event(message, identifier), is_vital=is_last)

    def prime(self, identifier: bytes) -> None:
        """Write an event that only has an id, where the client knows such."""
        is_known = self._version >= PRIMED_FROM
        self._connection.send(wire.priming(identifier, RETRY) if is_known else wire.COMMENT)

    def comment(self) -> None:
        """Write something that clients ignore."""
        self._connection.send(wire.COMMENT)

    def close(self) -> None:
        """End the response."""
        self._connection.end_stream()


class LegacyAnswer:
    """The answer to one request in a session. A client that goes away has not cancelled anything.

    Args:
        connection: Serves the request.
        waiting: Those whose clients wait.
        session: The client's.
        identifier: The request's id, raw JSON.
        takes_json: Whether the client reads JSON.
        takes_events: Whether it reads event streams.
    """

    __slots__ = (
        "_connection",
        "_identifier",
        "_session",
        "_sink",
        "_stream",
        "_takes_events",
        "_takes_json",
        "_waiting",
        "is_done",
    )

    def __init__(
        self,
        connection: Connection,
        waiting: Population,
        session: Session,
        identifier: bytes,
        takes_json: bool,  # noqa: FBT001 - as above
        takes_events: bool,  # noqa: FBT001
    ) -> None:
        self.is_done = False
        self._connection: Connection | None = connection
        self._waiting = waiting
        self._session = session
        self._identifier = identifier
        self._takes_json = takes_json
        self._takes_events = takes_events
        self._sink: EventSink | None = None
        self._stream: Stream | None = None

    def note(self, message: bytes) -> bool:
        """Send a message ahead of the outcome; False if the client takes none on this request."""
        if self.is_done or not self._open():
            return False
        if self._stream is not None:
            self._stream.send(message)
        return True

    def finish(self, outcome: Outcome) -> None:
        """Send the outcome; only the first one counts."""
        if self.is_done:
            return
        if not self._takes_json:
            self._open()
        self.is_done = True
        self._waiting.answered(self)
        connection, self._connection = self._connection, None
        if self._stream is not None:
            self._stream.finish(self._identifier, outcome)
        elif connection is not None:
            connection.respond(wire.json_response(self._identifier, outcome, connection.closing_line()))

    def keep_alive(self) -> None:
        """Show that there is life."""
        if self._open() and self._stream is not None:
            self._stream.comment()

    def disconnected(self) -> None:
        """Learn that the connection broke. What is still to come is kept, if the client knows where to ask for it."""
        self._connection = None
        self._waiting.answered(self)
        if self._stream is not None:
            self._stream.detach(self._sink)

    def _open(self) -> bool:
        """Make the response a stream; tell whether it is one."""
        if self._stream is None and self._connection is not None and self._takes_events:
            self._sink = EventSink(self._connection, self._session.version)
            self._stream = self._session.streams.open("post", self._sink)
        return self._stream is not None


class ModernAnswer:
    """The answer to one request of the modern era: a client that goes away has cancelled it.

    Args:
        connection: Serves the request.
        waiting: Those whose clients wait.
        identifier: The request's id, raw JSON.
        takes_json: Whether the client reads JSON.
        takes_events: Whether it reads event streams.

    Attributes:
        cancel: Called if the client goes away.
    """

    __slots__ = (
        "_connection",
        "_identifier",
        "_is_open",
        "_takes_events",
        "_takes_json",
        "_waiting",
        "cancel",
        "is_done",
    )

    def __init__(
        self,
        connection: Connection,
        waiting: Population,
        identifier: bytes,
        takes_json: bool,  # noqa: FBT001 - once a request: keywords would be looked up
        takes_events: bool,  # noqa: FBT001
    ) -> None:
        self.cancel: Callable[[Raw | None], None] | None = None
        self.is_done = False
        self._connection = connection
        self._waiting = waiting
        self._identifier = identifier
        self._takes_json = takes_json
        self._takes_events = takes_events
        self._is_open = False

    def note(self, message: bytes) -> bool:
        """Send a message ahead of the outcome; False if the client takes none on this request."""
        if self.is_done or not self._open():
            return False
        self._connection.send(wire.event(message))
        return True

    def finish(self, outcome: Outcome) -> None:
        """Send the outcome; only the first one counts."""
        if self.is_done:
            return
        if not self._takes_json:
            self._open()
        self.is_done = True
        self._waiting.answered(self)
        if self._is_open:
            message = b"".join((b'{"jsonrpc":"2.0","id":', self._identifier, *outcome, b"}"))
            self._connection.send(wire.event(message), is_vital=True)
            self._connection.end_stream()
        else:
            line = self._connection.closing_line()
            self._connection.respond(wire.json_response(self._identifier, outcome, line, modern.status(outcome)))

    def keep_alive(self) -> None:
        """Show that there is life."""
        if self._open():
            self._connection.send(wire.COMMENT)

    def disconnected(self) -> None:
        """Learn that the client has gone: it wants nothing any more."""
        if self.is_done:
            return
        self.is_done = True
        self._waiting.answered(self)
        if self.cancel is not None:
            self.cancel(None)

    def _open(self) -> bool:
        """Make the response a stream; tell whether it is one."""
        if not self._is_open and self._takes_events:
            self._is_open = True
            self._connection.open_stream()
        return self._is_open
