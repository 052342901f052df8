"""What a server writes to its stderr: kept for the operator, logged within bounds, never a part of what agents see."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from toolman.upstreams.lines import LineSplitter, LineTooLong

log = logging.getLogger(__name__)

KEPT = 100
"""Lines of which the end of a server's stderr consists at most."""

PER_SECOND = 128 * 1024
"""Bytes of one server's stderr that are logged in a second: a flood must not fill the disk."""

_LINE = 64 * 1024
_HEAD = 100  # what stands before each line in the log
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(10, 32), *range(127, 160))}


class Complaints:
    """The stderr of one life of a server.

    Args:
        name: The server's, for the log.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._lines = LineSplitter(_LINE)
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._second = 0.0
        self._logged = 0
        self._left_out = 0

    def feed(self, data: bytes) -> None:
        """Take what it wrote."""
        try:
            lines = self._lines.feed(data)
        except LineTooLong:
            lines = [b"(a very long line)"]
        if self._logged > PER_SECOND and self._loop.time() - self._second < 1:
            self._left_out += len(lines)
            self._kept.extend(lines[-KEPT:])
            return
        for line in lines:
            self._kept.append(line)
            self._log(line)

    @property
    def end(self) -> str:
        """The last lines, with a heading; empty if there is nothing."""
        return "\n".join(("end of its stderr:", *map(_text, self._kept))) if self._kept else ""

    def _log(self, line: bytes) -> None:
        now = self._loop.time()
        if now - self._second >= 1:
            if self._left_out:
                log.info("server %r: stderr: (%d lines are left out)", self._name, self._left_out)
            self._second, self._logged, self._left_out = now, 0, 0
        self._logged += len(line) + _HEAD
        if self._logged > PER_SECOND:
            self._left_out += 1
        else:
            log.info("server %r: stderr: %s", self._name, _text(line))


def _text(line: bytes) -> str:
    return line.decode(errors="backslashreplace").rstrip("\r").translate(_CONTROLS)
