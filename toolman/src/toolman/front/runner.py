"""What runs the two ports: agents' connections, and those of who looks after us.

asyncio is all that they need. uvicorn comes with what few Pods are ever asked for: see :mod:`toolman.front.probes`.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

from toolman import listeners, memory
from toolman.front import connection, probes, wire
from toolman.front.population import Population

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from toolman.config import Certificate
    from toolman.core.inspection import Inspection
    from toolman.front.bearer import Check
    from toolman.front.connection import Front
    from toolman.front.probes import Handler

LAST_RESORT = 5.0
"""Seconds after which connections that are still open when everything else has ended are cut."""

HANDSHAKE = 10.0
"""Seconds for a TLS handshake."""


class Server:
    """Serves one port.

    Args:
        protocol: Makes what serves a connection.
        connections: All of them.
        tls: What the port is encrypted with, None for nothing.
        patience: Seconds after which connections that are still open when everything else has ended are cut.
    """

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        connections: Population,
        tls: ssl.SSLContext | None = None,
        patience: float = LAST_RESORT,
    ) -> None:
        self._patience = patience
        self._protocol = protocol
        self._connections = connections
        self._tls = tls
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Accept no more, and end when everything that is being served is."""
        self._ending.set()

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serve until it is told to end, and everything that was being served is."""
        limit = None if self._tls is None else HANDSHAKE
        create = functools.partial(
            asyncio.get_running_loop().create_server,
            self._protocol,
            ssl=self._tls,
            backlog=listeners.BACKLOG,
            ssl_handshake_timeout=limit,
        )
        servers = [await create(sock=each) for each in sockets]
        await self._ending.wait()
        for server in servers:
            server.close()
        await self._connections.end(self._patience)


def agents(front: Front, certificate: Certificate | None, grace: float = 0.0) -> Server:
    """Make what serves agents; at the end their calls have ``grace`` seconds more than others."""
    tls = None
    if certificate is not None:
        from toolman.front.certificates import Certificates  # noqa: PLC0415 - a sidecar has none

        tls = Certificates(certificate).context
    protocol = functools.partial(connection.Connection, front=front)
    return Server(protocol, front.connections, tls, LAST_RESORT + grace)


def admin(is_serving: Callable[[], bool], inspection: Inspection, bearer: Check | None) -> Server:
    """Make what serves probes and whatever else is to be found on the admin port."""
    loop = asyncio.get_running_loop()
    connections = Population(loop.time, loop.call_later)
    report = None if bearer is None else functools.partial(_report, inspection, bearer)
    port = probes.Probes(is_serving, _More(is_serving, inspection, bearer), connections, report)
    return Server(functools.partial(probes.Connection, port), connections)


def _report(inspection: Inspection, bearer: Check, shown: bytes | None) -> bytes:
    """Answer who asks for the report."""
    refusal = bearer.check(shown)
    if refusal is not None:
        return wire.text(refusal.status, f"{refusal.text}\n".encode(), refusal.lines + wire.CLOSE)
    return wire.document(inspection.report(), wire.CLOSE)


class _More:
    """Gives what serves the connections that want more than a probe, and loads it when the first of them comes."""

    def __init__(self, is_serving: Callable[[], bool], inspection: Inspection, bearer: Check | None) -> None:
        self._wanted = (is_serving, inspection, bearer)
        self._loading: asyncio.Task[Callable[[asyncio.AbstractEventLoop], Handler]] | None = None

    async def __call__(self) -> Handler:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="loading of the admin port")
        make = await asyncio.shield(self._loading)
        return make(asyncio.get_running_loop())

    async def _load(self) -> Callable[[asyncio.AbstractEventLoop], Handler]:
        make = await asyncio.to_thread(self._import)  # calls go on meanwhile
        memory.settle()
        return make

    def _import(self) -> Callable[[asyncio.AbstractEventLoop], Handler]:
        from toolman.front import operators  # noqa: PLC0415 - Starlette and uvicorn take long, and eight megabytes

        return operators.prepare(*self._wanted)
