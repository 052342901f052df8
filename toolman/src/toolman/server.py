"""Running toolman: sockets, uvicorn, signals, and an end in order.

On SIGTERM or SIGINT: no new connections, streams end, calls on their way get a moment, then the servers are ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from toolman import app, callers, listeners, memory, ports, reload
from toolman.audit import Audit
from toolman.gateway import Gateway

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.applications import Starlette

    from toolman.config import Config

log = logging.getLogger(__name__)

KEEP_ALIVE = 15 * 60
"""Seconds that an idle connection stays. uvicorn's 5 are shorter than an agent thinks between two calls."""

GRACE = 3.0
"""Seconds for calls on their way when toolman is told to end."""

REFUSALS_INTERVAL = 10.0
"""Seconds between two lines about refused callers."""

_LAST_RESORT = 15
"""Seconds after which uvicorn gives up on connections: more than ending calls and servers takes."""


class Refusals:
    """Tells of refused callers, at most one line in a while: who is refused must not be able to fill the log."""

    def __init__(self) -> None:
        self._silent_until = 0.0
        self._untold = 0

    def note(self, problem: str, now: float) -> None:
        """Take note of one.

        Args:
            problem: Why it was refused.
            now: Seconds, monotonic.
        """
        self._untold += 1
        if now >= self._silent_until:
            log.warning("refused a caller: %s (%d since the last such line)", problem, self._untold)
            self._untold, self._silent_until = 0, now + REFUSALS_INTERVAL


class GuardedProtocol(HttpToolsProtocol):
    """HTTP for callers that may be served: asked once, when the connection is made."""

    def __init__(self, *args: Any, gateway: Gateway, refusals: Refusals, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's business
        super().__init__(*args, **kwargs)
        self._gateway = gateway
        self._refusals = refusals

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Serve the connection, or end it before a byte of it is read."""
        refused = self._gateway.config.listen.refuse_uids
        if refused:
            peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
            problem = callers.refusal(peer[:2], here[:2], refused) if peer and here else "it has no address any more"
            if problem is not None:
                self._refusals.note(problem, self.loop.time())
                self.transport = transport
                transport.abort()
                return
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: two servers share the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(config: Config, path: Path | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: What to serve.
        path: The file it came from, watched for changes.
        port: Listen there, whatever the configuration says now and later.

    Raises:
        CannotListenError: An address cannot be bound.
    """
    sockets, probes = ports.bind(_at(port, config))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, path, port, sockets, probes))


def _at(port: int | None, config: Config) -> Config:
    if port is None:
        return config
    return msgspec.structs.replace(config, listen=msgspec.structs.replace(config.listen, port=port))


async def _serve(
    config: Config, path: Path | None, port: int | None, sockets: list[socket.socket], probes: list[socket.socket]
) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    gateway = Gateway(_at(port, config))
    audit = Audit(sys.stdout.fileno())
    servers = [(_server(app.Front(gateway, audit), gateway), sockets)]
    if probes:
        servers.append((_server(app.admin(lambda: not ending.is_set())), probes))
    tasks = [asyncio.create_task(server.serve(bound), name="http") for server, bound in servers]
    if path is not None:
        watch = reload.watch(path, config, lambda found: gateway.apply(_at(port, found)))
        tasks.append(asyncio.create_task(watch, name="configuration watch"))
    for task in tasks:
        task.add_done_callback(lambda _: ending.set())  # none of them ends by itself: a bug must not go unseen
    gateway.start()
    for bound in sockets:
        host, number = bound.getsockname()[:2]
        log.info("listening at http://%s:%d%s", f"[{host}]" if ":" in host else host, number, app.PATH)
    memory.settle()
    try:
        await ending.wait()
        log.info("ending")
    finally:
        await _end(gateway, [server for server, _ in servers], tasks)
        audit.flush()


async def _end(gateway: Gateway, servers: list[_Server], tasks: list[asyncio.Task[None]]) -> None:
    for server in servers:
        server.should_exit = True
    gateway.sessions.end_streams()
    for task in tasks[len(servers) :]:
        task.cancel()
    await gateway.finish_calls(GRACE)
    await gateway.stop()  # what is still on its way is answered with an error
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _server(application: Starlette, gateway: Gateway | None = None) -> _Server:
    protocol: Any = (
        HttpToolsProtocol
        if gateway is None
        else functools.partial(GuardedProtocol, gateway=gateway, refusals=Refusals())
    )
    return _Server(
        uvicorn.Config(
            application,
            http=protocol,
            interface="asgi3",
            loop="none",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=listeners.BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=_LAST_RESORT,
        )
    )
