"""Running toolman: its parts put together, sockets, signals, and an end in order.

On SIGTERM or SIGINT: no new connections, streams end, calls on their way get a moment, then the servers are ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import resource
import signal
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import uvloop

from toolman import listeners, memory, ports, reload, tokens, traces
from toolman.audit import Audit
from toolman.callers import Doorkeeper, Lookup
from toolman.config import ConfigError, Secret
from toolman.core.dispatch import Dispatcher
from toolman.core.gateway import Gateway
from toolman.core.inspection import Inspection
from toolman.front import runner
from toolman.front.bearer import Bearer, Hashed
from toolman.front.connection import Front
from toolman.front.endpoint import Endpoint
from toolman.front.population import Population
from toolman.netlink import Diagnosis
from toolman.sessions import Sessions
from toolman.upstreams import kinds

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from toolman.config import Certificate, Config
    from toolman.front.bearer import Check
    from toolman.front.runner import Server
    from toolman.guarded import Guarded
    from toolman.sessions import Store
    from toolman.store import RedisStore

log = logging.getLogger(__name__)

GRACE = 3.0
"""Seconds for calls on their way when toolman is told to end."""

SPARE_FILES = 512
"""Open files besides the connections of agents: servers' pipes, their children's, the log's."""

_POLL = 0.05
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Overrides(NamedTuple):
    """What the command line says about listening, whatever the configuration says now and later."""

    host: str | None = None
    port: int | None = None

    def apply(self, config: Config) -> Config:
        """Give the configuration that is meant."""
        listen = config.listen
        if self.host is not None:
            is_loopback = self.host in _LOOPBACK
            host = listen.host if is_loopback else self.host
            listen = msgspec.structs.replace(listen, loopback=is_loopback, host=host)
        if self.port is not None:
            listen = msgspec.structs.replace(listen, port=self.port)
        return msgspec.structs.replace(config, listen=listen)


class Parts(NamedTuple):
    """What serves agents."""

    gateway: Gateway
    sessions: Sessions
    dispatcher: Dispatcher
    connections: Population
    front: Front
    guarded: Guarded | None = None

    @property
    def grace(self) -> float:
        """Seconds for calls on their way when toolman is told to end."""
        return GRACE if self.guarded is None else self.guarded.grace

    @property
    def is_ready(self) -> bool:
        """Whether clients are to be sent here."""
        return self.guarded is None or self.guarded.is_ready

    @property
    def is_serving(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.connections.is_serving or (self.guarded is not None and self.guarded.door.is_finding_out)

    async def drain(self) -> None:
        """Have clients go elsewhere, where there is an elsewhere."""
        if self.guarded is not None:
            await self.guarded.drain()


def serve(config: Config, path: Path | None = None, overrides: Overrides | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: What to serve.
        path: The file it came from, watched for changes.
        overrides: What counts more than the configuration.

    Raises:
        CannotListenError: An address cannot be bound, or the certificate cannot be used.
        ConfigError: Nothing can be made of a server's configuration.
    """
    overrides = overrides or Overrides()
    meant = overrides.apply(config)
    _check_certificate(meant.listen.tls)
    _allow_files(meant.listen.max_connections + SPARE_FILES)
    bound = ports.bind(meant)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(meant, path, overrides, bound))


def assemble(config: Config, audit: Audit, store: Store | None = None) -> Parts:
    """Put together what serves agents; nothing is started.

    Args:
        config: What to serve.
        audit: Gets a record for each use of something.
        store: Where sessions outlive this process.
    """
    if config.guard is not None:
        return _assemble_guard(config, audit)
    loop = asyncio.get_running_loop()
    sessions = Sessions(loop.time, config.sessions.ttl, store)
    gateway = Gateway(config, kinds.Connectors(), sessions)
    dispatcher = Dispatcher(gateway, audit, tokens.raw(32))

    connections = Population(loop.time, loop.call_later)
    endpoint = Endpoint(dispatcher, gateway, sessions, connections, loop.time)
    doorkeeper = Doorkeeper(lambda: gateway.config.listen.refuse_uids, Lookup(Diagnosis()), loop.time)
    return Parts(gateway, sessions, dispatcher, connections, Front(endpoint, doorkeeper, connections))


def _assemble_guard(config: Config, audit: Audit) -> Parts:
    """Put together what serves the callers of a guard, each of which has a gateway of its own."""
    from toolman.core.realms import Trunk  # noqa: PLC0415 - only where there is a guard
    from toolman.guarded import Guarded  # noqa: PLC0415
    from toolman.tenants import for_trunk  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    sessions = Sessions(loop.time, config.sessions.ttl)
    trunk = Trunk(for_trunk(config), kinds.Connectors(), sessions)
    dispatcher = Dispatcher(trunk, audit, tokens.raw(32))
    connections = Population(loop.time, loop.call_later)
    guarded = Guarded(config, trunk, dispatcher, audit, connections)
    doorkeeper = Doorkeeper(lambda: trunk.config.listen.refuse_uids, Lookup(Diagnosis()), loop.time)
    return Parts(trunk, sessions, dispatcher, connections, Front(guarded.door, doorkeeper, connections), guarded)


async def _serve(config: Config, path: Path | None, overrides: Overrides, bound: ports.Bound) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    audit, store = Audit(config.audit.sink), _store(config)
    parts = assemble(config, audit, store)
    inspection = Inspection(parts.gateway, lambda: "" if store is None else store.problem)
    parts.gateway.traces = tracing = traces.open_traces(os.environ)
    await kinds.prepare(config.servers)
    parts.gateway.start()
    servers = _servers(config, bound, parts, inspection, lambda: not ending.is_set() and parts.is_ready)
    tasks = [asyncio.create_task(server.serve(each), name="http") for server, each in servers]
    if path is not None:
        apply = functools.partial(_apply, overrides, parts, audit)
        watch = reload.watch(path, config, apply, inspection.reloaded)
        tasks.append(asyncio.create_task(watch, name="configuration watch"))
    for task in tasks:
        task.add_done_callback(lambda _: ending.set())  # none of them ends by itself: a bug must not go unseen
    _announce(config, bound[0])
    memory.settle()
    try:
        await ending.wait()
        log.info("ending")
        await parts.drain()
    finally:
        await _end(parts, [server for server, _ in servers], tasks)
        if store is not None:
            await store.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
        audit.close()


def _servers(
    config: Config, bound: ports.Bound, parts: Parts, inspection: Inspection, is_serving: Callable[[], bool]
) -> list[tuple[Server, list[socket.socket]]]:
    """Give what serves the two ports."""
    sockets, probes = bound
    servers = [(runner.agents(parts.front, config.listen.tls, parts.grace - GRACE), sockets)]
    if probes:
        servers.append((runner.admin(is_serving, inspection, _bearer(config)), probes))
    return servers


def _bearer(config: Config) -> Check | None:
    """Give what checks who asks for the report, if there is one to be had."""
    token = config.admin.token if config.admin is not None else None
    if token is None:
        return None
    if token.sha256 is not None:
        return Hashed(token.sha256)
    return Bearer(Secret(file=token.file or ""), asyncio.get_running_loop().time)


def _apply(overrides: Overrides, parts: Parts, audit: Audit, found: Config) -> None:
    """Put another configuration in force as a whole, or raise and leave all as it was."""
    config = overrides.apply(found)
    if parts.guarded is not None:
        parts.guarded.apply(config)
    elif config.guard is not None:
        raise ConfigError("guard cannot be added or removed while toolman runs: restart it")
    else:
        parts.gateway.apply(config)
    parts.sessions.ttl = config.sessions.ttl
    audit.use(config.audit.sink)


def _store(config: Config) -> RedisStore | None:
    """Give what keeps sessions for longer than this process lives."""
    chosen = config.sessions
    if chosen.store == "memory":
        return None
    from toolman.store import RedisStore  # noqa: PLC0415 - only where there is a Redis

    secret = chosen.password

    def password() -> str | None:
        return None if secret is None else Path(secret.file).read_text("utf-8").strip()

    return RedisStore(chosen.store, chosen.ttl, password, asyncio.get_running_loop().time)


async def _end(parts: Parts, servers: list[Server], tasks: list[asyncio.Task[None]]) -> None:
    """End in order: accept no more, end streams, let calls finish, end the servers, cut what is left."""
    for server in servers:
        server.end()
    parts.sessions.end_streams()
    parts.dispatcher.end_listens()
    if parts.guarded is not None:
        parts.guarded.tenants.end_streams()
    for task in tasks[len(servers) :]:
        task.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(parts.grace):
            while parts.is_serving:  # noqa: ASYNC110 - once, at the very end
                await asyncio.sleep(_POLL)
    if parts.guarded is not None:
        await parts.guarded.stop()
    await parts.gateway.stop()  # what is still on its way is answered with an error
    await parts.sessions.settle()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _check_certificate(certificate: Certificate | None) -> None:
    if certificate is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.certificate, certificate.key)
    except (OSError, ssl.SSLError) as problem:
        raise listeners.CannotListenError(f"listen.tls cannot be used: {problem}") from problem


def _allow_files(wanted: int) -> None:
    """Have as many files open as connections need: otherwise the system refuses what the configuration allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        if most < wanted:
            log.warning("only %d files may be open, fewer than listen.maxConnections needs", most)


def _announce(config: Config, sockets: list[socket.socket]) -> None:
    scheme = "http" if config.listen.tls is None else "https"
    for bound in sockets:
        host, number = bound.getsockname()[:2]
        log.info("listening at %s://%s:%d%s", scheme, f"[{host}]" if ":" in host else host, number, config.listen.path)
