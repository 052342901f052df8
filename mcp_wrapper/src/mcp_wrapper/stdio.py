"""The agent's side: lines from stdin, lines to stdout, each by one owner."""

from __future__ import annotations

import os
import stat

from mcp_wrapper.lean import deque
from mcp_wrapper.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_wrapper.loop import Loop
    from mcp_wrapper.spool import Raw

STDIN = 0
STDOUT = 1
READ_BYTES = 64 * 1024
"""As much as a pipe holds."""
MAX_LINE_BYTES = 64 * 1024 * 1024
FULL_BYTES = 4 * 1024 * 1024
"""Waiting for the agent to read. More is not asked for until half of it is gone."""
VECTOR = 64
"""Pieces handed to one writev; Linux takes 1024, others as few as 16 are not met any more."""


class Input:
    """Cuts stdin into lines at line feeds, and at nothing else: U+2028 and its kin are legal inside JSON strings.

    Args:
        on_line: Gets each line that is not empty, without its end.
        on_overlong: Told once for a line of more than ``MAX_LINE_BYTES``, which is skipped.
        on_end: Told once, when stdin has ended.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        on_line: Callable[[Raw], None],
        on_overlong: Callable[[], None],
        on_end: Callable[[], None],
        fd: int = STDIN,
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_line = on_line
        self._on_overlong = on_overlong
        self._on_end = on_end
        self._partial = Spool()
        self._skipping = False
        self._paused = self._closed = False
        loop.watch(fd, self._readable)

    def pause(self, *, paused: bool) -> None:
        """Read no more for a while, or go on reading."""
        if paused != self._paused and not self._closed:
            self._paused = paused
            if paused:
                self._loop.forget(self._fd)
            else:
                self._loop.watch(self._fd, self._readable)

    def close(self) -> None:
        """Read no more."""
        self._closed = True
        self._loop.forget(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # a terminal that is gone
            data = b""
        if data:
            self._feed(data)
            return
        self.close()
        if self._partial.size and not self._skipping:
            self._line(b"")
        self._on_end()

    def _feed(self, data: bytes) -> None:
        lines = data.split(b"\n")
        rest = lines.pop()
        for line in lines:
            self._line(line)
        if rest and not self._skipping:
            self._partial.add(rest)
            if self._partial.size > MAX_LINE_BYTES:
                self._skipping = True
                self._partial.clear()
                self._on_overlong()

    def _line(self, last: bytes) -> None:
        skipped, self._skipping = self._skipping, False
        line: Raw = last
        if self._partial.size:
            self._partial.add(last)
            line = self._partial.take()
        if isinstance(line, bytes):
            line = line.strip()
        if line and not skipped:
            self._on_line(line)


class Output:
    """Writes lines to stdout without ever waiting for the reader.

    Lines of one round of the loop leave in one system call; the loop calls :meth:`flush`.

    Args:
        on_broken: Told once, when nobody can read any more.
        on_full: Told when too much waits for the reader, and when that is over.
    """

    def __init__(
        self, loop: Loop, *, on_broken: Callable[[], None], on_full: Callable[[bool], None], fd: int = STDOUT
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._on_broken = on_broken
        self._on_full = on_full
        self._queue: deque[Raw] = deque()
        self._waiting = 0
        self._full = False
        self._blocked = False
        self._broken = False
        mode = os.fstat(fd).st_mode
        self._was_blocking = os.get_blocking(fd)
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            # Not for a terminal, which the parent process shares: it would find its own reads failing.
            os.set_blocking(fd, False)
        loop.watch_end(fd, self._break)

    @property
    def is_empty(self) -> bool:
        """Tell whether everything has been handed over, or nobody is there to take it."""
        return not self._queue or self._broken

    def write(self, line: Raw) -> None:
        """Queue one line; the line's end is added."""
        if not self._broken:
            self._queue.append(line)
            self._queue.append(b"\n")
            self._waiting += len(line) + 1

    def flush(self) -> None:
        """Hand over as much as the reader takes now."""
        if self._queue and not self._blocked:
            try:
                self._drain()
            except BlockingIOError:
                self._blocked = True
                self._loop.watch_writable(self._fd, self._writable)
            except OSError:
                self._break()
        full = self._waiting > (FULL_BYTES // 2 if self._full else FULL_BYTES)
        if full != self._full:
            self._full = full
            self._on_full(full)

    def close(self) -> None:
        """Leave stdout as it was found; others may hold it, too."""
        self._loop.forget(self._fd)
        try:
            os.set_blocking(self._fd, self._was_blocking)
        except OSError:
            return

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            pieces = [queue[index] for index in range(min(len(queue), VECTOR))]
            written = os.writev(self._fd, pieces)
            self._waiting -= written
            while written:
                size = len(queue[0])
                if written < size:
                    queue[0] = memoryview(queue[0])[written:]
                    break
                written -= size
                queue.popleft()

    def _writable(self) -> None:
        self._loop.watch_end(self._fd, self._break)
        self._blocked = False
        self.flush()

    def _break(self) -> None:
        self._loop.forget(self._fd)
        if not self._broken:
            self._broken = True
            self._queue.clear()
            self._waiting = 0
            self._on_broken()
