"""One TCP connection that carries one HTTP request after the other."""

from __future__ import annotations

import errno
import os
from time import monotonic

from mcp_wrapper.dial import Dial
from mcp_wrapper.lean import socket
from mcp_wrapper.wire import MalformedResponseError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from mcp_wrapper.dial import Preparation, Stream
    from mcp_wrapper.endpoint import Address
    from mcp_wrapper.loop import Loop
    from mcp_wrapper.spool import Raw

    class Call(Protocol):
        """A request, and who hears of its response."""

        def request(self) -> tuple[bytes, Raw]:
            """Write head and body, for now: headers may differ when the request is sent again."""

        def head(self, response: Response) -> None:
            """Status and headers are there."""

        def data(self, piece: bytes) -> None:
            """A piece of the response's body is there."""

        def end(self) -> None:
            """The response is complete; the connection is free again."""

        def failed(self, reason: str, *, delivered: bool) -> None:
            """There will be no response, or no more of it.

            Args:
                reason: For people.
                delivered: The whole request left: it may have been acted on. Otherwise toolman could not be reached
                    for as long as the pool is patient.
            """

        @property
        def is_settled(self) -> bool:
            """Tell whether nobody waits for the answer any more: it need not be sent."""

        @property
        def is_patient(self) -> bool:
            """Tell whether to wait for toolman without an end."""

        @property
        def is_urgent(self) -> bool:
            """Tell whether it may have a connection when there should be no more."""

    class Owner(Protocol):
        """Keeps connections."""

        @property
        def is_full(self) -> bool:
            """Tell whether nothing may be read now: the agent does not take it."""

        def connected(self, connection: Connection) -> None:
            """The connection can carry its first request."""

        def unreachable(self, connection: Connection, reason: str, *, for_good: bool) -> None:
            """No address could be connected to; ``for_good`` if trying again will not help."""

        def free(self, connection: Connection) -> None:
            """A request is done; the connection can carry the next."""

        def closed(self, connection: Connection) -> None:
            """The connection is gone; what it carried is not told."""

        def lost(self, connection: Connection, call: Call, reason: str, *, delivered: bool) -> None:
            """The connection broke, and is gone, while it carried a call; ``delivered`` as in :meth:`Call.failed`."""


RECEIVE_BYTES = 64 * 1024
JOIN_BYTES = 32 * 1024
"""Bodies up to this size leave in one packet with the head; copying larger ones costs more than a system call."""


class Connection:
    """A stream, and the call that it carries at the moment.

    Attributes:
        since: When its last request was sent, on the monotonic clock.
    """

    __slots__ = ("_call", "_dial", "_loop", "_out", "_owner", "_reason", "_response", "_stream", "_writing", "since")

    def __init__(self, loop: Loop, owner: Owner, addresses: Sequence[Address], prepare: Preparation | None) -> None:
        self._loop = loop
        self._owner = owner
        self._dial: Dial | None = Dial(loop, addresses, prepare, self._connected, self._unreachable)
        self._stream: Stream | None = None
        self._call: Call | None = None
        self._response: Response | None = None
        self._out: list[memoryview] = []
        self._reason = ""
        self._writing = False
        self.since = 0.0

    def connect(self) -> None:
        """Start connecting; the owner is told of the outcome."""
        if self._dial is not None:
            self._dial.next()

    def carry(self, call: Call) -> None:
        """Send a request and pass its response on."""
        self.since = monotonic()
        self._call = call
        self._response = Response()
        head, body = call.request()
        if len(body) <= JOIN_BYTES:
            self._out = [memoryview(head + body)]
        else:
            self._out = [memoryview(body), memoryview(head)]
        self._send()

    @property
    def is_alive(self) -> bool:
        """Tell whether an idle connection still is one. The peer may have closed it while the loop was busy."""
        if self._stream is None:
            return False
        try:
            self._stream.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # closed, or saying something that nobody asked for

    def watch(self) -> None:
        """Wait for what there is to wait for now."""
        if self._stream is None:
            return
        fd = self._stream.fileno()
        if not self._owner.is_full:
            self._loop.watch(fd, self._readable, self._send if self._writing else None)
        else:
            self._loop.forget(fd)
            if self._writing:
                self._loop.watch_writable(fd, self._send)

    def close(self) -> None:
        """Close at once; the call that it carries is not told."""
        self._call = None
        dial, self._dial = self._dial, None
        stream, self._stream = self._stream, None
        if dial is not None:
            dial.cancel()
        elif stream is not None:
            self._loop.forget(stream.fileno())
            stream.close()
        else:
            return
        self._owner.closed(self)

    def _connected(self, stream: Stream) -> None:
        self._dial = None
        self._stream = stream
        self.watch()
        self._owner.connected(self)

    def _unreachable(self, reason: str, for_good: bool) -> None:  # noqa: FBT001 - a callback
        self._dial = None
        self._owner.unreachable(self, reason, for_good=for_good)

    def _send(self) -> None:
        stream = self._stream
        if stream is None:
            return
        blocked = False
        try:
            while self._out:
                piece = self._out[-1]
                sent = stream.send(piece)
                if sent < len(piece):
                    self._out[-1] = piece[sent:]
                else:
                    self._out.pop()
        except BlockingIOError:
            blocked = True
        except OSError as error:
            # A peer that refuses a body closes before it has read all of it: its answer is still to be read.
            self._reason = os.strerror(error.errno or errno.EIO).lower()
        if blocked != self._writing:
            self._writing = blocked
            self.watch()

    def _readable(self) -> None:
        stream, call, response = self._stream, self._call, self._response
        if stream is None:
            return
        try:
            data = stream.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(os.strerror(error.errno or errno.EIO).lower())
            return
        if call is None or response is None:
            self.close()  # idle: closed by the peer, or not speaking HTTP
        else:
            self._heard(data, call, response)

    def _heard(self, data: bytes, call: Call, response: Response) -> None:
        try:
            done = response.feed(data, call) if data else response.close()
        except MalformedResponseError as error:
            self._lost(str(error))
            return
        if done:
            self._done(call, response)
        elif not data:
            self._lost("the connection was closed")

    def _done(self, call: Call, response: Response) -> None:
        if self._call is not call:
            return  # it gave up while its response was read
        reusable = response.reusable and not self._out
        self._call = self._response = None
        if reusable:
            self._owner.free(self)
        else:
            self.close()
        call.end()

    def _lost(self, reason: str) -> None:
        call, delivered = self._call, not self._out
        self.close()
        if call is not None:
            self._owner.lost(self, call, reason, delivered=delivered)
