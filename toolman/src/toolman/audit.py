"""The audit log: one line of JSON for each call of a tool and each use of another thing. Never what they carry.

Denied and unknown tools look the same to the caller; here is the difference.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import sys
import time
from typing import Literal

import msgspec

from toolman.policy import Kind

log = logging.getLogger(__name__)

MAX_NAME = 128
"""Characters of a name as the caller gave it, which may be anything."""

STDOUT = "stdout"
NONE = "none"
"""Sinks; any other is the path of a file."""

Outcome = Literal["ok", "error", "cancelled", "refused"]
"""The server answered; an error was answered; the client did not want it any more; it never reached a server."""

_MODE = 0o600
_REOPEN = 1.0
"""Seconds between looks whether the file has been moved away, as log rotation does."""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One call.

    Attributes:
        time: When it was over, UTC.
        caller: Who has shown a token that names a Pod; see ``guard`` in :mod:`toolman.config`.
        client: Name and version that the client gives itself.
        session: Label of the client's session, or of its token.
        kind: What was used.
        tool: The name or URI that was asked for.
        server: Whose it is, empty if there is none of that name.
        name: The server's own name for it.
        decision: Whether it may be used.
        reason: Why (not): :data:`toolman.policy.Reason`, ``Collision``, ``Pinned``, ``Limit`` or ``Unknown``.
        layer: Who decided, empty if no layer objected.
        would_deny: Layers in audit mode that object.
        outcome: What became of it.
        ms: Milliseconds from reading the request to having the outcome.
        bytes: Of the result.
    """

    time: dt.datetime
    caller: str = ""
    client: str = ""
    session: str
    kind: Kind = "tools"
    tool: str
    server: str = ""
    name: str = ""
    decision: Literal["allowed", "denied"]
    reason: str
    layer: str = ""
    would_deny: tuple[str, ...] = ()
    outcome: Outcome
    ms: float
    bytes: int = 0


class Audit:
    """Writes records to a sink; those of one turn of the event loop go together.

    Args:
        sink: ``stdout``, ``none``, or the path of a file that is appended to.
    """

    def __init__(self, sink: str = STDOUT) -> None:
        self._sink = sink
        self._descriptor = -1
        self._waiting: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        self._is_broken = False
        self._look_again = 0.0

    def use(self, sink: str) -> None:
        """Go on with another sink."""
        if sink != self._sink:
            self.close()
            self._sink = sink
            self._is_broken = False

    def write(self, record: Record) -> None:
        """Write a record."""
        if self._sink == NONE:
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append(self._encode(record))

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        data = b"\n".join((*self._waiting, b""))
        self._waiting.clear()
        try:
            self._open()
            while data:
                data = data[os.write(self._descriptor, data) :]
            self._is_broken = False
        except OSError as problem:
            if not self._is_broken:
                log.error("the audit log cannot be written: %s", problem.strerror)  # noqa: TRY400 - no bug, no trace
            self._is_broken = True

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.flush()
        if self._descriptor >= 0 and self._sink != STDOUT:
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        if self._sink == STDOUT:
            self._descriptor = sys.stdout.fileno()
            return
        now = time.monotonic()
        if self._descriptor >= 0 and now >= self._look_again:
            self._look_again = now + _REOPEN
            if not self._is_in_place():
                os.close(self._descriptor)
                self._descriptor = -1
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._sink, flags, _MODE)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._sink), os.fstat(self._descriptor))  # noqa: PTH116 - beside fstat
        except FileNotFoundError:
            return False


def now() -> dt.datetime:
    """Give the time for a record."""
    return dt.datetime.now(dt.UTC)


def milliseconds(seconds: float) -> float:
    """Give a duration for a record."""
    return round(seconds * 1000, 3)
