"""The least HTTP server that answers like an MCP server: what it costs is not what is measured."""

from __future__ import annotations

import asyncio
import json
from multiprocessing import Process, Queue

BIG = {"mib1": 2**20, "mib10": 10 * 2**20}
"""Names of tools with big results, and how big."""
EMPTY = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n"
TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "hold", *BIG)]
INITIALIZED = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "upstream", "version": "1"},
}


def _texts() -> dict[str, bytes]:
    sizes = {"echo": 5, "hold": 5, **BIG}
    return {
        name: json.dumps({"content": [{"type": "text", "text": "x" * size}]}).encode() for name, size in sizes.items()
    }


class Connection(asyncio.Protocol):
    """One connection. What calls ``hold`` is answered when somebody POSTs to ``/release``."""

    results = _texts()
    held: list[tuple[asyncio.Transport, bytes]] = []  # noqa: RUF012 - of all connections

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            mark = head.lower().find(b"content-length:")
            length = int(head[mark + 15 :].split(b"\r\n")[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        verb, target, _ = head.split(b" ", 2)
        if target == b"/held":
            self.transport.write(_response(b"%d" % len(self.held)))
        elif target == b"/release":
            while self.held:
                transport, response = self.held.pop()
                transport.write(response)
            self.transport.write(EMPTY % b"200 OK")
        elif verb != b"POST":
            self.transport.write(EMPTY % (b"200 OK" if verb == b"DELETE" else b"405 X"))
        else:
            self.message(json.loads(body))

    def message(self, message: dict[str, object]) -> None:
        if "id" not in message or "method" not in message:
            self.transport.write(EMPTY % b"202 Accepted")
            return
        identity, params = json.dumps(message["id"]).encode(), message.get("params")
        name = params.get("name") if isinstance(params, dict) else None
        if message["method"] == "tools/call" and name in self.results:
            response = _response(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identity, self.results[name]))
            if name == "hold":
                self.held.append((self.transport, response))
                return
        elif message["method"] == "initialize":
            response = _response(_result(identity, INITIALIZED), b"Mcp-Session-Id: bench\r\n")
        elif message["method"] in {"tools/list", "ping"}:
            response = _response(_result(identity, {"tools": TOOLS} if message["method"] == "tools/list" else {}))
        else:
            error = b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"Method not found"}}'
            response = _response(error % identity)
        self.transport.write(response)


def _result(identity: bytes, result: object) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (identity, json.dumps(result).encode())


def _response(body: bytes, extra: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n" % (extra, len(body))
    return head + body


def _serve(ports: Queue[int]) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def start() -> tuple[Process, int]:
    """Start it in a process of its own; give that and the port."""
    ports: Queue[int] = Queue()
    server = Process(target=_serve, args=(ports,), daemon=True)
    server.start()
    return server, ports.get(timeout=10)
