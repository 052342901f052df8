"""Child processes and their children: nothing that a server started outlives it.

Linux only: toolman is made the reaper of orphans, and waits for its children by descriptor. A server leads a process
group and a session of its own and carries a mark in its environment, as does whatever it starts: what left the group,
such as a daemon, is known by it, and ended when the server is gone. Who hides the mark is ended at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from pathlib import Path

MARK = "TOOLMAN_SERVER_PROCESS"
"""Environment variable that tells which server's a process is."""

LOOK = 5.0
"""Seconds between looks for orphans while any server runs."""

_SOON = 0.02  # seconds from killing an orphan to looking whether it is gone; longer for one that stays
_PR_SET_CHILD_SUBREAPER = 36


class Nursery:
    """All servers that are children of this process."""

    def __init__(self) -> None:
        self._marks: dict[int, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pause = _SOON
        self._is_reaper = False

    def adopt_orphans(self) -> None:
        """Make this process the parent of orphans below it, instead of process 1."""
        if not self._is_reaper:
            self._is_reaper = True
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def add(self, pid: int, mark: str) -> None:
        """Take a server that has just been started; somebody waits for it."""
        self._marks[pid] = f"{MARK}={mark}".encode()
        self._schedule(LOOK)

    def remove(self, pid: int) -> None:
        """Note that a server has been waited for: whatever else it left is ended."""
        self._marks.pop(pid, None)
        self._look()

    def end_orphans(self) -> bool:
        """Wait for orphans that have ended, kill those whose server is gone; tell whether any of these are left."""
        is_any_left = False
        for pid in _children() - self._marks.keys():
            with contextlib.suppress(ProcessLookupError, ChildProcessError, PermissionError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0) and self._is_stray(pid):
                    os.kill(pid, signal.SIGKILL)
                    is_any_left = True
        return is_any_left

    async def end(self, limit: float) -> None:
        """Wait until nothing is left of servers that are gone, for ``limit`` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self.end_orphans():  # noqa: ASYNC110 - nobody tells when other people's children end
                    await asyncio.sleep(_SOON)

    def _is_stray(self, pid: int) -> bool:
        """Tell whether an orphan's server is gone. A child in our own session is no server's."""
        if os.getsid(pid) == os.getsid(0):
            return False
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            environment = []
        return not any(mark in environment for mark in self._marks.values())

    def _look(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.end_orphans():
            self._schedule(self._pause)
            self._pause = min(LOOK, 2 * self._pause)
        else:
            self._pause = _SOON
            if self._marks:
                self._schedule(LOOK)

    def _schedule(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            self._timer = loop.call_later(seconds, self._look)


nursery = Nursery()
"""The one of this process."""


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to everything in the process group that a child leads; nothing happens if none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found
