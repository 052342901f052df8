"""Batches, which only revision 2025-03-26 has: an array of requests, answered with an array of responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.front import wire
from toolman.front.answers import EventSink

if TYPE_CHECKING:
    from toolman.front.connection import Connection
    from toolman.front.core import Core
    from toolman.front.population import Population
    from toolman.jsonrpc import Message, Outcome
    from toolman.sessions import Session
    from toolman.streams import Stream

MAX_BATCH = 100
"""Messages of one batch."""


class Batch:
    """The answer to a batch: an array, or a stream as soon as something has to go before the last outcome.

    Args:
        connection: Serves the request.
        waiting: Those whose clients wait.
        session: The client's.
        takes_events: Whether the client reads event streams.
    """

    def __init__(self, connection: Connection, waiting: Population, session: Session, *, takes_events: bool) -> None:
        self._connection: Connection | None = connection
        self._waiting = waiting
        self._session = session
        self._takes_events = takes_events
        self._responses: list[bytes] = []
        self._sink: EventSink | None = None
        self._stream: Stream | None = None
        self._open = 0

    def serve(self, core: Core, messages: list[Message]) -> None:
        """Have all its requests answered."""
        elements = [(message, Element(self, message.identifier)) for message in messages if message.identifier]
        self._open = len(elements)
        for message, element in elements:
            try:
                core.request(self._session, message, element)
            except jsonrpc.Malformed as problem:
                element.finish(jsonrpc.error(problem.code, problem.text))
        if not elements and self._connection is not None:
            self._connection.respond((wire.empty(202, self._connection.closing_line()),))
        elif self._open:
            self._waiting.wait(self)

    def note(self, message: bytes) -> bool:
        """Send a message ahead of the outcomes; False if the client takes none on this request."""
        if not self._open or not self._begin_stream() or self._stream is None:
            return False
        self._stream.send(message)
        return True

    def finished(self, response: bytes) -> None:
        """Take the response to one of the requests."""
        self._open -= 1
        if self._stream is not None:
            self._stream.send(response, is_last=not self._open)
        else:
            self._responses.append(response)
        if self._open:
            return
        self._waiting.answered(self)
        connection, self._connection = self._connection, None
        if self._stream is None and connection is not None:
            connection.respond((wire.json_array(self._responses, connection.closing_line()),))

    def keep_alive(self) -> None:
        """Show that there is life."""
        if self._begin_stream() and self._stream is not None:
            self._stream.comment()

    def disconnected(self) -> None:
        """Learn that the connection broke: nothing is cancelled by that."""
        self._connection = None
        self._waiting.answered(self)
        if self._stream is not None:
            self._stream.detach(self._sink)

    def _begin_stream(self) -> bool:
        if self._stream is None and self._connection is not None and self._takes_events:
            self._sink = EventSink(self._connection, self._session.version)
            stream = self._session.streams.open("post", self._sink)
            for response in self._responses:
                stream.send(response)
            self._responses.clear()
            self._stream = stream
        return self._stream is not None


class Element:
    """The answer to one request of a batch."""

    __slots__ = ("_batch", "_identifier", "_is_done")

    def __init__(self, batch: Batch, identifier: bytes) -> None:
        self._batch = batch
        self._identifier = identifier
        self._is_done = False

    def note(self, message: bytes) -> bool:
        """Send a message ahead of the outcome."""
        return not self._is_done and self._batch.note(message)

    def finish(self, outcome: Outcome) -> None:
        """Give the outcome; only the first one counts."""
        if not self._is_done:
            self._is_done = True
            self._batch.finished(jsonrpc.response(self._identifier, outcome))
