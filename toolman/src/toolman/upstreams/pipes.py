"""Servers in a container of the same Pod, joined by named pipes and started by a spawner at toolman's command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING

from toolman.upstreams import Failure
from toolman.upstreams.control import Control
from toolman.upstreams.lines import MAX_LINE, LineSplitter, LineTooLong, Reader, Writer

if TYPE_CHECKING:
    from toolman.config import Pipes
    from toolman.upstreams import Receiver

log = logging.getLogger(__name__)

POLITE = 2.0
"""Seconds that a server has after the end of its input, and again after SIGTERM, before the next stronger means."""

_EXIT_FOLLOWS = 1.0
"""Seconds in which the report of an exit follows the end of the output. A server may have killed who reports."""


class PipesLauncher:
    """Starts one server in its container."""

    def __init__(self, name: str, config: Pipes) -> None:
        self._name = name
        self._control = Control(name, config.directory)

    async def launch(self, receiver: Receiver) -> PipesLink:
        """Start the server, on new pipes and after everything earlier has been ended.

        Raises:
            Failure: The pipes cannot be made.
        """
        await self._control.reset()
        try:
            identifier, writing, reading = self._control.make_folder()
        except OSError as problem:
            raise Failure(f"its pipes cannot be made: {problem.strerror or problem}") from None
        link = PipesLink(self._name, self._control, identifier, receiver)
        link.attach(writing, reading)
        self._control.start(identifier, link)
        return link

    async def close(self) -> None:
        """Let go of the pipes."""
        self._control.close()


class PipesLink:
    """One start of the server."""

    def __init__(self, name: str, control: Control, identifier: str, receiver: Receiver) -> None:
        self._name = name
        self._control = control
        self._identifier = identifier
        self._receiver = receiver
        self._pid = 0
        self._exited = asyncio.Event()
        self._lines = LineSplitter(MAX_LINE)
        self._in: Writer | None = None
        self._out: Reader | None = None

    def attach(self, writing: int, reading: int) -> None:
        """Take over the descriptors of its input and output."""
        self._in = Writer(writing)
        self._out = Reader(reading, self._output, self._output_closed)

    def write(self, line: bytes) -> bool:
        """Send one line."""
        return self._in is not None and self._in.write(line)

    def started(self, pid: int) -> None:
        """Learn from the spawner which process group it is."""
        self._pid = pid

    def exited(self, how: str) -> None:
        """Learn from the spawner that it has ended; its last words may still be in the pipe."""
        if self._out is not None:
            self._out.drain()
        self._exited.set()
        self._receiver.ended(how)

    async def close(self) -> None:
        """Close its input, wait, then SIGTERM and SIGKILL to its group."""
        if self._in is not None:
            self._in.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._pid or await self._has_exited(POLITE):
                break
            self._control.stop(self._pid, number)
        if self._pid:
            await self._has_exited(POLITE)
        if self._out is not None:
            self._out.close()
        self._control.forget(self._identifier)

    async def _has_exited(self, limit: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._exited.wait()
        return self._exited.is_set()

    def _output(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._receiver.line(line)
        except LineTooLong:
            self._receiver.ended(f"it sent a line of more than {MAX_LINE} bytes")

    def _output_closed(self) -> None:
        asyncio.get_running_loop().call_later(_EXIT_FOLLOWS, self._end_unreported)

    def _end_unreported(self) -> None:
        """Give up a server that has closed its output: its container is gone, or it is of no use any more."""
        if not self._exited.is_set():
            self._exited.set()
            if self._pid:
                self._control.stop(self._pid, signal.SIGKILL)
            self._receiver.ended("it closed its output")
