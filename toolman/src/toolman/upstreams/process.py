"""Servers that are child processes, speaking over their standard input and output.

A server is ended in this order, each step followed by :data:`POLITE` seconds in which it may go: its input is closed,
its process group gets SIGTERM, then SIGKILL. What is left of its group when it ends, and what has left the group, is
killed. Its stderr is kept for the operator and never becomes a part of what agents see.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import IO, TYPE_CHECKING

from toolman import tokens
from toolman.upstreams import Failure, children
from toolman.upstreams.complaints import Complaints
from toolman.upstreams.lines import LineSplitter, LineTooLong, Reader, Writer

if TYPE_CHECKING:
    from toolman.config import Process
    from toolman.upstreams import Receiver

POLITE = 2.0
"""Seconds that a server has after the end of its input, and again after SIGTERM, before the next stronger means."""

_STDOUT_CLOSED = 1.0  # seconds in which a server that closed its output may end by itself


class ProcessLauncher:
    """Starts one server as a child process, as often as wanted: never through a shell, in a session of its own.

    Args:
        name: The server's, for messages.
        config: Its command and environment.
        max_message: Bytes of one message from it.
    """

    def __init__(self, name: str, config: Process, max_message: int) -> None:
        self._name = name
        self._config = config
        self._max_message = max_message

    async def launch(self, receiver: Receiver) -> ProcessLink:
        """Start the process.

        Raises:
            Failure: The command cannot be run.
        """
        children.nursery.adopt_orphans()
        mark = tokens.hexadecimal(8)
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 - returns once the program is loaded; asyncio's is no quicker
                self._config.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **self._config.env, children.MARK: mark},
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise Failure(f"cannot run {self._config.command[0]!r}: {reason}") from None
        children.nursery.add(child.pid, mark)
        try:
            return ProcessLink(self._name, child, receiver, self._max_message)
        except OSError as problem:  # no descriptors left
            children.signal_group(child.pid, signal.SIGKILL)
            child.wait()
            children.nursery.remove(child.pid)
            raise Failure(f"cannot run {self._config.command[0]!r}: {problem.strerror}") from None

    async def close(self) -> None:
        """Wait for what the server left behind; it has been killed when the server ended."""
        await children.nursery.end(POLITE)


class ProcessLink:
    """One child process."""

    def __init__(self, name: str, child: subprocess.Popen[bytes], receiver: Receiver, max_message: int) -> None:
        self._child = child
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._lines = LineSplitter(max_message)
        self._max_message = max_message
        self._complaints = Complaints(name)
        self._in = Writer(_descriptor(child.stdin))
        self._out = Reader(_descriptor(child.stdout), self._output, self._output_closed)
        self._err = Reader(_descriptor(child.stderr), self._complaints.feed, _nothing)
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
        self._in.close()
        self._out.close()
        self._err.close()
        children.nursery.remove(self._child.pid)
        self._exited.set()
        self._receiver.ended(f"exit code {code if code >= 0 else 128 - code}", self._complaints.end)

    def _output(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._receiver.line(line)
        except LineTooLong:
            self._out.close()  # whatever else it writes ends it
            self._receiver.ended(f"it sent a message of more than {self._max_message} bytes")

    def _output_closed(self) -> None:
        if not self._exited.is_set():
            self._loop.call_later(_STDOUT_CLOSED, self._end_mute)

    def _end_mute(self) -> None:
        if not self._exited.is_set():
            self._receiver.ended("it closed its output")


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
