"""Runs the bridge as a process: signals, limits, and the order in which things are closed."""

from __future__ import annotations

import contextlib
import signal
import socket

from mcp_wrapper.bridge import Bridge
from mcp_wrapper.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from mcp_wrapper.log import Log
    from mcp_wrapper.settings import Settings

MAX_CONNECTIONS = 2048
RESERVED_FILES = 32
"""Of the process's file descriptors: its own pipes, and what the interpreter opens for a moment."""
DEFAULT_FILES = 256


def serve(settings: Settings, log: Log) -> int:
    """Bridge until the agent is done. Give the exit status."""
    loop = Loop()
    if settings.token_file and not settings.endpoint.is_loopback:
        log.note(f"the token goes to {settings.endpoint.host} without encryption")
    bridge = Bridge(settings, loop, log, limit=_connections())
    woken, wakes = socket.socketpair()
    woken.settimeout(0)
    wakes.settimeout(0)
    previous = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)

    def signalled() -> None:
        loop.forget(woken.fileno())
        bridge.hurry()

    loop.watch(woken.fileno(), signalled)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _noted)
    try:
        loop.run()
    finally:
        bridge.close()
        loop.close()
        signal.set_wakeup_fd(previous)
        woken.close()
        wakes.close()
    return 0


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number itself wakes the loop."""


def _connections() -> int:
    """Give how many connections may be open at once, having raised the process's limit as far as it goes."""
    try:
        import resource  # noqa: PLC0415 - not everywhere
    except ImportError:
        return DEFAULT_FILES - RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # forbidden by whoever confines us
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return max(1, min(wanted, soft if soft != resource.RLIM_INFINITY else wanted) - RESERVED_FILES)
