"""One round: a proxy is started, measured in every way, and ended."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from processes import Tree
from proxies import Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxies import Proxy

Figures = dict[str, float]
CALLS = 20_000
SESSIONS = 10_000
LONG_LIST = 1_000
MEBIBYTE = 1 << 20
START_SECONDS = 30
STEP_SECONDS = 30
"""A step begins nothing new after so long; a slow proxy then has done fewer calls, which the table says."""
ALONE_SECONDS = 4
"""For the calls over a single connection."""
SETTLE_SECONDS = 1.0
"""After the start, until the memory of an idle proxy is looked at."""


class StepError(Exception):
    """A proxy could not do what was asked of it; the text says what it answered."""


@dataclass(frozen=True)
class Bench:
    """What is needed to measure.

    Attributes:
        load: The compiled program that is client and upstream.
        quick: Does little, to see that everything works.
    """

    load: Path
    quick: bool = False

    def measure(self, proxy: Proxy) -> tuple[Figures, list[str]]:
        """Measure everything once; give the figures, and what went wrong: steps behind that have no figures."""
        figures: Figures = {}
        problems: list[str] = []
        for part in (self._calls, self._long_list, self._sessions):
            try:
                part(proxy, figures)
            except StepError as error:
                problems.append(str(error))
            if "idle MiB" not in figures:  # it does not even start
                break
        return figures, problems

    def _less(self, count: int) -> int:
        return max(2, count // 20) if self.quick else count

    def _calls(self, proxy: Proxy, figures: Figures) -> None:
        before = time.time_ns()
        with self._running(proxy) as (tree, url):
            figures["start ms"] = (self._client("first", url, limit=START_SECONDS)["at"] - before) / 1e6
            time.sleep(SETTLE_SECONDS)
            figures["idle MiB"] = tree.resident()
            alone = self._client("calls", url, calls=self._less(3000), limit=ALONE_SECONDS)
            figures |= {"p50 ms at 1": alone["p50"], "p99 ms at 1": alone["p99"]}
            processor = tree.processor()
            many = self._client("calls", url, calls=self._less(CALLS), connections=16)
            figures["CPU us"] = (tree.processor() - processor) / many["calls"] * 1e6
            figures["calls/s"] = many["calls"] / many["seconds"]
            figures |= {"p50 ms at 16": many["p50"], "p99 ms at 16": many["p99"], "calls": many["calls"]}
            figures["MiB after calls"] = tree.resident()
            figures["1 MiB ms"] = self._client("big", url, bytes=MEBIBYTE, times=self._less(40))["p50"]
            figures["10 MiB ms"] = self._client("big", url, bytes=10 * MEBIBYTE, times=self._less(10))["p50"]
            figures["MiB after 10 MiB"] = tree.resident()

    def _long_list(self, proxy: Proxy, figures: Figures) -> None:
        with self._running(proxy, tools=LONG_LIST) as (_, url):
            self._client("first", url, limit=START_SECONDS)
            figures["list ms"] = self._client("list", url, times=self._less(100))["p50"]

    def _sessions(self, proxy: Proxy, figures: Figures) -> None:
        with self._running(proxy) as (tree, url):
            self._client("first", url, limit=START_SECONDS)
            time.sleep(SETTLE_SECONDS)
            before = tree.resident()
            done = self._client("sessions", url, count=self._less(SESSIONS))
            figures |= {"session ms": done["seconds"] / done["calls"] * 1000, "sessions": done["calls"]}
            figures["MiB of sessions"] = tree.resident() - before

    def _client(self, verb: str, url: str, *, limit: int = STEP_SECONDS, **flags: int) -> dict[str, Any]:
        options = [word for name, value in flags.items() for word in (f"-{name}", str(value))]
        command = [str(self.load), verb, "-url", url, "-limit", f"{limit}s", *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=2 * limit + 60, check=False)
        except subprocess.TimeoutExpired:
            raise StepError(f"{verb}: no end") from None
        if done.returncode != 0:
            raise StepError(f"{verb} {' '.join(options)}: {done.stderr.strip()[:200]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @contextmanager
    def _running(self, proxy: Proxy, tools: int = 2) -> Iterator[tuple[Tree, str]]:
        """Run a proxy with an upstream of its own."""
        port, behind = _free_port(), _free_port()
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            log = Path(folder) / "log"
            upstream = Upstream(command=(str(self.load), "stdio", "-tools", str(tools)))
            if proxy.over_http:
                command = [str(self.load), "http", "-port", str(behind), "-tools", str(tools)]
                server = Tree(command, log, self.load)
                stack.callback(server.end)
                upstream = Upstream(url=f"http://127.0.0.1:{behind}/mcp")
                self._client("first", upstream.url)  # some proxies give up an upstream that is not there yet
            start = proxy.start(upstream, port, Path(folder))
            is_upstream = start.command[0] == str(self.load)
            tree = Tree(start.command, log, Path() if is_upstream else self.load)
            stack.callback(tree.end)
            yield tree, f"http://127.0.0.1:{port}{start.path}"


def medians(rounds: list[Figures]) -> Figures:
    """Give the median of every figure that any round has."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: statistics.median(figures[name] for figures in rounds if name in figures) for name in names}


def _free_port() -> int:
    """Give a port that nobody has; the next one is free, too, as far as one can know."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
