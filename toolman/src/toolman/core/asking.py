"""Putting what a server asks to the client whose call it belongs to, if both may, in the way of the client's era."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from toolman.core import questions
from toolman.core.context import session_of
from toolman.core.input_required import Hold
from toolman.core.ledger import REQUESTED, Used
from toolman.exchange import REFUSED
from toolman.protocol import legacy, modern
from toolman.protocol.translate import InputRequest
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from toolman.core.calls import ClientCall
    from toolman.exchange import Question
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Peer

_SETTLING = 0.5
"""Seconds for a server to answer a ping while it waits for a client; one that reads nothing meanwhile never does."""


def put(given: ClientCall, question: Question) -> None:
    """Put a question of a legacy server to a client, or refuse it.

    Args:
        given: The call that the peer takes it to belong to.
        question: What is asked.
    """
    call = given if given.caller.era == "legacy" else given.context.attribution.meant(given.supervisor, given)
    request = InputRequest(question.method, question.params)
    if call is None:
        question.answer(REFUSED)
        return
    refused = refusal(call, request)
    if refused is not None:
        if refused is not REFUSED:
            call.lacking = refused
        question.answer(REFUSED)
    elif call.caller.era == "legacy":
        _send(call, request, question)
    else:
        _hold(call, question)


async def settle(peer: Peer) -> None:
    """Wait, bounded, until what a server has asked by now is here: it answers a ping behind its questions.

    However busy the machine is, questions that a server asks at once are so told from those that follow an answer.
    """
    with contextlib.suppress(Failure, TimeoutError):  # both tell as much as an answer
        async with asyncio.timeout(_SETTLING):
            await peer.request(legacy.PING, {}, _SETTLING)


def refusal(call: ClientCall, request: InputRequest) -> Outcome | None:
    """Tell why a client is not asked something, None if it is; what is refused is written down."""
    refused = call.context.permission.refusal(call.caller, call.server, request)
    if refused is not None:
        asked = Used("server_requests", request.method, call.used.server, request.method)
        call.context.ledger.denied(call.caller, asked, REQUESTED, "", time.perf_counter())
    return refused


def _send(call: ClientCall, request: InputRequest, question: Question) -> None:
    """Ask a client of the legacy era: it is sent a request."""
    session = session_of(call.caller)
    asked = questions.ask(session, request, question.answer, call.reply.note)
    if asked is not None:
        call.context.elicitations.note(call.used.server, question.params, session)
        call.asked_of_session = [*(call.asked_of_session or ()), asked]


def _hold(call: ClientCall, question: Question) -> None:
    """Ask a client of the modern era: the call is held while it is answered for now."""
    if call.outgoing.method not in modern.ASKING or not (call.hold or call.context.holding.has_room):
        question.answer(REFUSED)
        return
    if call.hold is None:
        call.hold = Hold(call.context.holding, call, call.binding())
    call.hold.ask(question)
