"""Child processes and their children: nothing that a server started may outlive it unseen.

Linux only: toolman is made the reaper of orphans, and waits for its children by descriptor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36

_managed: set[int] = set()
"""Children that somebody waits for."""


def adopt_orphans() -> None:
    """Make this process the parent of orphans below it, instead of process 1."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def manage(pid: int) -> None:
    """Note a child that somebody waits for."""
    _managed.add(pid)


def release(pid: int) -> None:
    """Note that a child has been waited for."""
    _managed.discard(pid)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Send a signal to everything in the process group that a child leads; nothing happens if none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def reap_orphans(*, kill: bool = False) -> None:
    """Wait for orphans that have ended; with ``kill`` end the others first, such as daemons that left their group."""
    for pid in _children() - _managed:
        with contextlib.suppress(ProcessLookupError, ChildProcessError, PermissionError):
            if kill:
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0 if kill else os.WNOHANG)


def _children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found
