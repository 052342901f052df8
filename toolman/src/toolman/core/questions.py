"""Questions to clients of the legacy era: sent under ids of toolman's own, answered by what the client posts.

An id means something in its session alone, so nobody can answer for another client.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.exchange import Question
from toolman.protocol import legacy

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Raw

    from toolman.jsonrpc import Message, Outcome
    from toolman.protocol.translate import InputRequest
    from toolman.sessions import Session

PATIENCE = 600.0
"""Seconds that a client, which may ask a person, has for an answer."""

MAX_OPEN = 32
"""Questions of one session at a time; more are refused."""

UNANSWERED = jsonrpc.error(-32000, "the client did not answer")
WITHDRAWN = jsonrpc.error(-32000, "the client is not asked any more")
TOO_MANY = jsonrpc.error(-32000, "the client is being asked too many things at a time")

_numbers = itertools.count(1)


class Asked:
    """A question on its way to a client.

    Args:
        session: The client's.
        request: What it is asked.
        answer: Called once with what the client said, or with the error that stands for it.
    """

    __slots__ = ("_answer", "_session", "_timer", "number")

    def __init__(self, session: Session, request: InputRequest, answer: Callable[[Outcome], None]) -> None:
        self.number = next(_numbers)
        self._session = session
        self._answer = answer
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, self.answer, UNANSWERED)
        session.questions[self.number] = Question(request.method, request.params, self.answer)

    def answer(self, outcome: Outcome) -> None:
        """Take the answer; only the first one counts."""
        if self._session.questions.pop(self.number, None) is not None:
            self._timer.cancel()
            self._answer(outcome)

    def withdraw(self) -> None:
        """Forget it and tell the client, because what it was asked for is over."""
        if self._session.questions.pop(self.number, None) is not None:
            self._timer.cancel()
            self._session.push(jsonrpc.notification(legacy.CANCELLED.encode(), b'{"requestId":%d}' % self.number))


def ask(
    session: Session, request: InputRequest, answer: Callable[[Outcome], None], note: Callable[[bytes], bool]
) -> Asked | None:
    """Ask a client; the permission to do so was given.

    Args:
        session: The client's.
        request: What is asked.
        answer: Called once, perhaps at once.
        note: Sends it on the stream of the request that it belongs to; where that takes nothing, the session does.

    Returns:
        What is open now, None if it was refused.
    """
    if len(session.questions) >= MAX_OPEN:
        answer(TOO_MANY)
        return None
    question = Asked(session, request, answer)
    message = _request(question.number, request.method, request.params)
    if not note(message):
        session.push(message)
    return question


def answered(session: Session, message: Message) -> None:
    """Take a response that a client has posted; one to nothing that it was asked is dropped."""
    question = session.questions.get(message.key) if type(message.key) is int else None
    if question is not None and message.outcome is not None:
        question.answer(message.outcome)


def drop(session: Session) -> None:
    """Answer everything that a session was asked: it is over."""
    for question in tuple(session.questions.values()):
        question.answer(WITHDRAWN)


def _request(number: int, method: str, params: Raw | None) -> bytes:
    body = b"{}" if params is None else bytes(params)
    return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}' % (number, jsonrpc.encode(method), body)
