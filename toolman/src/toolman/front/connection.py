"""One HTTP/1.1 connection: its requests are served one after the other, its responses written in their order.

The hot path makes no task and no future: bytes come in, the endpoint is called, and what finishes the request writes to
the transport.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, cast

from toolman.front import population, wire
from toolman.front.requests import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolman.callers import Doorkeeper
    from toolman.front.population import Population
    from toolman.front.requests import Request
    from toolman.front.wire import Piece
    from toolman.protocol.headers import Refusal

log = logging.getLogger(__name__)

MAX_UNREAD = 1024 * 1024
"""Bytes that one client has not read from which on it gets no more notes: it is taken to be gone."""

_BUSY = b"every connection is in use: try again in a moment\n"
_RETRY = b"Retry-After: 1\r\n"


class Endpoint(Protocol):
    """Who serves the requests."""

    @property
    def max_connections(self) -> int:
        """How many may be open."""

    def admit(self, request: Request, address: str) -> Refusal | None:
        """Look at a request whose headers are there; ``address`` is the local end of its connection."""

    def serve(self, request: Request, connection: Connection) -> None:
        """Answer a request, now or later, by ``respond`` or ``open_stream`` and ``end_stream``."""


class Responder(Protocol):
    """Who is answering a request, and wants to know what becomes of the connection meanwhile."""

    def disconnected(self) -> None:
        """Learn that the client has gone."""


class Front:
    """What all connections share.

    Args:
        endpoint: Serves their requests.
        doorkeeper: Says who is not served at all.
        connections: All of them.
    """

    def __init__(self, endpoint: Endpoint, doorkeeper: Doorkeeper, connections: Population) -> None:
        self.endpoint = endpoint
        self.doorkeeper = doorkeeper
        self.connections = connections


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        front: What it shares with others.

    Attributes:
        responder: Who answers the request that is being served, if it takes longer.
        is_old: Whether that request's client knows no chunks.
        client: Stands for whoever made the connection.
    """

    def __init__(self, front: Front) -> None:
        self.responder: Responder | None = None
        self.is_old = False
        self.client = object()
        self._front = front
        self._reader = Reader(self._admit, self._go_on)
        self._request: Request | None = None
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._is_pumping = self._is_streaming = self._is_ending = self._is_paused = self._was_midway = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve the connection, or end it before a byte of it is read."""
        connection = cast("asyncio.Transport", transport)
        front = self._front
        if not front.doorkeeper.admits(connection):
            connection.abort()
            return
        self._transport = connection
        if not front.connections.enter(self, front.endpoint.max_connections):
            connection.write(wire.text(503, _BUSY, _RETRY + wire.CLOSE))
            self._close(is_cut=True)
            return
        self._address = (connection.get_extra_info("sockname") or ("",))[0]

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who is answering."""
        del exc
        self._transport = None
        self._reader.end()
        self._reader.ready.clear()
        self._front.connections.leave(self)
        self._request = None
        responder, self.responder = self.responder, None
        if responder is not None:
            responder.disconnected()

    def data_received(self, data: bytes) -> None:
        """Read requests and serve the first."""
        reader = self._reader
        if reader.is_ended:  # what a refused client still sends, or what comes behind its last request
            return
        reader.feed(data)
        if reader.is_midway:
            limit = population.HEAD_TIME if reader.is_in_head else population.BODY_TIME
            self._front.connections.slow(self, reader.size, limit)
            self._was_midway = True
        elif self._was_midway:
            self._was_midway = False
            self._front.connections.quick(self)
        if reader.ready:
            self._pump()

    def pause_writing(self) -> None:
        """Learn that the client reads more slowly than is written."""
        self._front.connections.stuck(self)

    def resume_writing(self) -> None:
        """Learn that it has caught up."""
        self._front.connections.reads(self)

    def shutdown(self) -> None:
        """End after the request that is being served."""
        self._is_ending = True
        if self._request is None and self._transport is not None:
            self._transport.close()

    def expire(self, *, is_slow: bool) -> None:
        """End: idle for too long, displaced, or in the middle of a request that does not come."""
        if self._transport is None:
            return
        self._is_ending, is_refusable = True, is_slow and not self._reader.is_ended
        self._reader.end()
        if self._request is not None:
            return  # the one before it is still being served
        if is_refusable:
            self._transport.write(wire.text(408, b"the request did not come in time\n", wire.CLOSE))
        self._transport.close()

    def abort(self) -> None:
        """End at once."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    @property
    def waiting_to_be_read(self) -> int:
        """Bytes that the client has not read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    @property
    def is_gone(self) -> bool:
        """Whether nobody will read what is written."""
        return self._transport is None

    def respond(self, pieces: Sequence[Piece]) -> None:
        """Write the whole response to the request that is being served."""
        transport = self._transport
        if transport is None or self._request is None:
            return
        if len(pieces) == 1:
            transport.write(pieces[0])
        else:
            transport.writelines(pieces)
        self._done()

    def open_stream(self, lines: bytes = b"") -> None:
        """Write the head of a response that is an event stream."""
        if self._transport is not None:
            self._is_streaming = True
            closing = b"" if self.is_old else self.closing_line()
            self._transport.write(wire.stream(lines + closing, is_chunked=not self.is_old))

    def send(self, data: bytes, *, is_vital: bool = False) -> None:
        """Write a piece of the stream. A client that does not read loses its connection, but for what is vital."""
        transport = self._transport
        if transport is None or not self._is_streaming:
            return
        if not is_vital and transport.get_write_buffer_size() > MAX_UNREAD:
            self.abort()
            return
        transport.write(data if self.is_old else wire.chunk(data))

    def end_stream(self) -> None:
        """Write the end of the stream."""
        if self._transport is None or not self._is_streaming:
            return
        if self.is_old:
            self._is_ending = True
        else:
            self._transport.write(wire.LAST_CHUNK)
        self._done()

    def closing_line(self) -> bytes:
        """Give the header line that says that the connection ends, if it does."""
        is_last = self._is_ending or (self._request is not None and self._request.is_last)
        return wire.CLOSE if is_last else b""

    def _admit(self, request: Request) -> Refusal | None:
        return self._front.endpoint.admit(request, self._address)

    def _go_on(self) -> None:
        """Ask for the body, unless an earlier response would be mixed up with the word for that."""
        if self._transport is not None and self._request is None and not self._reader.ready:
            self._transport.write(wire.CONTINUE)

    def _pump(self) -> None:
        """Serve one request after the other until one takes longer."""
        if self._is_pumping:
            return
        self._is_pumping = True
        ready, front = self._reader.ready, self._front
        try:
            while ready and self._request is None and not self._is_ending:
                request = self._request = ready.popleft()
                self.is_old = request.is_old
                front.connections.busy(self)
                self._serve(request)
        finally:
            self._is_pumping = False
        should_pause = self._request is not None and bool(ready)
        if should_pause or self._is_paused:
            front.connections.ahead(self, sum(len(request.body) for request in ready))
        if should_pause is not self._is_paused and self._transport is not None:
            self._is_paused = should_pause  # requests wait that were read already
            self._transport.pause_reading() if should_pause else self._transport.resume_reading()

    def _serve(self, request: Request) -> None:
        try:
            self._front.endpoint.serve(request, self)
        except Exception:  # whatever it is, the client must not wait for ever
            log.exception("a request could not be served")
            self._is_ending = True
            self.respond((wire.text(500, b"an error in toolman: see its log\n", wire.CLOSE),))

    def _done(self) -> None:
        request, self._request = self._request, None
        self.responder, self._is_streaming = None, False
        if self._is_ending or request is None or request.is_last:
            self._close(is_cut=request is not None and request.is_cut)
        elif self._reader.ready:
            self._pump()
        elif not self._reader.is_midway:
            self._front.connections.idle(self)

    def _close(self, *, is_cut: bool) -> None:
        """End; a client that is still sending gets to read the answer first."""
        self._is_ending = True
        self._reader.end()
        if self._transport is None:
            return
        if is_cut and self._transport.can_write_eof():
            self._transport.write_eof()
            self._front.connections.linger(self)
        else:
            self._transport.close()
