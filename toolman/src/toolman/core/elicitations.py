"""Who was sent to which web page: a server says later, outside of any call, that somebody is done there.

Revision 2025-11-25 alone has ``notifications/elicitation/complete``; in the modern era a client asks again instead.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from toolman import jsonrpc

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.sessions import Session

COMPLETE = "notifications/elicitation/complete"

MAX_REMEMBERED = 500
"""The oldest are forgotten: their clients ask again by themselves."""


class Elicitations:
    """Remembers them, by the server and its id."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def note(self, server: str, params: Raw | None, session: Session) -> None:
        """Note what a session is asked, if it has an id."""
        identifier = _identifier(params)
        if identifier is not None:
            self._sessions.setdefault((server, identifier), session)
            if len(self._sessions) > MAX_REMEMBERED:
                self._sessions.popitem(last=False)

    def take(self, server: str, params: Raw | None) -> Session | None:
        """Give the session that a server is done with; None if that was nobody's, or is over."""
        identifier = _identifier(params)
        session = None if identifier is None else self._sessions.pop((server, identifier), None)
        return session if session is not None and not session.is_ended else None


def _identifier(params: Raw | None) -> str | None:
    if params is None:
        return None
    try:
        found = jsonrpc.members(params, frozenset())
        return jsonrpc.text(found, "elicitationId") if "elicitationId" in found else None
    except jsonrpc.Malformed:
        return None
