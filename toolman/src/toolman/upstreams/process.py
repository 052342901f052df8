"""Servers that are child processes, speaking over their standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections import deque
from typing import IO, TYPE_CHECKING

from toolman.upstreams import Failure, children
from toolman.upstreams.lines import MAX_LINE, LineSplitter, LineTooLong, Reader, Writer

if TYPE_CHECKING:
    from toolman.config import Process
    from toolman.upstreams import Receiver

log = logging.getLogger(__name__)

POLITE = 2.0
"""Seconds that a server has after the end of its input, and again after SIGTERM, before the next stronger means."""

STDERR_LINES = 100
_STDERR_LINE = 64 * 1024
_STDOUT_CLOSED = 1.0  # seconds in which a server that closed its output may end by itself
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}
_REAP = 5.0  # seconds between looks for orphans that ended


class ProcessLauncher:
    """Starts one server as a child process: never through a shell, in a process group of its own."""

    def __init__(self, name: str, config: Process) -> None:
        self._name = name
        self._config = config
        self._reaper: asyncio.TimerHandle | None = None

    async def launch(self, receiver: Receiver) -> ProcessLink:
        """Start the process.

        Raises:
            Failure: The command cannot be run.
        """
        if self._reaper is None:
            children.adopt_orphans()
            self._reap()
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - returns once the program is loaded; asyncio's is no quicker
                self._config.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **self._config.env},
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise Failure(f"cannot run {self._config.command[0]!r}: {reason}") from None
        return ProcessLink(self._name, child, receiver)

    async def close(self) -> None:
        """Stop looking for orphans."""
        if self._reaper is not None:
            self._reaper.cancel()

    def _reap(self) -> None:
        children.reap_orphans()
        self._reaper = asyncio.get_running_loop().call_later(_REAP, self._reap)


class ProcessLink:
    """One child process."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], receiver: Receiver) -> None:
        self._name = name
        self._child = child
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._lines = LineSplitter(MAX_LINE)
        self._complaints = LineSplitter(_STDERR_LINE)
        children.manage(child.pid)
        self._in = Writer(_descriptor(child.stdin))
        self._out = Reader(_descriptor(child.stdout), self._output, self._output_closed)
        self._err = Reader(_descriptor(child.stderr), self._complaint, _nothing)
        self._watch = os.pidfd_open(child.pid)
        self._loop.add_reader(self._watch, self._exit)

    def write(self, line: bytes) -> bool:
        """Send one line."""
        return self._in.write(line)

    async def close(self) -> None:
        """Close its input, wait, then SIGTERM and SIGKILL to its group."""
        self._in.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if await self._has_exited(POLITE):
                break
            children.signal_group(self._child.pid, number)
        await self._has_exited(POLITE)
        self._out.close()
        self._err.close()

    async def _has_exited(self, limit: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._exited.wait()
        return self._exited.is_set()

    def _exit(self) -> None:
        """End the rest of the group while the zombie still keeps its number, take the last words, then reap."""
        self._loop.remove_reader(self._watch)
        os.close(self._watch)
        children.signal_group(self._child.pid, signal.SIGKILL)
        self._out.drain()
        self._err.drain()
        code = self._child.wait()
        children.release(self._child.pid)
        self._in.close()
        self._out.close()
        self._err.close()
        children.reap_orphans()
        self._exited.set()
        if code:
            log.info("server %r: end of its stderr:\n%s", self._name, "\n".join(self._stderr) or "(nothing)")
        self._receiver.ended(f"exit code {code if code >= 0 else 128 - code}")

    def _output(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._receiver.line(line)
        except LineTooLong:
            log.error("server %r sent more than %d bytes without an end of line: ending it", self._name, MAX_LINE)  # noqa: TRY400 - no bug, no trace
            self._receiver.ended(f"it sent a line of more than {MAX_LINE} bytes")

    def _output_closed(self) -> None:
        if not self._exited.is_set():
            self._loop.call_later(_STDOUT_CLOSED, self._end_mute)

    def _end_mute(self) -> None:
        if not self._exited.is_set():
            self._receiver.ended("it closed its output")

    def _complaint(self, data: bytes) -> None:
        try:
            lines = self._complaints.feed(data)
        except LineTooLong:
            lines = [b"(a very long line)"]
        for line in lines:
            text = line.decode(errors="backslashreplace").rstrip("\r").translate(_CONTROLS)
            self._stderr.append(text)
            log.info("server %r: stderr: %s", self._name, text)


def _descriptor(pipe: IO[bytes] | None) -> int:
    """Take over a pipe of the child's as a non-blocking descriptor."""
    if pipe is None:
        raise TypeError("the child was started without this pipe")
    descriptor = os.dup(pipe.fileno())
    os.set_blocking(descriptor, False)
    pipe.close()
    return descriptor


def _nothing() -> None:
    """Stderr may be closed at any time."""
