"""A server that behaves as its first argument says: run inside a container, with Python's standard library alone."""

from __future__ import annotations

import http.server
import json
import os
import queue
import socket
import sys
import threading
import time
from typing import Any

MOOD = sys.argv[1] if len(sys.argv) > 1 else "legacy"
TOOLS = [
    {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}},
    {"name": "touch", "description": "Touches.", "inputSchema": {"type": "object"}},
]
MODERN = "2026-07-28"
eras: list[str] = []


def answer(message: dict[str, Any]) -> dict[str, Any] | None:
    """Answer a request as the mood has it; nothing for a notification."""
    if "id" not in message:
        return None
    method, modern = message["method"], "_meta" in message.get("params", {})
    eras.append("modern" if modern else "legacy")
    era = eras[0]
    error = None
    if "modern" in MOOD and not modern:
        error = {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": [MODERN]}}
    elif "modern" not in MOOD and "both" not in MOOD and modern:
        error = {"code": -32601, "message": "Method not found"}
    elif MOOD == "late" and method == "tools/list" and "LATE_API_TOKEN" not in os.environ:
        error = {"code": -32603, "message": "no token"}
    elif "locked" in MOOD and era == "legacy" and method == "tools/list":
        error = {"code": -32603, "message": "Internal error"}
    elif "locked" in MOOD and modern and era == "legacy":
        error = {"code": -32600, "message": "this process has spoken the other era"}
    if error:
        return {"jsonrpc": "2.0", "id": message["id"], "error": error}
    info = {"name": "moody", "version": MOOD}
    results = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info},
        "server/discover": {
            "resultType": "complete",
            "supportedVersions": [MODERN],
            "capabilities": {"tools": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": info},
        },
        "tools/list": {"tools": [] if "empty" in MOOD else TOOLS},
    }
    return {"jsonrpc": "2.0", "id": message["id"], "result": results[method]}


def choose() -> None:
    """Refuse to start without one of two variables, and with both."""
    given = [name for name in ("FIRST_API_KEY", "SECOND_API_KEY") if name in os.environ]
    if not given:
        sys.exit("FIRST_API_KEY or SECOND_API_KEY is not set")
    if len(given) > 1:
        sys.exit("FIRST_API_KEY and SECOND_API_KEY cannot be set at the same time")


def stdio() -> None:
    """Serve on stdin and stdout."""
    for line in sys.stdin:
        reply = answer(json.loads(line))
        if MOOD == "gives-up" and eras:
            print("one line for people\n" + json.dumps(reply), flush=True)
            sys.exit(3)
        if reply:
            print(json.dumps(reply), flush=True)


class Web(http.server.BaseHTTPRequestHandler):
    """Streamable HTTP at /custom/mcp, the older transport at /sse and /messages."""

    protocol_version = "HTTP/1.1"
    outbox: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def do_POST(self) -> None:
        """Take a message."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        place = "/messages" if "sse" in MOOD else "/custom/mcp"
        if "nowhere" in MOOD or self.path.partition("?")[0] != place:
            self.reply(404, b"not found")
        elif "guarded" in MOOD:
            self.reply(401, b"who are you?")
        elif "sse" in MOOD:
            self.outbox.put(answer(json.loads(body)))
            self.reply(202, b"")
        else:
            reply = answer(json.loads(body))
            self.reply(200 if reply else 202, json.dumps(reply).encode() if reply else b"", "application/json")

    def do_GET(self) -> None:
        """Give the stream of events of the older transport."""
        if "sse" not in MOOD or self.path != "/sse":
            self.reply(405, b"")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"event: endpoint\r\ndata: /messages?session=1\r\n\r\n")
        while True:
            reply = self.outbox.get()
            if reply:
                self.wfile.write(b"event: message\r\ndata: " + json.dumps(reply).encode() + b"\r\n\r\n")

    def reply(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        """Answer with a whole body."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Everywhere(http.server.ThreadingHTTPServer):
    """Listens on all addresses of both families, as Node does."""

    address_family = socket.AF_INET6


def web() -> None:
    """Serve HTTP, on the loopback address only unless the mood says otherwise."""
    everywhere = "everywhere" in MOOD
    server = Everywhere(("::", 3333), Web) if everywhere else http.server.ThreadingHTTPServer(("127.0.0.1", 3333), Web)
    if "mute" not in MOOD:
        print("Ready: http://localhost:3333/custom/mcp", file=sys.stderr, flush=True)
    server.serve_forever()


def demand() -> None:
    """End unless what is needed is there."""
    if "env" in MOOD:
        for name in ("FIRST_API_KEY", "SECOND_BASE_URL"):
            if name not in os.environ:
                sys.exit(f"Error: {name} environment variable is required")
    if "flag" in MOOD and "--database-path" not in sys.argv:
        print("usage: moody [-h] --database-path PATH", file=sys.stderr)
        sys.exit("moody: error: the following arguments are required: --database-path")
    if "network" in MOOD and len(socket.if_nameindex()) < 2:
        sys.exit("Error: getaddrinfo ENOTFOUND api.example.com")
    if "hinted" in MOOD and os.environ.get("MOODY_SECRET_WORD") is None:
        sys.exit("I will not say why")
    if "crash" in MOOD:
        sys.exit("Traceback: it is broken; password=hunter22")
    if "greedy" in MOOD:
        waste = [bytearray(1 << 26) for _ in range(64)]
        sys.exit(len(waste))
    if "forks" in MOOD:
        fork_until_refused()


def fork_until_refused() -> None:
    """Start processes until there may be no more."""
    made = 0
    try:
        while made < 5000:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            made += 1
    except OSError as error:
        sys.exit(f"made {made} processes: {error.strerror}")


demand()
if "choosy" in MOOD:
    choose()
if "hangs" in MOOD:
    threading.Event().wait()
web() if "http" in MOOD else stdio()
