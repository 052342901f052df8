"""Run an untrusted image as a Pod will: no capabilities, read-only root, its own user, little memory, few processes."""

from __future__ import annotations

import contextlib
import re
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp_operator import names
from mcp_operator.images import engine_errors, redact
from mcp_operator.images.contract import Step

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.engine import Engine

MEMORY = 1024**3
PROCESSES = 256
CPUS = 2
STDERR_LINES = 100
PROBE_SECONDS = 30
"""For asking a base image what it is; a container starts in half a second."""

EXIT_SECONDS = 5
"""For the engine to note why a container ended, once its streams have: mostly at once."""
_PAUSE = 0.05
_MOMENT = 0.1
"""Seconds for one look at a container's output, and so at whether to go on."""

_FRAME = struct.Struct(">BxxxL")
_STDERR = 2
_PROBE_LIMIT = 4096


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a container may use, and how it starts. Without ``entrypoint`` and ``folder`` the image's own."""

    network: bool = False
    user: str = f"{names.SERVER_UID_FIRST}:{names.SERVER_UID_FIRST}"
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    folder: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    beside: str = ""
    """Container whose network it shares, instead of one of its own."""

    def host_config(self) -> dict[str, Any]:
        """Give the arguments for the engine's client."""
        return {
            "network_mode": self._network_mode,
            "read_only": True,
            "tmpfs": {names.SERVER_HOME: f"rw,nosuid,nodev,size={MEMORY // 4},mode=1777"},
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "mem_limit": MEMORY,
            "memswap_limit": MEMORY,
            "pids_limit": PROCESSES,
            "nano_cpus": CPUS * 10**9,
            "log_config": {"Type": "none", "Config": {}},
        }

    @property
    def _network_mode(self) -> str:
        if self.beside:
            return f"container:{self.beside}"
        return "bridge" if self.network else "none"


class Ended(Exception):  # noqa: N818 - the end of a stream, which may be no error
    """The container closed its output."""


class Sandbox:
    """A running container and its streams. Made by :func:`started`."""

    def __init__(self, engine: Engine, container: str, connection: socket.socket) -> None:
        self._engine = engine
        self.container = container
        self._connection = connection
        self._buffer = bytearray()
        self._lines: list[str] = []
        self._partial = ""

    @property
    def stderr(self) -> list[str]:
        """What it wrote there, last lines; also one that it has not ended."""
        return [*self._lines, *redact.lines(self._partial)][-STDERR_LINES:]

    def write(self, data: bytes, budget: Budget) -> None:
        """Write to stdin.

        Raises:
            Ended: It reads no more.
            BuildCancelled: The budget says so.
            BuildError: It has not read for as long as the budget allows.
        """
        left = memoryview(data)
        # Piece by piece: one that does not read must not keep a cancel from being noticed.
        while left:
            budget.check(Step.VERIFY)
            self._connection.settimeout(_MOMENT)
            try:
                left = left[self._connection.send(left) :]
            except TimeoutError:
                continue
            except OSError as error:
                raise Ended from error

    def read(self, budget: Budget) -> bytes:
        """Give the next piece of stdout; stderr is kept aside.

        Raises:
            Ended: There is no more.
            BuildCancelled: The budget says so.
            BuildError: The time is used up.
        """
        while True:
            budget.check(Step.VERIFY)
            if piece := self.receive():
                return piece

    def receive(self, seconds: float = _MOMENT) -> bytes:
        """Give the next piece of stdout, or nothing if there is none within a moment; stderr is kept aside.

        Raises:
            Ended: There is no more.
        """
        if (frame := self._frame()) is None:
            self._fill(seconds)
            frame = self._frame()
        if frame is None:
            return b""
        stream, data = frame
        if stream != _STDERR:
            return data
        self._keep(data.decode(errors="replace"))
        return b""

    def exit(self) -> tuple[int, bool]:
        """Give the exit code of a container whose streams have ended, and whether memory ran out.

        Raises:
            BuildError: It runs on: the engine went away from its streams, which it keeps open as long as a container
                runs, even one that has closed its own ends.
        """
        # The streams end a moment before the engine has noted why.
        until = time.monotonic() + EXIT_SECONDS
        while (state := self._engine.state(self.container)).get("Running"):
            if time.monotonic() > until:
                raise engine_errors.engine("Connection broken: the container runs on", Step.VERIFY)
            time.sleep(_PAUSE)
        return int(state.get("ExitCode", -1)), bool(state.get("OOMKilled"))

    def _frame(self) -> tuple[int, bytes] | None:
        """Take a whole frame from the buffer, if there is one."""
        if len(self._buffer) < _FRAME.size:
            return None
        stream, length = _FRAME.unpack_from(self._buffer)
        end = _FRAME.size + length
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_FRAME.size : end])
        del self._buffer[:end]
        return stream, data

    def _fill(self, seconds: float) -> None:
        self._connection.settimeout(seconds)
        try:
            data = self._connection.recv(1 << 20)
        except TimeoutError:
            return
        except OSError as error:
            raise Ended from error
        if not data:
            raise Ended
        self._buffer += data

    def _keep(self, text: str) -> None:
        *whole, self._partial = (self._partial + text)[-65536:].split("\n")
        self._lines += redact.lines("\n".join(whole[-STDERR_LINES:]))
        del self._lines[:-STDERR_LINES]


@contextlib.contextmanager
def started(engine: Engine, image: str, limits: Limits, owner: Mapping[str, str]) -> Iterator[Sandbox]:
    """Run an image for the time of the block; the container, with the owner's labels, is gone afterwards."""
    container = engine.create(image, limits, owner)
    try:
        # Attached before it starts: what it says first would be lost otherwise.
        connection = engine.attach(container)
        try:
            engine.start(container)
            yield Sandbox(engine, container, connection)
        finally:
            connection.close()
    finally:
        engine.remove_container(container)


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """An interpreter of a base image: where it is, and its version in digits and dots."""

    path: str
    version: str


_OFFICIAL = re.compile(r"\d+\.\d+\.\d+\Z")
_SAFE = re.compile(r"(/[\w./-]+) (\d+(?:\.\d+)+)\Z")


def python(engine: Engine, base: str, owner: Mapping[str, str], budget: Budget) -> Interpreter:
    """Give a base image's Python: the official ones say which they have, others are asked. ``path`` may be empty."""
    image = engine.image(base)
    if image and (version := _OFFICIAL.match(image.env.get("PYTHON_VERSION", ""))) and "PYTHON_SHA256" in image.env:
        return Interpreter(path="/usr/local/bin/python3", version=version[0])
    code = "import sys; print(sys.executable, '.'.join(map(str, sys.version_info[:3])))"
    limits = Limits(entrypoint=("python3", "-c", code))
    output = b""
    with started(engine, base, limits, owner) as sandbox, contextlib.suppress(Ended):
        while len(output) < _PROBE_LIMIT:
            output += sandbox.read(budget)
    match = _SAFE.match(output.decode(errors="replace").strip())
    return Interpreter(path=match[1], version=match[2]) if match else Interpreter(path="", version="0")
