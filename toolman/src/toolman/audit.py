"""The audit log: one line of JSON for each call of a tool. Never its arguments, never its result.

Denied and unknown tools look the same to the caller; here is the difference.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
from typing import Literal

import msgspec

log = logging.getLogger(__name__)

MAX_NAME = 128
"""Characters of a tool's name as the caller gave it, which may be anything."""

Outcome = Literal["ok", "error", "cancelled", "refused"]
"""The server answered; an error was answered; the client did not want it any more; it never reached a server."""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One call.

    Attributes:
        time: When it was over, UTC.
        session: Label of the client's session.
        tool: The name that was called.
        server: Whose tool it is, empty if there is none of that name.
        decision: Whether it may be called.
        reason: Why (not): :data:`toolman.policy.Reason`, ``Collision`` or ``Unknown``.
        layer: Who decided, empty if no layer objected.
        outcome: What became of it.
        ms: Milliseconds from reading the request to having the outcome.
    """

    time: dt.datetime
    session: str
    tool: str
    server: str = ""
    decision: Literal["allowed", "denied"]
    reason: str
    layer: str = ""
    outcome: Outcome
    ms: float


class Audit:
    """Writes records to a descriptor; those of one turn of the event loop go together."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._encode = msgspec.json.Encoder().encode
        self._is_broken = False

    def write(self, record: Record) -> None:
        """Write a record."""
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
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as problem:
            if not self._is_broken:
                log.error("the audit log cannot be written: %s", problem.strerror)  # noqa: TRY400 - no bug, no trace
            self._is_broken = True


def now() -> dt.datetime:
    """Give the time for a record."""
    return dt.datetime.now(dt.UTC)


def milliseconds(seconds: float) -> float:
    """Give a duration for a record."""
    return round(seconds * 1000, 3)
