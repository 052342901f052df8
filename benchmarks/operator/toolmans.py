"""The toolmans of all agents: whoever asks one gets the same report, whichever Pod of :mod:`simulated` he asks."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socketserver
import threading
from typing import TYPE_CHECKING

from mcp_operator import names

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = [
    {"server": "x", "kind": "tools", "name": name, "exposed": name, "allowed": True, "reason": "", "pin": "same"}
    for name in ("read", "write")
]
REPORT = json.dumps({"version": "1", "servers": [{"name": "x", "running": True}], "entries": ENTRIES}).encode()


class Toolman(socketserver.StreamRequestHandler):
    """Answers one question."""

    def handle(self) -> None:
        """See :class:`socketserver.StreamRequestHandler`."""
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + REPORT)


class Toolmans(socketserver.ThreadingTCPServer):
    """All of them."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def verify_request(self, _: object, client_address: tuple[str, int]) -> bool:
        """Answer this machine only: Pods have many addresses of it, and only all of them can be listened on at once."""
        return ipaddress.ip_address(client_address[0]).is_loopback


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Answer while the block runs."""
    with Toolmans(("", names.ADMIN_PORT), Toolman) as server:
        threading.Thread(target=server.serve_forever, name="toolmans", daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
