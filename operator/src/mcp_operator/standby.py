"""Answers the kubelet while the operator waits for its Lease: standing by is healthy. kopf answers after that."""

from __future__ import annotations

import contextlib
import http.server
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = 5
    """Seconds for a request to arrive."""

    def do_GET(self) -> None:
        self.send_response(http.HTTPStatus.OK)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Probes are not news."""


@contextlib.contextmanager
def answering(host: str, port: int) -> Iterator[int]:
    """Answer every GET with 200 while the block runs; give the port."""
    server = http.server.ThreadingHTTPServer((host, port), _Handler)
    thread = threading.Thread(target=server.serve_forever, name="standby", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
