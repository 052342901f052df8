"""An MCP server of Python's standard library: gives back what it is given, over stdio or, with ``--http``, at /mcp."""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
import time
import uuid
from typing import Any

INSTANCE = uuid.uuid4().hex[:8]
"""Tells this process from all others."""
TOOLS = [
    {
        "name": "echo",
        "description": "Give a number back",
        "inputSchema": {"type": "object", "properties": {"number": {"type": "integer"}, "seconds": {"type": "number"}}},
    },
    {"name": "spare", "description": "Be there, for policies to deny", "inputSchema": {"type": "object"}},
]


def answer(asked: dict[str, Any]) -> bytes:
    """Answer a request; nothing for a notification."""
    if "id" not in asked:
        return b""
    if asked["method"] == "tools/call":
        given = asked["params"]["arguments"]
        time.sleep(given["seconds"])
        said = json.dumps({"number": given["number"], "instance": INSTANCE})
        result: dict[str, Any] = {"content": [{"type": "text", "text": said}]}
    elif asked["method"] == "initialize":
        info = {"name": "echo", "version": "1"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
    elif asked["method"] == "tools/list":
        result = {"tools": TOOLS}
    elif asked["method"] == "ping":
        result = {}
    else:
        error = {"code": -32601, "message": "Method not found"}
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}).encode()
    return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()


class Web(http.server.BaseHTTPRequestHandler):
    """Streamable HTTP without sessions and without streams."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Take a message."""
        body = answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200 if body else 202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Have no stream."""
        self.send_error(405)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def stdio() -> None:
    """Serve on stdin and stdout, each call in a thread of its own."""
    writing = threading.Lock()

    def serve(line: str) -> None:
        said = answer(json.loads(line))
        if said:
            with writing:
                sys.stdout.buffer.write(said + b"\n")
                sys.stdout.buffer.flush()

    for line in sys.stdin:
        threading.Thread(target=serve, args=(line,), daemon=True).start()


def web() -> None:
    """Serve HTTP where the environment says."""
    place = (os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080")))
    server = http.server.ThreadingHTTPServer(place, Web)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # process 1 of a container has no default for it
    web() if "--http" in sys.argv else stdio()
