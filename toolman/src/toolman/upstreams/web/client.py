"""A small HTTP/1.1 client for one server: connections kept open and used again, nothing followed, nothing stored.

There are no redirects, no cookies and no compression, and proxies of the environment are not used: requests go to the
configured server or nowhere. A request goes out a second time only if an old connection broke before the first byte
of an answer, and if the server may get it twice or cannot have got all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import time
from typing import TYPE_CHECKING, Any

from toolman.upstreams import Failure
from toolman.upstreams.web.connection import Broken, Connection, Exchange

if TYPE_CHECKING:
    import ssl

    from toolman.upstreams.web.destination import Destination

CONNECT_TIMEOUT = 10.0
"""Seconds for resolving a name, connecting and the TLS handshake."""

ADDRESS_TIMEOUT = 3.0
"""Seconds for an address to take a connection, then the next one is tried, and the first again after the last: one
family of addresses may lead nowhere, and one that stands for several machines to one that has just gone."""

MAX_CONNECTIONS = 1024
"""To one server. As many calls can be on their way to it."""

KEEP = 4.0
"""Seconds after a response began for which its connection is used again where the server does not say how long: most
close unused ones after 5 or more, and a request that crosses the closing may or may not have been seen."""

MAX_KEEP = 60.0
"""Seconds, whatever the server says: what is between forgets silent connections."""

_MARGIN = 1.0
_UNNAMED = "nobody says where its name leads; does the DNS server work, and may toolman ask it?"
_OPTIONS = ((socket.TCP_NODELAY, 1), (socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A silent stream is noticed to be dead after a minute."""


class Client:
    """Sends exchanges.

    Args:
        destination: Where to.

    Raises:
        Failure: The certificate authorities cannot be read.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._tls: ssl.SSLContext | None = destination.trust()
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._reaper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def send(self, exchange: Exchange) -> None:
        """Send a request; what comes back goes to the exchange.

        Raises:
            Failure: Too many requests are on their way.
        """
        now = time.monotonic()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.heard < _patience(connection) and not connection.transport.is_closing():
                connection.start(exchange)
                return
            connection.abort()
        self.repeat(exchange)

    def repeat(self, exchange: Exchange) -> None:
        """Send a request over a new connection.

        Raises:
            Failure: Too many requests are on their way.
        """
        if len(self._all) + len(self._opening) >= MAX_CONNECTIONS or self._is_closed:
            raise Failure(f"{MAX_CONNECTIONS} requests to it are on their way: try again later")
        task = self._loop.create_task(self._start(exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def release(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._idle.append(connection)
        if self._reaper is None:
            self._reaper = self._loop.call_later(KEEP, self._reap)

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._all.discard(connection)
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)

    async def close(self) -> None:
        """Close every connection; exchanges on their way hear nothing any more."""
        self._is_closed = True
        if self._reaper is not None:
            self._reaper.cancel()
        tasks = list(self._opening)
        for task in tasks:
            task.cancel()
        for connection in list(self._all):
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _reap(self) -> None:
        now = time.monotonic()
        for connection in [each for each in self._idle if now - each.heard >= _patience(each)]:
            self._idle.remove(connection)
            connection.abort()
        self._reaper = self._loop.call_later(KEEP, self._reap) if self._idle else None

    async def _start(self, exchange: Exchange) -> None:
        try:
            connection = await self._connect()
        except Failure as problem:
            if not exchange.is_over:
                exchange.is_over = True
                exchange.failed(Broken(str(problem), is_sent=False))
            return
        self._all.add(connection)
        if exchange.is_over:
            self.release(connection)
        else:
            connection.start(exchange)

    async def _connect(self) -> Connection:
        address = self.destination.address
        problem: OSError = TimeoutError(_UNNAMED)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                while True:
                    found = await self._loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
                    self.destination.check(str(place[0]) for *_, place in found)
                    problem = TimeoutError()
                    for family, *_, place in found:
                        try:
                            return await self._attempt(family, place)
                        except OSError as mishap:
                            problem = mishap
                    if not isinstance(problem, TimeoutError):
                        break
        except TimeoutError:
            pass
        except OSError as mishap:
            problem = mishap
        raise Failure(f"cannot connect to {address.origin}: {_explain(problem)}")

    async def _attempt(self, family: int, place: tuple[Any, ...]) -> Connection:
        name = self.destination.address.host if self._tls is not None else None
        opened = socket.socket(family, socket.SOCK_STREAM)
        with contextlib.ExitStack() as unless_connected:
            unless_connected.callback(opened.close)
            opened.settimeout(0)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _OPTIONS:
                opened.setsockopt(socket.IPPROTO_TCP, option, value)
            async with asyncio.timeout(ADDRESS_TIMEOUT):
                await self._loop.sock_connect(opened, place)
            unless_connected.pop_all()
        transport, connection = await self._loop.create_connection(
            lambda: Connection(self), sock=opened, ssl=self._tls, server_hostname=name
        )
        if transport.is_closing():  # what is written to it now is not sent
            raise ConnectionResetError(errno.ECONNRESET, "it closes its connections at once")
        return connection


def _patience(connection: Connection) -> float:
    return KEEP if connection.keep is None else min(connection.keep - _MARGIN, MAX_KEEP)


def _explain(problem: OSError | None) -> str:
    """Say what went wrong, for a person: an error of TLS says more in its own words."""
    if isinstance(problem, TimeoutError):
        return str(problem) or "no answer; is the address right, and may toolman go there?"
    if isinstance(problem, socket.gaierror):
        return "its name is not known"
    verdict = getattr(problem, "verify_message", "")
    if verdict:
        return f"its certificate is not trusted: {verdict}; set its ca to the authority's PEM file"
    if isinstance(problem, ConnectionRefusedError):
        return "nobody listens there; is it running?"
    if getattr(problem, "reason", None) == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS; is its URL one with http://?"
    return str(getattr(problem, "reason", None) or getattr(problem, "strerror", None) or problem)
