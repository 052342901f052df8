"""A bridge under test as a child process: spoken to in blocking, bounded calls, and counted with all its children."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PATIENCE = 60.0
"""Seconds for any one answer."""
END_SECONDS = 10.0
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


class BridgeError(Exception):
    """It did not answer, or not as it should."""


def request(identity: int, method: str, params: object) -> bytes:
    """Write one line."""
    message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def call(identity: int, tool: str = "echo") -> bytes:
    """Write the line of one tool call."""
    return request(identity, "tools/call", {"name": tool, "arguments": {}})


class Bridge:
    """The process, with a session once it is open."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environ,
            start_new_session=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._rest: list[bytes] = []
        self._lines: deque[bytes] = deque()
        self._identity = 0

    def open(self) -> None:
        """Do the handshake and one call, which is the first that must have gone through."""
        self.send(request(0, "initialize", INITIALIZE))
        self.answer()
        self.send(INITIALIZED)
        self.ask()

    def ask(self, tool: str = "echo") -> bytes:
        """Call a tool and wait for the answer."""
        self.send(call(self.next(), tool))
        return self.answer()

    def next(self) -> int:
        """Give an id that was not used."""
        self._identity += 1
        return self._identity

    def send(self, data: bytes) -> None:
        """Write to its stdin.

        Raises:
            BridgeError: It is gone.
        """
        try:
            while data:
                data = data[os.write(self._in, data) :]
        except OSError as error:
            raise BridgeError(str(error)) from error

    def answer(self) -> bytes:
        """Wait for the next answer; what it says unasked is passed over.

        Raises:
            BridgeError: None came, or it is an error.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            while not self._lines:
                self._read(deadline)
            line = self._lines.popleft()
            if b'"method"' in line[:200]:
                continue
            if b'"error"' in line[:200] or b'"isError":true' in line[-200:]:
                raise BridgeError(line[:300].decode(errors="replace"))
            return line

    def _read(self, deadline: float) -> None:
        if not select.select([self._out], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise BridgeError(f"no answer for {PATIENCE:.0f} s")
        data = os.read(self._out, 2**20)
        if not data:
            raise BridgeError("it ended")
        *lines, rest = data.split(b"\n")
        if lines:
            self._lines.append(b"".join([*self._rest, lines[0]]))
            self._lines.extend(lines[1:])
            self._rest = []
        self._rest.append(rest)

    def memory(self) -> tuple[float, float]:
        """Give private dirty and resident megabytes of the process and everything that it started."""
        dirty = resident = 0
        for pid in self._tree():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                values = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
                dirty += values["Private_Dirty"]
                resident += values["Rss"]
        return dirty / 1024, resident / 1024

    def _tree(self) -> set[int]:
        parents: dict[int, int] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def close(self) -> None:
        """End it and everything that it started."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
