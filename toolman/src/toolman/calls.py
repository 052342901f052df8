"""One allowed call of a tool, between a client's session and a server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Literal

import msgspec

from toolman import jsonrpc
from toolman.answer import Answer
from toolman.audit import Record, milliseconds, now
from toolman.protocol import legacy
from toolman.upstreams.peer import UNAVAILABLE, Call

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.audit import Audit
    from toolman.catalog import Route
    from toolman.sessions import Session

_PROGRESS = legacy.PROGRESS.encode()
_CANCELLED = jsonrpc.error(UNAVAILABLE, "cancelled by the client")
_token = msgspec.json.Decoder(int | str).decode


class ToolCall:
    """Carries a call to the server and everything that comes back, under the client's own names.

    Args:
        audit: Gets one record when the call is over.
        session: Whose call it is.
        key: The value of the request's id; the caller enters it into the session's calls.
        name: The tool's name as the client knows it.
        route: Where it goes.
        members: The params as the client sent them.
        timeout: Seconds of silence after which it fails.

    Attributes:
        answer: What the client gets.
        upstream: What the server answers.

    Raises:
        Malformed: ``_meta`` or its progress token cannot be read.
    """

    __slots__ = (
        "_audit",
        "_key",
        "_members",
        "_meta",
        "_name",
        "_route",
        "_session",
        "_started",
        "_token",
        "answer",
        "upstream",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - one of each; a struct around them would be made for this call alone
        self,
        audit: Audit,
        session: Session,
        key: int | str,
        name: str,
        route: Route,
        members: jsonrpc.Members,
        timeout: float,
    ) -> None:
        self._audit = audit
        self._session = session
        self._key = key
        self._name = name
        self._route = route
        self._members: dict[str, bytes | Raw] = {**members, "name": route.name}
        self._meta, self._token = _read_meta(members.get("_meta"))
        self._started = time.perf_counter()
        self.answer = Answer(asyncio.get_running_loop())
        self.upstream = Call(self.finish, timeout, self._progress if self._token is not None else None)

    def params(self, number: bytes) -> bytes:
        """Write the params for the server; ``number`` is the progress token it is to use.

        Clients count their tokens from 0 and share the server, so theirs would be mixed up.
        """
        if self._token is not None:
            self._members["_meta"] = jsonrpc.dump({**self._meta, "progressToken": number})
        return jsonrpc.dump(self._members)

    def finish(self, outcome: jsonrpc.Outcome) -> None:
        """Take the outcome."""
        self._end(outcome, "ok" if outcome[0] is jsonrpc.RESULT else "error")

    def cancel(self, reason: Raw | None = None) -> None:
        """End it because the client does not want it any more; ``reason`` is the client's own, raw."""
        self.upstream.cancel(reason)
        self._end(_CANCELLED, "cancelled")

    def _end(self, outcome: jsonrpc.Outcome, became: Literal["ok", "error", "cancelled"]) -> None:
        if self.answer.outcome is not None:
            return
        self._session.calls.pop(self._key, None)
        self.upstream.release()
        self._audit.write(
            Record(
                time=now(),
                session=self._session.label,
                tool=self._name,
                server=self._route.server,
                decision="allowed",
                reason="Allowed",
                outcome=became,
                ms=milliseconds(time.perf_counter() - self._started),
            )
        )
        self.answer.finish(outcome)

    def _progress(self, progress: jsonrpc.Members) -> None:
        if self._token is not None:
            params = jsonrpc.dump({**progress, "progressToken": self._token})
            self.answer.note(jsonrpc.notification(_PROGRESS, params))


def _read_meta(raw: Raw | None) -> tuple[jsonrpc.Members, Raw | None]:
    """Read ``_meta``: all its members, and the progress token if there is one."""
    if raw is None or bytes(raw) == b"null":
        return {}, None
    meta = jsonrpc.members(raw, jsonrpc.META_KEYS)
    token = meta.get("progressToken")
    if token is not None:
        try:
            _token(token)
        except msgspec.DecodeError:
            text = '"progressToken" must be a string or a whole number'
            raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, text) from None
    return meta, token
