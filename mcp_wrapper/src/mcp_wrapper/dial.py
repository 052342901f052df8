"""From addresses to one connection that is fit for use: tried in order, checked before the first byte is sent."""

from __future__ import annotations

import errno
import os

from mcp_wrapper.lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Protocol, TypeAlias

    from mcp_wrapper.endpoint import Address
    from mcp_wrapper.loop import Loop
    from mcp_wrapper.spool import Raw

    class Stream(Protocol):
        """A connected socket, or what looks like one. It never waits, but raises BlockingIOError."""

        def fileno(self) -> int:
            """Give the file descriptor."""

        def send(self, data: Raw, /) -> int:
            """Hand over some bytes; tell how many."""

        def recv(self, size: int, flags: int = 0, /) -> bytes:
            """Take some bytes; none at the end."""

        def close(self) -> None:
            """Close it."""

    Step: TypeAlias = Generator[tuple[Stream, float | str], None, Stream]
    Preparation: TypeAlias = Callable[[socket.socket], Step]
    """Makes a new connection fit for use before the first byte is sent. Yields the stream as it is now, with what to
    wait for: TO_READ, TO_WRITE, or seconds. Returns the stream to use. Raises :class:`NotUsableError`."""

CONNECT_SECONDS = 5.0
"""For one address. On one machine it is microseconds; a packet that is dropped silently must not use up a minute."""
TO_READ, TO_WRITE = "read", "write"


class NotUsableError(Exception):
    """A connection must not be used; the text says why.

    Attributes:
        for_good: Neither another address nor another try will help.
    """

    def __init__(self, text: str, *, for_good: bool = False) -> None:
        super().__init__(text)
        self.for_good = for_good


class Dial:
    """Connects once.

    Args:
        loop: What to wait with.
        addresses: What to try, best first.
        prepare: What to do with a connection before it is used, if anything.
        on_connected: Gets the stream.
        on_failed: Gets the reason, for people, and whether it is for good.
    """

    __slots__ = (
        "_addresses",
        "_finding",
        "_loop",
        "_on_connected",
        "_on_failed",
        "_prepare",
        "_reason",
        "_step",
        "_stream",
        "_timer",
    )

    def __init__(
        self,
        loop: Loop,
        addresses: Sequence[Address],
        prepare: Preparation | None,
        on_connected: Callable[[Stream], None],
        on_failed: Callable[[str, bool], None],
    ) -> None:
        self._loop = loop
        self._addresses = list(reversed(addresses))
        self._prepare = prepare
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._stream: Stream | None = None
        self._step: Step | None = None
        self._reason = "no address"
        self._finding = ""
        self._timer = loop.after(CONNECT_SECONDS * len(addresses), self._out_of_time)

    def next(self) -> None:
        """Try the next address."""
        while self._addresses:
            family, address = self._addresses.pop()
            try:
                connecting = self._stream = socket.socket(family, socket.SOCK_STREAM)
                connecting.settimeout(0)
                code = connecting.connect_ex(address)
            except OSError as error:  # no IPv6 on this machine, no file descriptor left
                code = error.errno or errno.EINVAL
            if code in {0, errno.EINPROGRESS}:
                self._loop.watch_writable(connecting.fileno(), self._connecting)
                return
            self._refused(os.strerror(code).lower())
        self._timer.cancel()
        # That nobody listens at another address says less than who does at this one.
        self._on_failed(self._finding or self._reason, False)  # noqa: FBT003 - a callback's

    def cancel(self) -> None:
        """Stop; nobody is told."""
        self._timer.cancel()
        self._refused(self._reason)

    def _refused(self, reason: str) -> None:
        self._reason = reason
        self._step = None
        if self._stream is not None:
            self._loop.forget(self._stream.fileno())
            self._stream.close()
            self._stream = None

    def _connecting(self) -> None:
        stream = self._stream
        if not isinstance(stream, socket.socket):
            return
        code = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not code and stream.getsockname() == stream.getpeername():
            # Nobody listens, and the kernel chose the port itself as ours: we are talking to ourselves.
            code = errno.ECONNREFUSED
        if code:
            self._refused(os.strerror(code).lower())
            self.next()
            return
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._prepare is None:
            self._connected(stream)
        else:
            self._step = self._prepare(stream)
            self._advance()

    def _advance(self) -> None:
        if self._step is None or self._stream is None:
            return
        try:
            stream, wait = next(self._step)
        except StopIteration as end:
            self._connected(end.value)
            return
        except NotUsableError as error:
            self._finding = str(error)
            self._refused(self._finding)
            if error.for_good:
                self._timer.cancel()
                self._on_failed(self._finding, True)  # noqa: FBT003 - a callback's
            else:
                self.next()
            return
        self._stream = stream
        if wait == TO_READ:
            self._loop.watch(stream.fileno(), self._advance)
        elif wait == TO_WRITE:
            self._loop.watch_writable(stream.fileno(), self._advance)
        else:
            self._loop.forget(stream.fileno())
            self._loop.after(float(wait), self._advance)

    def _connected(self, stream: Stream) -> None:
        self._timer.cancel()
        self._stream = None
        self._on_connected(stream)

    def _out_of_time(self) -> None:
        self._addresses.clear()
        self._refused(os.strerror(errno.ETIMEDOUT).lower())
        self.next()
