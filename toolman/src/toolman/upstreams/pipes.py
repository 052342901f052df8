"""Servers in a container of the same Pod, joined by named pipes and started by a spawner at toolman's command."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from toolman.upstreams.control import control_of
from toolman.upstreams.lines import LineSplitter, LineTooLong, Reader, Writer

if TYPE_CHECKING:
    from toolman.config import Pipes
    from toolman.upstreams import Receiver
    from toolman.upstreams.control import Control

POLITE = 2.0
"""Seconds that a server has after the end of its input, and again after SIGTERM, before the next stronger means."""

_EXIT_FOLLOWS = 1.0
"""Seconds in which the report of an exit follows the end of the output. A server may have killed who reports."""


class PipesLauncher:
    """Starts one server in its container, once or once for each session of a client.

    Args:
        config: Where its pipes are.
        max_message: Bytes of one message from it.
    """

    def __init__(self, config: Pipes, max_message: int) -> None:
        self._max_message = max_message
        self._control = control_of(config.directory)

    async def launch(self, receiver: Receiver) -> PipesLink:
        """Start the server, on new pipes.

        Raises:
            Failure: The pipes cannot be made.
        """
        link = PipesLink(self._control, receiver, self._max_message)
        link.identifier = await self._control.start(link)
        return link

    async def close(self) -> None:
        """Let go of the pipes once no server runs."""
        self._control.close()


class PipesLink:
    """One start of the server. ``identifier`` names its pipes."""

    def __init__(self, control: Control, receiver: Receiver, max_message: int) -> None:
        self.identifier = ""
        self._control = control
        self._receiver = receiver
        self._pid = 0
        self._known = asyncio.Event()
        self._exited = asyncio.Event()
        self._lines = LineSplitter(max_message)
        self._max_message = max_message
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
        self._known.set()

    def exited(self, how: str) -> None:
        """Learn from the spawner that it has ended; its last words may still be in the pipe."""
        if self._out is not None:
            self._out.drain()
        self._known.set()
        self._exited.set()
        self._receiver.ended(how)

    async def close(self) -> None:
        """Close its input, wait, then SIGTERM and SIGKILL to its group."""
        if self._in is not None:
            self._in.close()
        await _happens(self._known, POLITE)  # one that is only starting would stay behind
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._pid or await _happens(self._exited, POLITE):
                break
            self._control.stop(self._pid, number)
        if self._pid:
            await _happens(self._exited, POLITE)
        if self._out is not None:
            self._out.close()
        self._control.forget(self.identifier)

    def _output(self, data: bytes) -> None:
        try:
            for line in self._lines.feed(data):
                self._receiver.line(line)
        except LineTooLong:
            if self._out is not None:
                self._out.close()  # whatever else it writes ends it
            self._receiver.ended(f"it sent a message of more than {self._max_message} bytes")

    def _output_closed(self) -> None:
        asyncio.get_running_loop().call_later(_EXIT_FOLLOWS, self._end_unreported)

    def _end_unreported(self) -> None:
        """Give up a server that has closed its output: its container is gone, or it is of no use any more."""
        if not self._exited.is_set():
            self._known.set()
            self._exited.set()
            if self._pid:
                self._control.stop(self._pid, signal.SIGKILL)
            self._receiver.ended("it closed its output")


async def _happens(event: asyncio.Event, limit: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit):
            await event.wait()
    return event.is_set()
