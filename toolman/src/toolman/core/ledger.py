"""What is written down about each use of something: a record for the audit log, and counts for the metrics."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from toolman import jsonrpc
from toolman.audit import MAX_NAME, Record, milliseconds, now

if TYPE_CHECKING:
    from toolman.audit import Audit
    from toolman.audit import Outcome as Became
    from toolman.exchange import Caller
    from toolman.metrics import Metrics
    from toolman.policy import Kind

UNKNOWN = "Unknown"
LIMIT = "Limit"
REQUESTED = "Requested"
"""Reasons besides those of the policy: there is no such thing; a limit is reached; a server asked what it may not."""


class Used(NamedTuple):
    """What is used.

    Attributes:
        kind: Which of a layer's rules are about it.
        shown: The name or URI as the caller gave it.
        server: Whose it is, empty if nobody's.
        name: The server's own name for it.
        would_deny: Layers in audit mode that object.
    """

    kind: Kind
    shown: str
    server: str = ""
    name: str = ""
    would_deny: tuple[str, ...] = ()


class _Info(msgspec.Struct):
    name: str = ""
    version: str = ""


_info = msgspec.json.Decoder(_Info).decode


@functools.lru_cache(maxsize=256)
def client_name(info: bytes | None) -> str:
    """Give the name and version that a client gives itself, as far as they can be read."""
    try:
        found = _info(info or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return "/".join(part for part in (found.name, found.version) if part)[:MAX_NAME]


class Ledger:
    """Writes down.

    Args:
        audit: Gets a record for each use.
        metrics: Are counted.
        who: Whose uses these are, where callers are told apart.
    """

    def __init__(self, audit: Audit, metrics: Metrics, who: str = "") -> None:
        self._audit = audit
        self._metrics = metrics
        self._who = who

    def answered(self, caller: Caller, method: str | None, became: str) -> None:
        """Count a request that was answered, whatever with."""
        self._metrics.requested(caller.era, method, became)

    def ended(self, caller: Caller, used: Used, became: Became, size: int, started: float) -> None:
        """Write down a use that was allowed and has come to its end.

        Args:
            caller: Who.
            used: What.
            became: What became of it.
            size: Bytes of the result.
            started: When it began, as :func:`time.perf_counter` has it.
        """
        seconds = time.perf_counter() - started
        self._audit.write(
            Record(
                time=now(),
                caller=self._who,
                client=client_name(caller.client_info),
                session=caller.label,
                kind=used.kind,
                tool=used.shown[:MAX_NAME],
                server=used.server,
                name=used.name[:MAX_NAME],
                decision="allowed",
                reason="Allowed",
                would_deny=used.would_deny,
                outcome=became,
                ms=milliseconds(seconds),
                bytes=size,
            )
        )
        if used.kind == "tools":
            self._metrics.calls.observe(seconds, used.server, became)
        if used.would_deny:
            self._metrics.would_deny.count(used.kind)

    def denied(self, caller: Caller, used: Used, reason: str, layer: str, started: float) -> None:
        """Write down a use that was refused, and why: the caller does not learn it."""
        self._audit.write(
            Record(
                time=now(),
                caller=self._who,
                client=client_name(caller.client_info),
                session=caller.label,
                kind=used.kind,
                tool=used.shown[:MAX_NAME],
                server=used.server,
                name=used.name[:MAX_NAME],
                decision="denied",
                reason=reason,
                layer=layer,
                would_deny=used.would_deny,
                outcome="refused",
                ms=milliseconds(time.perf_counter() - started),
            )
        )
        self._metrics.denied.count(used.kind)

    def limited(self, caller: Caller, used: Used, limit: str, layer: str, started: float) -> None:
        """Write down a use that was refused because a limit is reached."""
        self.denied(caller, used, LIMIT, layer, started)
        self._metrics.limited.count(limit)


def became(outcome: jsonrpc.Outcome) -> Became:
    """Tell an outcome in one word."""
    return "ok" if outcome[0] == jsonrpc.RESULT else "error"
