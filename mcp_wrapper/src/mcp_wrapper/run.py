"""Runs the bridge as a process: signals, limits, and the order in which things are closed."""

from __future__ import annotations

import os

from mcp_wrapper.bridge import Bridge
from mcp_wrapper.lean import signal, socket
from mcp_wrapper.loop import Loop
from mcp_wrapper.settings import UsageError
from mcp_wrapper.stdio import STDIN, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from mcp_wrapper.dial import Preparation, Step
    from mcp_wrapper.log import Log
    from mcp_wrapper.settings import Settings

MAX_CONNECTIONS = 2048
RESERVED_FILES = 32
"""Of the process's file descriptors: its own pipes, and what the interpreter opens for a moment."""
DEFAULT_FILES = 256


def serve(settings: Settings, log: Log) -> int:
    """Bridge until the agent is done. Give the exit status.

    Raises:
        UsageError: What was chosen cannot be done here.
    """
    _see_to_stdio()
    prepare = _preparation(settings)
    loop = Loop()
    if settings.token_file and not settings.endpoint.is_loopback and not settings.endpoint.is_secure:
        log.note(f"the token goes to {settings.endpoint.host} without encryption")
    bridge = Bridge(settings, loop, log, limit=_connections(), prepare=prepare)
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
        signal.set_wakeup_fd(previous)
        woken.close()
        wakes.close()
    return 0


def _see_to_stdio() -> None:
    """Make sure that both are there; otherwise the next file to be opened would get their numbers."""
    try:
        os.fstat(STDIN)
        os.fstat(STDOUT)
    except OSError:
        raise UsageError("stdin and stdout must be open: an agent speaks through them") from None


def _preparation(settings: Settings) -> Preparation | None:
    """Give what makes new connections fit for use: the owner's check comes first, TLS after it."""
    steps: list[Preparation] = []
    if settings.uid is not None:
        from mcp_wrapper import peer  # noqa: PLC0415 - only in Pods

        steps.append(peer.belongs_to(settings.uid))
    if settings.endpoint.is_secure:
        steps.append(_encryption(settings))
    if len(steps) <= 1:
        return steps[0] if steps else None

    def prepare(connection: socket.socket) -> Step:
        for step in steps:
            stream = yield from step(connection)
        return stream

    return prepare


def _encryption(settings: Settings) -> Preparation:
    try:
        from mcp_wrapper import tls  # noqa: PLC0415 - costs more than everything else together
    except ImportError:
        raise UsageError(f"{settings.endpoint.url}: this installation was made without https") from None
    try:
        return tls.handshake(tls.context(settings.certificates), settings.endpoint.host)
    except tls.CertificatesError as error:
        raise UsageError(str(error)) from None


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
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        except (OSError, ValueError):  # forbidden by whoever confines us
            raised = soft
        soft = raised
    return max(1, min(wanted, soft if soft != resource.RLIM_INFINITY else wanted) - RESERVED_FILES)
