"""Size and speed of mcp-wrapper, as ratios taken in the same minute. Standard library only.

usage: python benchmarks/wrapper/bench.py [--python PYTHON] [--rounds N] [-- COMMAND...]

PYTHON runs the wrapper (default: /usr/bin/python3 if there, it is smaller than most builds). COMMAND is another bridge
to measure instead, with {url} where the server's URL belongs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from multiprocessing import Process, Queue
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "mcp_wrapper" / "src" / "mcp_wrapper"
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
IN_FLIGHT = 16


class Upstream(asyncio.Protocol):
    """The least HTTP server that answers like an MCP server: what it costs is not what is measured."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            mark = head.find(b"content-length:")
            length = int(head[mark + 15 :].split(b"\r\n")[0]) if mark >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.transport.write(answer(head, body))


def answer(head: bytes, body: bytes) -> bytes:
    if head.startswith(b"get"):
        return b"HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n"
    if head.startswith(b"delete"):
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    message = json.loads(body)
    if "id" not in message:
        return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    result: object = {"content": [{"type": "text", "text": "hello"}]}
    extra = b""
    if message["method"] == "initialize":
        result, extra = {"protocolVersion": "2025-06-18", "capabilities": {}}, b"Mcp-Session-Id: bench\r\n"
    text = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (
        extra,
        len(text),
        text,
    )


def serve(ports: Queue[int]) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
        ports.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class Bridge:
    """The bridge under test as a child, spoken to in plain blocking calls."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.write, self.reader = self.process.stdin.write, open(self.process.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115

    def ask(self, identity: int, method: str, params: object) -> bytes:
        self.write(request(identity, method, params))
        return self.reader.readline()

    def open(self) -> None:
        self.ask(0, "initialize", INITIALIZE)
        self.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        self.ask(1, "tools/call", {"name": "x", "arguments": {}})

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def request(identity: int, method: str, params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": identity, "method": method, "params": params}).encode() + b"\n"


def first_answer(command: list[str]) -> float:
    began = time.perf_counter()
    bridge = Bridge(command)
    bridge.ask(0, "initialize", INITIALIZE)
    took = time.perf_counter() - began
    bridge.close()
    return took


def bare(python: str) -> float:
    began = time.perf_counter()
    subprocess.run([python, "-I", "-S", "-c", "pass"], check=True)
    return time.perf_counter() - began


def memory(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def direct(port: int, calls: int) -> list[float]:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times = []
    for identity in range(calls):
        body = request(identity, "tools/call", {"name": "x", "arguments": {}})
        began = time.perf_counter()
        connection.sendall(b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        connection.recv(65536)
        times.append(time.perf_counter() - began)
    connection.close()
    return times


def bridged(bridge: Bridge, calls: int) -> list[float]:
    times = []
    for identity in range(2, 2 + calls):
        began = time.perf_counter()
        bridge.ask(identity, "tools/call", {"name": "x", "arguments": {}})
        times.append(time.perf_counter() - began)
    return times


def pipelined(bridge: Bridge, calls: int) -> float:
    began = time.perf_counter()
    for identity in range(IN_FLIGHT):
        bridge.write(request(identity, "tools/call", {"name": "x", "arguments": {}}))
    for identity in range(IN_FLIGHT, calls + IN_FLIGHT):
        bridge.reader.readline()
        if identity < calls:
            bridge.write(request(identity, "tools/call", {"name": "x", "arguments": {}}))
    return calls / (time.perf_counter() - began)


def measure(command: list[str], python: str, port: int, rounds: int) -> None:
    starts, bares, direct_p50, bridged_p50, rates = [], [], [], [], []
    bridge = Bridge(command)
    bridge.open()
    idle = memory(bridge.process.pid)
    for _ in range(rounds):
        bares.append(bare(python))
        starts.append(first_answer(command))
        direct_p50.append(statistics.median(direct(port, 1000)))
        bridged_p50.append(statistics.median(bridged(bridge, 1000)))
        rates.append(pipelined(bridge, 5000))
    after = memory(bridge.process.pid)
    bridge.close()
    start, floor = statistics.median(starts) * 1e3, statistics.median(bares) * 1e3
    through, straight = statistics.median(bridged_p50) * 1e3, statistics.median(direct_p50) * 1e3
    print(f"private dirty, idle session     {idle['Private_Dirty']} kB (RSS {idle['Rss']} kB)")
    print(f"  after {rounds * 6000} calls, {IN_FLIGHT} at a time  {after['Private_Dirty']} kB (RSS {after['Rss']} kB)")
    print(f"first answer                    {start:.0f} ms = {start / floor:.1f} x bare python ({floor:.0f} ms)")
    print(f"a call, p50                     {through:.3f} ms = {through / straight:.1f} x direct ({straight:.3f} ms)")
    print(f"calls/s, {IN_FLIGHT} in flight           {statistics.median(rates):.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", default="/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("command", nargs="*")
    options = parser.parse_args()
    ports: Queue[int] = Queue()
    server = Process(target=serve, args=(ports,), daemon=True)
    server.start()
    try:
        port = ports.get(timeout=10)
        url = f"http://localhost:{port}/mcp"
        command = [word.replace("{url}", url) for word in options.command]
        measure(
            command or [options.python, "-I", "-S", str(SOURCE), "--url", url], options.python, port, options.rounds
        )
    finally:
        server.terminate()
        server.join(10)


if __name__ == "__main__":
    main()
