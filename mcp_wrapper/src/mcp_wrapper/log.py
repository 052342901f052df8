"""The log on stderr, a line at a time. The logging package would cost a megabyte of a process that has six."""

from __future__ import annotations

import os

STDERR = 2


def printable(text: str, limit: int = 300) -> str:
    """Make text of others safe for a terminal: control characters escaped, cut at ``limit`` characters."""
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in cut)
    return cut if len(text) <= limit else cut + "..."


class Log:
    """Writes lines; a stderr that is closed or full is nobody's business."""

    __slots__ = ("_fd", "tracing")

    def __init__(self, *, tracing: bool = False, fd: int = STDERR) -> None:
        self.tracing = tracing
        self._fd = fd

    def note(self, text: str) -> None:
        """Say something that a person would want to know."""
        try:
            os.write(self._fd, f"mcp-wrapper: {printable(text, 1000)}\n".encode("utf-8", "backslashreplace"))
        except OSError:
            return

    def trace(self, text: str) -> None:
        """Say something that only matters when looking for a fault."""
        if self.tracing:
            self.note(text)
