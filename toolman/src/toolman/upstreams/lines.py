"""Lines over non-blocking file descriptors: newline framing as MCP's stdio transport has it.

Only a line feed ends a line: U+2028, U+2029 and U+0085 are legal inside JSON strings. asyncio's pipe transports are not
used because they take a readable pipe for a closed one, and ours are opened for both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 16 * 1024 * 1024
"""Bytes in one line unless something else is said; see ``maxMessage`` in :mod:`toolman.config`.

Some copies of it must fit the sidecar's 256 MiB: a server that gets toolman killed could take its port.
"""

MAX_BACKLOG = 16 * 1024 * 1024
"""Bytes waiting for a server to read them. More than that and it is not reading at all."""

CHUNK = 64 * 1024
"""Bytes read at a time."""

_PIPE_SIZE = 1024 * 1024  # what an unprivileged process may ask for by default


class LineTooLong(Exception):  # noqa: N818 - reads as what it says
    """More than the allowed number of bytes came without an end of line."""


class LineSplitter:
    """Cut a stream of bytes into lines, touching each byte a constant number of times."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; give the lines that are complete now, without their ends.

        Raises:
            LineTooLong: A line is over the limit, finished or not.
        """
        lines = data.split(b"\n")
        longest = 0
        if len(lines) > 1 and self._parts:
            longest = self._size + len(lines[0])
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts, self._size = [], 0
        rest = lines.pop()
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
        if len(data) > self._limit:
            longest = max(longest, *map(len, lines), 0)
        if max(longest, self._size) > self._limit:
            self._parts, self._size = [], 0
            raise LineTooLong
        return lines


class Reader:
    """Hand over what arrives at a descriptor, which it owns.

    Args:
        descriptor: Non-blocking.
        on_data: Called with what arrived.
        on_end: Called once when no writer is left or reading fails.
    """

    def __init__(self, descriptor: int, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_data = on_data
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        _enlarge(descriptor)
        self._loop.add_reader(descriptor, self._readable)

    def drain(self) -> None:
        """Take what is there now, a full pipe at most: a server's last words may still be in it after its death."""
        for _ in range(2 * _PIPE_SIZE // CHUNK):
            if self._descriptor < 0 or not self._read():
                break

    def pause(self, seconds: float) -> None:
        """Read nothing for a while."""
        self._loop.remove_reader(self._descriptor)
        self._loop.call_later(seconds, self._resume)

    def close(self) -> None:
        """Stop and close the descriptor."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _resume(self) -> None:
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        self._read()

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            self._on_end()
            return False
        self._on_data(data)
        return True


class Writer:
    """Write to a descriptor, which it owns, as fast as the other side reads. What is written together goes together.

    Args:
        descriptor: Non-blocking.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._queue: list[bytes] = []
        self._pending = memoryview(b"")
        self._size = 0
        self._scheduled = False
        self._watched = False
        _enlarge(descriptor)

    def write(self, line: bytes) -> bool:
        """Queue a line, given without its end; False if too much is waiting already or the other side is gone."""
        if self._descriptor < 0 or self._size > MAX_BACKLOG:
            return False
        self._queue += (line, b"\n")
        self._size += len(line) + 1
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return True

    def close(self) -> None:
        """Close the descriptor: the other side reads the end. What is still queued is dropped."""
        if self._descriptor >= 0:
            self._watch(wanted=False)
            os.close(self._descriptor)
            self._descriptor = -1
            self._queue.clear()
            self._pending = memoryview(b"")

    def _flush(self) -> None:
        if self._descriptor < 0:
            return
        if not self._pending:
            self._pending = memoryview(b"".join(self._queue))
            self._queue.clear()
        try:
            written = os.write(self._descriptor, self._pending)
        except BlockingIOError:
            written = 0
        except OSError:  # the reader is gone; its end is reported by who watches it
            self.close()
            return
        self._size -= written
        self._pending = self._pending[written:]
        self._scheduled = bool(self._pending or self._queue)
        self._watch(wanted=self._scheduled)

    def _watch(self, *, wanted: bool) -> None:
        if wanted != self._watched:
            self._watched = wanted
            if wanted:
                self._loop.add_writer(self._descriptor, self._flush)
            else:
                self._loop.remove_writer(self._descriptor)


def _enlarge(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # a big answer in fewer pieces; works with the default size, too
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
