"""The read API's server: a thread of its own beside everything else, with TLS whose certificate may be renewed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn

from mcp_operator.readapi.app import ReadApi
from mcp_operator.readapi.callers import Callers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.kube import Kubernetes
    from mcp_operator.settings import Settings

HOST: Final = "0.0.0.0"  # noqa: S104 - a Service leads to it
CONNECTIONS: Final = 64
"""Requests at a time; more are answered with 503 at once."""
LOOK: Final = 30.0
"""Seconds between two looks at whether the certificate was renewed."""
STOP_SECONDS: Final = 5.0
"""For answers that are under way; they only read."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def answering(settings: Settings, api: Kubernetes) -> Iterator[int]:
    """Serve while the block runs, if the settings say so; give the port, 0 when not served.

    Raises:
        OSError: The port or the certificate cannot be used.
    """
    if not settings.read_api_port:
        yield 0
        return
    served = ReadApi(api, Callers(api, time.monotonic), settings.watch_namespaces).application()
    config = uvicorn.Config(
        served,
        host=HOST,
        port=settings.read_api_port,
        ssl_certfile=settings.read_api_certificate or None,
        ssl_keyfile=settings.read_api_key or None,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=round(STOP_SECONDS),
        access_log=False,  # nothing that a caller sends is logged
        log_config=None,
        server_header=False,
        lifespan="off",
        ws="none",
    )
    if not settings.read_api_certificate:
        logger.warning("the read API is served without TLS: callers' tokens can be read on their way")
    with _running(config) as port:
        yield port


@contextlib.contextmanager
def _running(config: uvicorn.Config) -> Iterator[int]:
    config.load()
    bound = socket.create_server((config.host, config.port))
    server = uvicorn.Server(config)  # in a thread: signals are the process's own
    thread = threading.Thread(target=lambda: asyncio.run(_serve(server, config, [bound])), name="read-api", daemon=True)
    thread.start()
    try:
        yield int(bound.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(2 * STOP_SECONDS)
        bound.close()


async def _serve(server: uvicorn.Server, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
    watching = asyncio.create_task(_renew(config)) if config.ssl is not None else None
    try:
        await server.serve(sockets=sockets)
    finally:
        if watching is not None:
            watching.cancel()


async def _renew(config: uvicorn.Config) -> None:
    """Take a renewed certificate into use, for connections from then on."""
    seen = _stamp(config)
    while True:
        await asyncio.sleep(LOOK)
        seen = renew(config, seen)


def renew(config: uvicorn.Config, seen: tuple[int, ...]) -> tuple[int, ...]:
    """Load the certificate anew if its files are others than ``seen``; give what was seen now."""
    try:
        now = _stamp(config)
        if now != seen and config.ssl is not None:
            config.ssl.load_cert_chain(str(config.ssl_certfile), config.ssl_keyfile)
            logger.info("the read API has a renewed certificate")
    except (OSError, ssl.SSLError) as error:
        logger.warning("the read API keeps its certificate, the new one cannot be used: %s", error)
        return seen
    return now


def _stamp(config: uvicorn.Config) -> tuple[int, ...]:
    files = (config.ssl_certfile, config.ssl_keyfile)
    return tuple(Path(str(file)).stat().st_mtime_ns for file in files if file)
