"""A way from the suite to the fixture: directly, or through a real toolman that reaches it in one of its ways."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ports
from toolman_harness import Client, Toolman, until

from conformance import container

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).resolve().parents[1]
UPSTREAMS = ("direct", "process", "pipes", "http", "sse")
ERAS = ("dual", "legacy", "modern")
END_SECONDS = 10.0
FIXTURE = (sys.executable, "-m", "conformance.fixture")
IMPORTS = {"PYTHONPATH": str(TESTS)}
SERVER = "fixture"


@contextlib.contextmanager
def to_fixture(upstream: str, era: str, folder: Path) -> Iterator[str]:
    """Give the URL of an endpoint behind which the fixture is, ready to be asked.

    Args:
        upstream: How toolman reaches it, one of ``UPSTREAMS``; ``direct`` is without toolman.
        era: Which clients the fixture serves, one of ``ERAS``.
        folder: For configuration, pipes and logs.
    """
    with contextlib.ExitStack() as stack:
        if upstream == "direct":
            yield stack.enter_context(_listening("http", era))
            return
        if upstream in ("http", "sse"):
            reached: dict[str, Any] = {"kind": upstream, "url": stack.enter_context(_listening(upstream, era))}
        elif upstream == "pipes":
            pipes = folder / "pipes"
            pipes.mkdir()
            stack.enter_context(container.running(pipes, [*FIXTURE, "--era", era], IMPORTS))
            reached = {"kind": "pipes", "directory": str(pipes)}
        else:
            reached = {"kind": "process", "command": [*FIXTURE, "--era", era], "env": IMPORTS}
        yield stack.enter_context(_toolman(folder, reached))


@contextlib.contextmanager
def _listening(transport: str, era: str) -> Iterator[str]:
    port = ports.free()
    process = subprocess.Popen(
        [*FIXTURE, "--transport", transport, "--era", era, "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **IMPORTS},
    )
    try:
        until(lambda: process.poll() is not None or _accepts(port))
        yield f"http://127.0.0.1:{port}/{'sse' if transport == 'sse' else 'mcp'}"
    finally:
        process.kill()
        process.wait(END_SECONDS)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def _toolman(folder: Path, upstream: dict[str, Any]) -> Iterator[str]:
    port = ports.free()
    config = {
        "listen": {"port": port},
        "naming": "plain",
        "servers": [
            {"name": SERVER, "upstream": upstream, "serverRequests": ["elicitation", "sampling", "roots"]},
        ],
        "layers": [{"source": "conformance"}],
    }
    path = folder / "toolman.json"
    path.write_text(json.dumps(config))
    toolman = Toolman(folder / "toolman", ["serve", "--config", str(path)])
    try:
        toolman.said("listening at")
        _await_tools(port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        toolman.end()


def _await_tools(port: int) -> None:
    client = Client(port)
    try:
        client.initialize()
        until(client.tools)
        client.http.delete("/mcp")
    finally:
        client.http.close()
