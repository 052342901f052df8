"""Connections of the admin port: probes are answered at once, all else is handed over to what can do more.

The kubelet asks every Pod every few seconds, and most Pods are never asked anything else: what serves the rest costs
eight megabytes and is only there once somebody has wanted it. An agent can reach the port as well.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, cast

from toolman.front import population, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolman.front.population import Population

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
"""Connections at a time; one more ends the oldest. The kubelet and Prometheus need two."""

MAX_HEAD = 16 * 1024
"""Bytes of the first request of a connection before its body."""

_OK = wire.text(200, b"ok\n", wire.CLOSE)
_ENDING = wire.text(503, b"shutting down\n", wire.CLOSE)
_TOO_LARGE = wire.text(431, b"the headers have more than %d bytes\n" % MAX_HEAD, wire.CLOSE)
_BROKEN = wire.text(500, b"an error in toolman: see its log\n", wire.CLOSE)
_LIVE = b"GET /livez HTTP/1.1"
_READY = b"GET /readyz HTTP/1.1"
_REPORT = b"GET /report HTTP/1.1"
_AUTHORIZATION = b"authorization"


class Handler(Protocol):
    """Serves the connections that want more; uvicorn's protocol, as far as it is needed."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""

    def data_received(self, data: bytes) -> None:
        """Take bytes."""

    def pause_writing(self) -> None:
        """Write no more."""

    def resume_writing(self) -> None:
        """Write again."""

    def shutdown(self) -> None:
        """End after the request that is being served."""


class Probes:
    """What the connections of the port share.

    Args:
        is_serving: Tells whether requests are served; not any more while toolman ends. The probes are independent of
            the servers: in a Pod these start after toolman is ready.
        more: Gives a handler for a connection that wants more.
        connections: All of them.
        report: Gives the whole response to who asks for the report and shows this; None where there is none. The
            operator asks every Pod every half minute.
    """

    def __init__(
        self,
        is_serving: Callable[[], bool],
        more: Callable[[], Awaitable[Handler]],
        connections: Population,
        report: Callable[[bytes | None], bytes] | None = None,
    ) -> None:
        self.report = report
        self.is_serving = is_serving
        self.more = more
        self.connections = connections
        self.tasks: set[asyncio.Task[None]] = set()


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        port: What it shares with others.
    """

    def __init__(self, port: Probes) -> None:
        self._port = port
        self._received = b""
        self._handler: Handler | None = None
        self._transport: asyncio.Transport | None = None
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = cast("asyncio.Transport", transport)
        self._port.connections.enter(self, MAX_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._transport = None
        self._port.connections.leave(self)
        if self._handler is not None:
            self._handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer a probe; have whatever else answered."""
        if self._handler is not None:
            self._handler.data_received(data)
            return
        self._received += data
        if self._is_answered:
            return
        if b"\r\n\r\n" not in self._received[: MAX_HEAD + 4]:
            if len(self._received) > MAX_HEAD:
                self._answer(_TOO_LARGE)
            else:
                self._port.connections.slow(self, 0, population.HEAD_TIME)
            return
        line = self._received.partition(b"\r\n")[0]
        if line == _LIVE:
            self._answer(_OK)
        elif line == _READY:
            self._answer(_OK if self._port.is_serving() else _ENDING)
        elif line == _REPORT and self._port.report is not None:
            self._answer(self._port.report(_shown(self._received)))
        else:
            self._hand_over()

    def pause_writing(self) -> None:
        """Learn that the client reads more slowly than is written."""
        self._port.connections.stuck(self)
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Learn that it has caught up."""
        self._port.connections.reads(self)
        if self._handler is not None:
            self._handler.resume_writing()

    def shutdown(self) -> None:
        """End after the request that is being served."""
        if self._handler is not None:
            self._handler.shutdown()
        elif self._transport is not None:
            self._transport.close()

    def expire(self, *, is_slow: bool) -> None:
        """End: it asked for nothing in time, or had to make room."""
        del is_slow
        self.abort()

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def waiting_to_be_read(self) -> int:
        """Bytes that the client has not read."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _answer(self, response: bytes) -> None:
        self._is_answered, self._received = True, b""
        if self._transport is not None:
            self._transport.write(response)
            self._transport.close()

    def _hand_over(self) -> None:
        self._is_answered = True
        connections = self._port.connections
        connections.quick(self)
        connections.busy(self)
        connections.idle(self)
        if self._transport is not None:
            self._transport.pause_reading()
        task = asyncio.create_task(self._begin(), name="admin")
        self._port.tasks.add(task)
        task.add_done_callback(self._port.tasks.discard)

    async def _begin(self) -> None:
        try:
            handler = await self._port.more()
        except Exception:  # whatever it is, the client must not wait for ever
            log.exception("the admin port can answer nothing but probes")
            self._answer(_BROKEN)
            return
        received, self._received = self._received, b""
        if self._transport is not None:
            self._handler = handler
            handler.connection_made(self._transport)
            handler.data_received(received)
            self._transport.resume_reading()


def _shown(head: bytes) -> bytes | None:
    """Give the value of the Authorization header; None if there is none, or more than one."""
    found = [
        value.strip()
        for name, _, value in (line.partition(b":") for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
        if name.lower() == _AUTHORIZATION
    ]
    return found[0] if len(found) == 1 else None
