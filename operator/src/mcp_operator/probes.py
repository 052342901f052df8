"""Answers the kubelet and Prometheus on one port: ``/healthz``, ``/readyz`` and ``/metrics``.

Standing by without the Lease is both healthy and ready: an update must be able to go on. ``/healthz`` fails for what
only a restart mends, never for an API server that is down; ``/readyz`` says whether the work is being done.
"""

from __future__ import annotations

import contextlib
import http.server
import logging
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from mcp_operator import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mcp_operator.metrics import Metrics

TEXT: Final = "text/plain; charset=utf-8"
REQUEST_SECONDS: Final = 5
"""For a request to arrive."""

logger = logging.getLogger(__name__)


class Probes:
    """What is asked, and what is answered.

    Args:
        shown: The metrics.
    """

    def __init__(self, shown: Metrics) -> None:
        self._metrics = shown
        self._alive: list[Callable[[], str]] = []
        self._ready: list[Callable[[], str]] = []
        self._told: list[str] = []

    def alive_while(self, check: Callable[[], str]) -> None:
        """Be healthy only while ``check`` says nothing; otherwise it says what is wrong."""
        self._alive.append(check)

    def ready_while(self, check: Callable[[], str]) -> None:
        """Be ready only while ``check`` says nothing."""
        self._ready.append(check)

    def answer(self, path: str) -> tuple[HTTPStatus, str, str]:
        """Give status, media type and text."""
        if path == "/metrics":
            return HTTPStatus.OK, metrics.CONTENT_TYPE, self._metrics.text()
        checks = {"/healthz": self._alive, "/readyz": [*self._alive, *self._ready]}.get(path)
        if checks is None:
            return HTTPStatus.NOT_FOUND, TEXT, "there is /healthz, /readyz and /metrics\n"
        problems = [problem for check in checks if (problem := check())]
        if path == "/healthz":
            self._tell(problems)
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        return status, TEXT, "".join(f"{problem}\n" for problem in problems) or "ok\n"

    def _tell(self, problems: Sequence[str]) -> None:
        """Log what the kubelet is told, once: it ends the process for that and tells nobody why."""
        if problems and list(problems) != self._told:
            logger.critical("not healthy, to be started again: %s", "; ".join(problems))
        self._told = list(problems)


@contextlib.contextmanager
def answering(host: str, port: int, probes: Probes) -> Iterator[int]:
    """Answer while the block runs; give the port.

    Raises:
        OSError: Nothing can listen there.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS

        def do_GET(self) -> None:
            status, media_type, text = probes.answer(self.path.partition("?")[0])
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Probes are not news."""

    server = http.server.ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
