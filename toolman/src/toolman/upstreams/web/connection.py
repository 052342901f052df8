"""One HTTP/1.1 connection to a server: one exchange at a time, everything that comes back bounded and checked.

A request that nobody can have seen is sent again over another one. Answers that nobody asked for end the connection.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol, cast

from toolman.upstreams import Failure
from toolman.upstreams.web.response import BadResponse, ResponseReader

if TYPE_CHECKING:
    from toolman.upstreams.web.response import Response


TURN = 0.002
"""Seconds of work in one go from which on a server is not read for as long: the system has the next piece of a flood
ready at once, and would leave nobody else a turn."""


class Broken(Failure):
    """An exchange came to no response.

    Attributes:
        is_sent: Whether the server may have seen the request.
        is_lost: Whether it may be that the server is gone.
    """

    def __init__(self, text: str, *, is_sent: bool, is_lost: bool = True) -> None:
        super().__init__(text)
        self.is_sent = is_sent
        self.is_lost = is_lost


class Exchange:
    """One request and what comes back. Who sends it overrides what it wants to hear.

    Args:
        request: Head and body.
        is_repeatable: Whether the server may get it twice.

    Attributes:
        is_over: Nothing of it is called any more.
        is_again: It was sent a second time.
        connection: What it is on its way over, None before and after.
    """

    __slots__ = ("connection", "is_again", "is_over", "is_repeatable", "request")

    def __init__(self, request: bytes, *, is_repeatable: bool) -> None:
        self.request = request
        self.is_repeatable = is_repeatable
        self.is_again = False
        self.is_over = False
        self.connection: Connection | None = None

    def begun(self, response: Response) -> None:
        """Take the head."""

    def received(self, data: bytes) -> None:
        """Take some of the body."""

    def ended(self) -> None:
        """Learn that the response is complete. Nothing follows."""

    def failed(self, problem: Broken) -> None:
        """Learn that there is no response, or only a part of one. Nothing follows."""

    def abort(self) -> None:
        """Have nothing more of it."""
        self.is_over = True
        if self.connection is not None:
            self.connection.abort()


class Pool(Protocol):
    """Who owns connections."""

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange is over."""

    def lost(self, connection: Connection) -> None:
        """Learn that a connection is closed."""

    def repeat(self, exchange: Exchange) -> None:
        """Send an exchange over a connection that has not been used yet."""


class Connection(asyncio.Protocol):
    """A connection.

    Args:
        pool: Its owner.

    Attributes:
        transport: What it writes to.
        heard: When the head of its last response came, or it was made, in monotonic seconds: what the server says of
            the connection there is true from then on, and of no use when a stream of minutes has ended.
        keep: Seconds that the server keeps it, None if it does not say.
    """

    transport: asyncio.Transport

    def __init__(self, pool: Pool) -> None:
        self.heard = 0.0
        self.keep: float | None = None
        self._pool = pool
        self._exchange: Exchange | None = None
        self._reader = ResponseReader()
        self._is_used = False
        self._is_stuck = False

    def start(self, exchange: Exchange) -> None:
        """Send a request."""
        self._exchange = exchange
        exchange.connection = self
        self.transport.write(exchange.request)

    def abort(self) -> None:
        """Close at once; the exchange hears nothing any more."""
        if self._exchange is not None:
            self._exchange.connection = None
            self._exchange = None
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.heard = time.monotonic()

    def pause_writing(self) -> None:
        """Note that the server has not taken the whole request."""
        self._is_stuck = True

    def resume_writing(self) -> None:
        """Note that most of the request is gone."""
        self._is_stuck = False

    def eof_received(self) -> None:
        """Close at once: nothing more comes, and what is written before TLS has said farewell, too, goes nowhere."""
        self.transport.abort()

    def connection_lost(self, problem: Exception | None) -> None:
        """Tell who waits, or send the request again where that is safe."""
        self._pool.lost(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        exchange.connection = None
        is_unseen = not self._reader.is_begun and (exchange.is_repeatable or self._is_stuck)
        if is_unseen and self._is_used and not exchange.is_again:
            exchange.is_again = True
            self._repeat(exchange)
        elif problem is None and self._reader.is_until_end:
            exchange.is_over = True
            exchange.ended()
        else:
            _fail(exchange, "the connection was closed before the answer was complete")

    def data_received(self, data: bytes) -> None:
        """Take what the server sends. One that sends more than can be worked off leaves others as much time."""
        began = time.monotonic()
        self._take(data, began)
        took = time.monotonic() - began
        if took > TURN and not self.transport.is_closing():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(took, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _take(self, data: bytes, now: float) -> None:
        exchange, reader = self._exchange, self._reader
        if exchange is None:
            self.transport.abort()
            return
        try:
            body = reader.feed(data)
        except BadResponse as problem:
            self.abort()
            _fail(exchange, str(problem))
            return
        if reader.response is not None and not reader.is_announced:
            reader.is_announced = True
            self.heard = now
            exchange.begun(reader.response)
        if body and self._exchange is exchange:
            exchange.received(body)
        if reader.is_complete and self._exchange is exchange:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        reader, self._reader = self._reader, ResponseReader()
        self._exchange = exchange.connection = None
        self._is_used = True
        self.keep = reader.keep
        exchange.is_over = True
        if reader.is_kept and not self._is_stuck and not self.transport.is_closing():
            self._pool.release(self)
        else:
            self.transport.abort()
        exchange.ended()

    def _repeat(self, exchange: Exchange) -> None:
        try:
            self._pool.repeat(exchange)
        except Failure as problem:
            _fail(exchange, str(problem))


def _fail(exchange: Exchange, why: str) -> None:
    exchange.is_over = True
    exchange.failed(Broken(why, is_sent=True))
