"""``python benchmarks/toolman``: what toolman costs, and what uvicorn alone costs in the same minute."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import uvloop

HERE = Path(__file__).parent
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%b","arguments":{"text":"hello"}}}'
LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
INITIALIZE = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}'


class Connection(asyncio.Protocol):
    """One keep-alive connection that sends the next request as soon as an answer is complete."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.session = b""

    async def open(self) -> Connection:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: self, "127.0.0.1", self.port)
        return self

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is no other kind
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += len(data)
        if self.expected == 0:
            self.head += data
            head, found, _ = self.head.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 200"), head
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.expected = len(head) + 4 + int(length)
            self.got = len(self.head)
        if self.got >= self.expected:
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc:
            raise exc

    async def ask(self, body: bytes) -> None:
        self.head, self.got, self.expected = b"", 0, 0
        self.answered = asyncio.get_running_loop().create_future()
        self.transport.write(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\n%bContent-Length: %d\r\n\r\n%b"
            % (self.session, len(body), body)
        )
        await self.answered

    async def initialize(self) -> Connection:
        await self.ask(INITIALIZE)
        identifier = self.head.lower().partition(b"mcp-session-id: ")[2].partition(b"\r\n")[0]
        start = self.head.lower().index(identifier)
        self.session = b"Mcp-Session-Id: " + self.head[start : start + len(identifier)] + b"\r\n"
        return self


class Process:
    """A server under test."""

    def __init__(self, *command: str, **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.started = time.perf_counter()
        self.child = subprocess.Popen(
            [part.replace("PORT", str(self.port)) for part in command],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def ready(self) -> Connection:
        while True:
            try:
                return await (await Connection(self.port).open()).initialize()
            except OSError:
                await asyncio.sleep(0.002)

    @property
    def resident(self) -> float:
        return int(Path(f"/proc/{self.child.pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024

    @property
    def processor(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(20)


async def throughput(process: Process, connections: int, calls: int) -> tuple[float, float]:
    """Give calls a second and microseconds of processor time a call."""
    opened = [await (await Connection(process.port).open()).initialize() for _ in range(connections)]
    body = CALL % b"echo"

    async def work(connection: Connection) -> None:
        for _ in range(calls // connections):
            await connection.ask(body)

    processor, start = process.processor, time.perf_counter()
    await asyncio.gather(*map(work, opened))
    seconds = time.perf_counter() - start
    for connection in opened:
        connection.transport.close()
    return calls / seconds, (process.processor - processor) / calls * 1e6


async def median(connection: Connection, body: bytes, times: int) -> float:
    """Give the median of milliseconds for one request at a time."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        await connection.ask(body)
        found.append(time.perf_counter() - start)
    return statistics.median(found) * 1000


async def session(port: int, times: int) -> float:
    """Give the milliseconds a new session costs."""
    connection = await Connection(port).open()
    start = time.perf_counter()
    for _ in range(times):
        await connection.ask(INITIALIZE)
    return (time.perf_counter() - start) / times * 1000


def toolman(**environment: str) -> Process:
    upstream = (sys.executable, str(HERE / "upstream.py"))
    return Process(
        sys.executable, "-m", "toolman", "run", "--port", "PORT", "--allow", "*", "--", *upstream, **environment
    )


async def measure(calls: int) -> None:
    process = toolman(TOOLS="2")
    connection = await process.ready()
    await connection.ask(LIST)
    print(f"start to first list     {(time.perf_counter() - process.started) * 1000:8.0f} ms")
    await asyncio.sleep(1)
    print(f"resident, idle          {process.resident:8.1f} MB")
    print(f"p50, one connection     {await median(connection, CALL % b'echo', 3000):8.3f} ms")
    rate, cost = await throughput(process, 16, calls)
    print(f"16 connections          {rate:8.0f} calls/s {cost:6.1f} us of processor a call")
    print(f"resident after them     {process.resident:8.1f} MB")
    print(f"10 MiB result           {await median(connection, CALL % b'big', 10):8.1f} ms")
    print(f"resident after them     {process.resident:8.1f} MB")
    print(f"a session               {await session(process.port, 3000):8.3f} ms")
    print(f"resident after 3000     {process.resident:8.1f} MB")
    process.end()
    process = toolman(TOOLS="1000")
    connection = await process.ready()
    await connection.ask(LIST)
    print(f"list of 1000 tools      {await median(connection, LIST, 200):8.3f} ms")
    process.end()
    process = Process(sys.executable, str(HERE / "ceiling.py"), "PORT")
    connection = await process.ready()
    print(f"uvicorn alone: p50      {await median(connection, CALL % b'echo', 3000):8.3f} ms")
    rate, cost = await throughput(process, 16, calls)
    print(f"uvicorn alone: 16       {rate:8.0f} calls/s {cost:6.1f} us of processor a call")
    process.end()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure(parser.parse_args().calls))
