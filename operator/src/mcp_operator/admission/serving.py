"""The webhooks' server: a thread of its own beside everything else, in every replica, whoever holds the Lease.

It only reads, so any number of them may answer; and Pods must be judged while one operator takes over from another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import tempfile
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import uvicorn

from mcp_operator import cluster, names
from mcp_operator.admission.answers import Answer
from mcp_operator.admission.app import LATE, Application, Webhook
from mcp_operator.admission.credentials import Credentials
from mcp_operator.admission.injecting import Injecting, keeping
from mcp_operator.admission.warning import Warnings
from mcp_operator.own_secrets import Authority, ReportTokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp_operator.certificates import Pair
    from mcp_operator.kube import Kubernetes
    from mcp_operator.settings import Settings

HOST: Final = "0.0.0.0"  # noqa: S104 - a Service leads to it
LOOK: Final = 60.0
"""Seconds between two looks at the certificate and at what the API server is told of it."""
RETRY: Final = 2.0
"""Seconds until that is tried again where it failed."""
INJECT_SECONDS: Final = 8.0
"""The API server waits for ten."""
WARN_SECONDS: Final = 1.5
"""The API server waits for two, and so does whoever applies an MCPAgent."""
STOP_SECONDS: Final = 5.0
"""For answers that are under way."""

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def answering(settings: Settings, api: Kubernetes) -> Iterator[int]:
    """Serve while the block runs, if the settings say so; give the port, 0 when not served.

    Raises:
        OSError: The port cannot be used.
    """
    if not settings.webhook_port:
        yield 0
        return
    bound = socket.create_server((HOST, settings.webhook_port))
    served = _Served(settings, api, bound)
    thread = threading.Thread(target=lambda: asyncio.run(served.run()), name="webhooks", daemon=True)
    thread.start()
    try:
        yield int(bound.getsockname()[1])
    finally:
        served.stop()
        thread.join(2 * STOP_SECONDS)
        bound.close()


class _Served:
    """The server, from its first certificate on.

    Args:
        settings: Whose ports and names.
        api: The cluster.
        bound: Where it listens.
    """

    def __init__(self, settings: Settings, api: Kubernetes, bound: socket.socket) -> None:
        tokens = ReportTokens(api, settings.namespace)
        authority = Authority(api, settings.namespace, _now)
        self._credentials = Credentials(api, authority, tokens, settings.webhook_hosts, _now)
        self._application = Application(_webhooks(settings, api), self._credentials.webhook)
        self._bound = bound
        self._stopping = threading.Event()
        self._server: uvicorn.Server | None = None

    def stop(self) -> None:
        """Finish what is under way, and end."""
        self._stopping.set()
        if self._server is not None:
            self._server.should_exit = True

    async def run(self) -> None:
        """Serve until told to stop."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        while not await asyncio.to_thread(self._renew, context):
            if await asyncio.to_thread(self._stopping.wait, RETRY):
                return
        config = uvicorn.Config(
            self._application.asgi(),
            timeout_graceful_shutdown=round(STOP_SECONDS),
            access_log=False,  # the path is a secret
            log_config=None,
            server_header=False,
            lifespan="off",
            ws="none",
        )
        config.load()
        config.ssl = context
        self._server = uvicorn.Server(config)  # in a thread: signals are the process's own
        keeping_up = asyncio.create_task(self._keep_up(context))
        try:
            if not self._stopping.is_set():
                await self._server.serve(sockets=[self._bound])
        finally:
            self._stopping.set()
            await keeping_up
            self._application.close()

    async def _keep_up(self, context: ssl.SSLContext) -> None:
        """Tell the API server, and renew the certificate, for connections from then on."""
        while True:
            is_told = await asyncio.to_thread(self._tell)
            if await asyncio.to_thread(self._stopping.wait, LOOK if is_told else RETRY):
                return
            await asyncio.to_thread(self._renew, context)

    def _renew(self, context: ssl.SSLContext) -> bool:
        try:
            load(context, self._credentials.renew())
        except (cluster.ClusterError, OSError) as error:
            logger.warning("the webhooks' certificate cannot be made or renewed now: %s", error)
            return False
        return True

    def _tell(self) -> bool:
        try:
            self._credentials.tell()
        except cluster.ClusterError as error:
            logger.warning("the API server cannot be told how to ask the webhooks: %s", error)
            return False
        return True


def load(context: ssl.SSLContext, pair: Pair) -> None:
    """Take a certificate into use, through a file that only we can read and that is gone at once: SSL takes no other.

    Raises:
        OSError: It cannot be written or used.
    """
    with tempfile.NamedTemporaryFile(prefix="webhooks-", suffix=".pem") as file:
        file.write(pair.key + pair.certificate)
        file.flush()
        context.load_cert_chain(file.name)


def _webhooks(settings: Settings, api: Kubernetes) -> dict[str, Webhook]:
    late = Answer(denied=LATE)
    injecting, warnings = Injecting(api, settings), Warnings(api, settings.default_access)
    return {
        names.WEBHOOK_INJECT: Webhook(judge=injecting, seconds=INJECT_SECONDS, late=late, threads=8),
        names.WEBHOOK_KEEP: Webhook(judge=keeping, seconds=INJECT_SECONDS, late=late, threads=1),
        names.WEBHOOK_WARN: Webhook(judge=warnings, seconds=WARN_SECONDS, late=Answer(), threads=4),
    }


def _now() -> datetime:
    return datetime.now(UTC)
