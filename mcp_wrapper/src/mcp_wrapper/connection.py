"""One TCP connection that carries one HTTP request after the other."""

from __future__ import annotations

import errno
import os
import socket

from mcp_wrapper.wire import MalformedResponseError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from mcp_wrapper.endpoint import Address
    from mcp_wrapper.loop import Loop

    class Call(Protocol):
        """A request, and who hears of its response."""

        def request(self) -> tuple[bytes, bytes]:
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

    class Owner(Protocol):
        """Keeps connections."""

        def connected(self, connection: Connection) -> None:
            """The connection can carry its first request."""

        def unreachable(self, connection: Connection, reason: str) -> None:
            """No address could be connected to."""

        def free(self, connection: Connection) -> None:
            """A request is done; the connection can carry the next."""

        def closed(self, connection: Connection) -> None:
            """The connection is gone; what it carried is not told."""

        def lost(self, connection: Connection, call: Call, reason: str, *, delivered: bool) -> None:
            """The connection broke, and is gone, while it carried a call; ``delivered`` as in :meth:`Call.failed`."""


RECEIVE_BYTES = 64 * 1024
JOIN_BYTES = 32 * 1024
"""Bodies up to this size leave in one packet with the head; copying larger ones costs more than a system call."""
CONNECT_SECONDS = 5.0
"""For one address. On one machine it is microseconds; a packet that is dropped silently must not use up a minute."""


class Connection:
    """A socket, and the call that it carries at the moment."""

    __slots__ = (
        "_addresses",
        "_call",
        "_loop",
        "_out",
        "_owner",
        "_reason",
        "_response",
        "_socket",
        "_timer",
        "_writing",
        "since",
    )

    def __init__(self, loop: Loop, owner: Owner, addresses: list[Address]) -> None:
        self._loop = loop
        self._owner = owner
        self._addresses = list(reversed(addresses))
        self._socket: socket.socket | None = None
        self._call: Call | None = None
        self._response: Response | None = None
        self._out: list[memoryview] = []
        self._reason = "no address"
        self._writing = False
        self._timer = loop.after(CONNECT_SECONDS * len(addresses), self._connect_timeout)
        self.since = 0.0

    def connect(self) -> None:
        """Start connecting to the next address; the owner is told of the outcome."""
        while self._addresses:
            family, address = self._addresses.pop()
            try:
                self._socket = socket.socket(family, socket.SOCK_STREAM)
                self._socket.settimeout(0)
                code = self._socket.connect_ex(address)
            except OSError as error:  # no IPv6 on this machine, no file descriptor left
                code = error.errno or errno.EINVAL
            if code in {0, errno.EINPROGRESS}:
                self._loop.watch(self._fileno(), self._connecting, self._connecting)
                return
            self._refused(code)
        self._timer.cancel()
        self._owner.unreachable(self, self._reason)

    def carry(self, call: Call) -> None:
        """Send a request and pass its response on."""
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
        if self._socket is None:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # closed, or saying something that nobody asked for

    def close(self) -> None:
        """Close at once; the call that it carries is not told."""
        self._call = None
        self._timer.cancel()
        if self._socket is not None:
            self._loop.forget(self._fileno())
            self._socket.close()
            self._socket = None
            self._owner.closed(self)

    def _fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def _refused(self, code: int) -> None:
        self._reason = os.strerror(code).lower()
        if self._socket is not None:
            self._loop.forget(self._fileno())
            self._socket.close()
            self._socket = None

    def _connecting(self) -> None:
        connection = self._socket
        if connection is None:
            return
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code and connection.getsockname() == connection.getpeername():
            # Nobody listens, and the kernel chose the port itself as ours: we are talking to ourselves.
            code = errno.ECONNREFUSED
        if code:
            self._refused(code)
            self.connect()
            return
        self._timer.cancel()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.watch(self._fileno(), self._readable)
        self._owner.connected(self)

    def _connect_timeout(self) -> None:
        self._addresses.clear()
        self._refused(errno.ETIMEDOUT)
        self.connect()

    def _send(self) -> None:
        connection = self._socket
        if connection is None:
            return
        blocked = False
        try:
            while self._out:
                piece = self._out[-1]
                sent = connection.send(piece)
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
            self._loop.watch(connection.fileno(), self._readable, self._send if blocked else None)

    def _readable(self) -> None:
        connection, call, response = self._socket, self._call, self._response
        if connection is None:
            return
        try:
            data = connection.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(os.strerror(error.errno or errno.EIO).lower())
            return
        if call is None or response is None:
            self.close()  # idle: closed by the peer, or not speaking HTTP
            return
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
