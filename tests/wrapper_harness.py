"""mcp-wrapper as a real process, as an agent starts it, and what agents say."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripted_server import BOUND, Request, Server, handshake, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BOUND",
    "INITIALIZE",
    "INITIALIZED",
    "MODERN",
    "SOURCE",
    "Request",
    "Server",
    "Wrapper",
    "call",
    "handshake",
    "modern",
    "serving",
    "wrapping",
]

SOURCE = Path(__file__).parents[1] / "mcp_wrapper" / "src" / "mcp_wrapper"


class Wrapper:
    """``mcp-wrapper`` as an agent starts it: the folder, run by a Python with nothing but the standard library."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SOURCE), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], **environment},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._log: list[bytes] = []
        self._readers = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def say(self, *messages: object) -> None:
        """Send messages, or bytes as they are, a line each."""
        lines = [message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages]
        self.stdin.write(b"".join(line + b"\n" for line in lines))
        self.stdin.flush()

    def line(self) -> bytes:
        """Wait for the next line of stdout."""
        try:
            return self._lines.get(timeout=BOUND)
        except queue.Empty:
            raise AssertionError(f"nothing on stdout; stderr: {self.log}") from None

    def hear(self) -> dict[str, Any]:
        """Wait for the next message on stdout."""
        return json.loads(self.line())  # type: ignore[no-any-return]

    def ask(self, message: object) -> dict[str, Any]:
        """Send a request and wait for its answer; what the server says unasked meanwhile is passed over."""
        self.say(message)
        while "method" in (answer := self.hear()):
            pass
        return answer

    def open_session(self) -> dict[str, Any]:
        """Do the handshake as an agent does."""
        answer = self.ask(INITIALIZE)
        self.say(INITIALIZED)
        return answer

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return b"".join(self._log).decode()

    def end(self) -> list[dict[str, Any]]:
        """Close stdin, wait for the end, and give what it still said."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.wait()
        rest = []
        while not self._lines.empty():
            rest.append(json.loads(self._lines.get()))
        return rest

    def wait(self) -> int:
        """Wait for the process to end."""
        code = self.process.wait(BOUND)
        for reader in self._readers:
            reader.join(BOUND)
        return code

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(BOUND)
        for reader in self._readers:
            reader.join(BOUND)
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.stdout.close()
        self.stderr.close()

    def _read_stdout(self) -> None:
        for line in self.stdout:
            self._lines.put(line)

    def _read_stderr(self) -> None:
        for line in self.stderr:
            self._log.append(line)


INITIALIZE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
INITIALIZED: dict[str, Any] = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(identity: object, name: str = "x", **arguments: object) -> dict[str, Any]:
    """Make a tools/call."""
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}


MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


def modern(identity: object, method: str, **params: object) -> dict[str, Any]:
    """Make a request of revision 2026-07-28."""
    return {"jsonrpc": "2.0", "id": identity, "method": method, "params": {**params, "_meta": MODERN}}


@contextlib.contextmanager
def wrapping(*arguments: str, **environment: str) -> Iterator[Wrapper]:
    """Run the wrapper for as long as the block runs."""
    wrapper = Wrapper(*arguments, **environment)
    try:
        yield wrapper
    finally:
        wrapper.close()
