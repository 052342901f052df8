"""``python benchmarks/wrapper``: mcp-wrapper and other bridges from stdio to HTTP, side by side in the same minutes."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers
import table
import upstream
from bridge import Bridge, BridgeError, call

SOURCE = Path(__file__).parents[2] / "mcp_wrapper" / "src" / "mcp_wrapper"
IN_FLIGHT = 16
SETTLE_SECONDS = 0.5
"""Before memory is read: what a process still does after its first answer is not idle."""
HELD_SECONDS = 30.0
STARTS = 3
"""In a round, each beside bare Python's: on a busy machine neighbours differ less than rounds."""


class Budget:
    """So many calls, but no longer than a few seconds: the slowest bridge is a thousand times slower than the best."""

    def __init__(self, calls: int, seconds: float) -> None:
        self.left, self.until = calls, time.perf_counter() + seconds

    def more(self) -> bool:
        """Take one call from it; tell whether there was one."""
        self.left -= 1
        return self.left >= 0 and time.perf_counter() < self.until


def http(port: int, body: bytes = b"", target: str = "/mcp") -> bytes:
    """Ask the server itself, over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (target.encode(), len(body), body))
        return connection.recv(65536).partition(b"\r\n\r\n")[2]


def direct(port: int) -> list[float]:
    """Time calls over HTTP without any bridge."""
    times: list[float] = []
    budget = Budget(1000, 2)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while budget.more():
            body = call(len(times))
            began = time.perf_counter()
            connection.sendall(b"POST /mcp HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            connection.recv(65536)
            times.append(time.perf_counter() - began)
    return times


def bare(python: str) -> float:
    """Time the start of an interpreter that does nothing."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([python, "-I", "-S", "-c", "pass"], check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def latencies(bridge: Bridge) -> list[float]:
    """Time calls one after the other."""
    times, budget = [], Budget(1000, 3)
    while budget.more():
        began = time.perf_counter()
        bridge.ask()
        times.append(time.perf_counter() - began)
    return times


def held(bridge: Bridge, port: int) -> tuple[float, float]:
    """Give the memory while calls are in flight that the server does not answer."""
    for _ in range(IN_FLIGHT):
        bridge.send(call(bridge.next(), "hold"))
    until = time.monotonic() + HELD_SECONDS
    while int(http(port, target="/held")) < IN_FLIGHT and time.monotonic() < until:
        time.sleep(0.02)
    arrived = int(http(port, target="/held"))
    memory = bridge.memory()
    while int(http(port, target="/held")):
        http(port, target="/release")
    if arrived < IN_FLIGHT:
        raise BridgeError(f"only {arrived} of {IN_FLIGHT} calls were forwarded at the same time")
    for _ in range(IN_FLIGHT):
        bridge.answer()
    return memory


def rate(bridge: Bridge) -> float:
    """Give calls a second with a bounded number in flight."""
    budget, answered, waiting = Budget(10_000, 3), 0, 0
    began = time.perf_counter()
    while (more := budget.more()) or waiting:
        if more:
            bridge.send(call(bridge.next()))
            waiting += 1
        if waiting == IN_FLIGHT or not more:
            bridge.answer()
            waiting, answered = waiting - 1, answered + 1
    return answered / (time.perf_counter() - began)


def big(bridge: Bridge, tool: str, times: int) -> float:
    """Give the milliseconds of a big result."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        line = bridge.ask(tool)
        found.append(time.perf_counter() - began)
        if len(line) < upstream.BIG[tool]:
            raise BridgeError(f"{len(line)} bytes in place of {upstream.BIG[tool]}")
    return statistics.median(found) * 1e3


def quantiles(times: list[float]) -> tuple[float, float]:
    """Give p50 and p99 in milliseconds."""
    ordered = sorted(times)
    return ordered[len(ordered) // 2] * 1e3, ordered[len(ordered) * 99 // 100] * 1e3


def opened(command: list[str], environ: dict[str, str]) -> tuple[Bridge, float]:
    """Start a bridge; give it with the seconds until it had forwarded a call."""
    began = time.perf_counter()
    bridge = Bridge(command, environ)
    try:
        bridge.open()
    except BridgeError:
        bridge.close()
        raise
    return bridge, time.perf_counter() - began


def starts(command: list[str], environ: dict[str, str], python: str) -> dict[str, float]:
    """Time some starts."""
    times, ratios = [], []
    for _ in range(STARTS):
        floor = bare(python)
        bridge, seconds = opened(command, environ)
        bridge.close()
        times.append(seconds * 1e3)
        ratios.append(seconds / floor)
    return {"first": statistics.median(times), "first ratio": statistics.median(ratios)}


def measure(command: list[str], environ: dict[str, str], port: int, python: str) -> dict[str, float]:
    """Do one round with one bridge. What comes after a failure is missing from the figures."""
    figures: dict[str, float] = {}
    try:
        figures |= starts(command, environ, python)
        p50, p99 = quantiles(direct(port))
        bridge, _ = opened(command, environ)
    except BridgeError as error:
        print(f"  {shlex.join(command)[:120]}: {error}", file=sys.stderr)
        return figures
    try:
        time.sleep(SETTLE_SECONDS)
        figures["dirty idle"], figures["resident idle"] = bridge.memory()
        through = quantiles(latencies(bridge))
        figures["p50 added"], figures["p99 added"] = through[0] - p50, through[1] - p99
        figures["dirty held"], _ = held(bridge, port)
        figures["rate"] = rate(bridge)
        figures["dirty after"], figures["resident after"] = bridge.memory()
        figures["mib1"] = big(bridge, "mib1", 9)
        figures["mib10"] = big(bridge, "mib10", 5)
    except BridgeError as error:
        print(f"  {shlex.join(command)[:120]}: {error}", file=sys.stderr)
    finally:
        bridge.close()
    return figures


def commands(options: argparse.Namespace, url: str) -> dict[str, list[str]]:
    """Give the bridges to measure, by the name of their column."""
    found = {"mcp-wrapper": [options.python, "-I", "-S", str(SOURCE), "--url", url]}
    for text in options.also:
        name, _, words = text.partition("=")
        found[name] = [word.replace("{url}", url) for word in shlex.split(words)]
    wanted = peers.NAMES if options.peers == "all" else [name for name in options.peers.split(",") if name]
    return found | {name: peers.command(name, url) for name in wanted}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python benchmarks/wrapper", description=__doc__)
    system = "/usr/bin/python3"
    default = system if os.access(system, os.X_OK) else sys.executable
    parser.add_argument("--python", default=default, help="runs this checkout's wrapper (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="all", help=f"some of {', '.join(peers.NAMES)}; '' for none")
    parser.add_argument("--also", action="append", default=[], metavar="NAME=COMMAND", help="with {url} in it")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    return parser.parse_args()


def main() -> None:
    """Measure all bridges in turn, as often as there are rounds, and print the table."""
    options = parse()
    server, port = upstream.start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.join, 10)
        stack.callback(server.terminate)
        home = stack.enter_context(tempfile.TemporaryDirectory())
        environ = {"PATH": os.environ["PATH"], "HOME": home}  # peers keep files there
        found: dict[str, list[dict[str, float]]] = {}
        bridges = commands(options, f"http://127.0.0.1:{port}/mcp")
        for number in range(options.rounds):
            for name, command in bridges.items():
                print(f"round {number + 1}: {name}", file=sys.stderr)
                found.setdefault(name, []).append(measure(command, environ, port, options.python))
    version = subprocess.run([options.python, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    text = f"{table.machine(options.rounds, version)}\n{table.table(found)}"
    print(text)
    if options.readme:
        table.write(text)


if __name__ == "__main__":
    main()
