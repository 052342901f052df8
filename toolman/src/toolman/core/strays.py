"""What servers say and ask that belongs to no call: given to the only client that it can be meant for, or to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core import questions
from toolman.core.elicitations import COMPLETE
from toolman.exchange import REFUSED
from toolman.protocol import legacy
from toolman.protocol.translate import InputRequest

if TYPE_CHECKING:
    from msgspec import Raw

    from toolman.core.context import Context
    from toolman.core.subscriptions import Home
    from toolman.exchange import Question
    from toolman.sessions import Session

_KNOWN = frozenset({legacy.CANCELLED, legacy.PROGRESS, legacy.LOGGED})


class Strays:
    """Takes them from the gateway.

    Args:
        context: What all requests share.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def notified(self, home: Home, method: str, params: Raw | None) -> None:
        """Pass a notification on: news of a task to its owner, all else to the only session that has this server."""
        session = self._session(home)
        if method == COMPLETE and session is None:
            session = self._context.elicitations.take(home[0], params)
        if method == legacy.TASK_STATUS and params is not None:
            self._context.tasks.tell(home[0], params)
        elif session is not None and method not in _KNOWN:
            body = b"" if params is None else b',"params":' + bytes(params)
            session.push(b'{"jsonrpc":"2.0","method":%b%b}' % (jsonrpc.encode(method), body))

    def asked(self, home: Home, question: Question) -> None:
        """Put a question to the only session that has this server; one that all share must ask within a call."""
        session, keeper = self._session(home), self._context.gateway.keeper(home)
        request = InputRequest(question.method, question.params)
        if (
            session is None
            or keeper is None
            or self._context.permission.refusal(session, keeper.server, request) is not None
        ):
            question.answer(REFUSED)
        else:
            questions.ask(session, request, question.answer, lambda _: False)

    def _session(self, home: Home) -> Session | None:
        """Give the session whose own a server is."""
        if home[1] is None:
            return None
        return next((session for session in self._context.gateway.sessions if session.owner == home[1]), None)
