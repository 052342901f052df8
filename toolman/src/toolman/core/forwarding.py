"""Sending a request on to a server: the members that route are written anew, refusals look like what is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from toolman import jsonrpc
from toolman.core.calls import ClientCall
from toolman.core.context import Pending
from toolman.core.ledger import UNKNOWN, Used
from toolman.exchange import Outgoing
from toolman.protocol import modern, translate
from toolman.protocol.request_state import StateError, binding

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from msgspec import Raw

    from toolman.core.context import Cancel, Context
    from toolman.exchange import Caller, Reply
    from toolman.jsonrpc import Members, Message, Outcome

    Serve = Callable[["Request"], Cancel | None]

_token = msgspec.json.Decoder(int | str).decode


class Request(NamedTuple):
    """A request of a client's: who asks, what, and where the answer goes; when it began, on the performance counter."""

    caller: Caller
    message: Message
    reply: Reply
    started: float

    def params(self) -> Members:
        """Split its params.

        Raises:
            Malformed: They could be read in two ways.
        """
        return jsonrpc.members(self.message.params or b"{}", jsonrpc.PARAMS_KEYS)


class Forwarder:
    """Sends on and refuses.

    Args:
        context: What all requests share.
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def call(self, request: Request, used: Used, params: Members, key: str | None, value: bytes) -> ClientCall:
        """Make a call of a request that may go on.

        Args:
            request: The request.
            used: What it uses.
            params: Its params; they are the call's from then on.
            key: The member that routes, None if there is none.
            value: What toolman writes there, raw.

        Raises:
            Malformed: Its ``_meta`` could be read in two ways.
        """
        caller = request.caller
        meta, token = take_meta(params)
        written: dict[str, bytes | Raw] = {**params}
        if key is not None:
            written[key] = value
        outgoing = Outgoing(request.message.method or "", written, meta, token is not None)
        if key in {"name", "uri"}:
            outgoing.name = used.name
        if caller.era == "modern" and caller.log_level is not None:
            self.context.gateway.hub.need_log_level(caller, used.server, caller.log_level)
        return ClientCall(self.context, caller, request.message, request.reply, used, outgoing, token)

    def is_ours(self, caller: Caller, server: str) -> bool:
        """Tell whether a ``requestState`` comes from here: a modern server's own goes through to it.

        One that is starting again is taken for what it was.
        """
        if caller.era == "legacy":
            return False
        supervisor = self.context.gateway.upstream(server, caller)
        known = supervisor.peer or supervisor.offers
        return known is not None and known.hello.era == "legacy"

    def resume(self, request: Request, used: Used, params: Members) -> Cancel | None:
        """Go on with a call that was held while its client was asked for input.

        Raises:
            Malformed: Its params could be read in two ways.
        """
        caller, method = request.caller, request.message.method or ""
        try:
            bound = binding(caller.principal, method, used.shown, params.get("arguments"))
            hold = self.context.holding.take(jsonrpc.text(params, "requestState"), bound)
        except StateError as problem:
            return self.finish(request, jsonrpc.error(jsonrpc.INVALID_PARAMS, str(problem)))
        _, token = take_meta(params)
        raw = params.get("inputResponses", b"null")
        responses = {} if bytes(raw) == b"null" else jsonrpc.members(raw, frozenset())
        return hold.resume(request.reply, token, responses)

    def when_introduced(self, request: Request, serve: Serve) -> Cancel:
        """Wait, bounded, for servers that have never been listed: it may be theirs."""
        pending = Pending(self.context, request.caller, request.message, request.reply)

        async def wait() -> Outcome | None:
            await self.context.gateway.introduced(request.caller)
            pending.hand_over(serve(request))
            return None

        return pending.run(wait())

    def deny(self, request: Request, kind: Literal["tools", "prompts"], name: str) -> Cancel | None:
        """Answer for a tool or a prompt that may not be used or is not there."""
        entry = self.context.gateway.view(request.caller).hidden.get((kind, name))
        if entry is None:
            self.context.ledger.denied(request.caller, Used(kind, name), UNKNOWN, "", request.started)
        else:
            used = Used(kind, name, entry.server, entry.name, entry.would_deny)
            self.context.ledger.denied(request.caller, used, entry.reason, entry.source, request.started)
        return self.finish(request, jsonrpc.error(jsonrpc.INVALID_PARAMS, f"Unknown {kind[:-1]}: {name}"))

    def deny_resource(self, request: Request, uri: str) -> Cancel | None:
        """Answer for a resource that may not be used or is not there."""
        denial = self.context.gateway.view(request.caller).denial(uri)
        if denial is None:
            self.context.ledger.denied(request.caller, Used("resources", uri), UNKNOWN, "", request.started)
        else:
            verdict = denial.verdict
            used = Used("resources", uri, denial.server, uri, verdict.would_deny)
            self.context.ledger.denied(request.caller, used, verdict.reason, verdict.source, request.started)
        return self.finish(request, translate.resource_not_found(request.caller.era, uri))

    def finish(self, request: Request, outcome: Outcome) -> Cancel | None:
        """Answer a request that no server has a part in; there is nothing to cancel then."""
        self.context.finish(request.caller, request.message, request.reply, outcome)
        return None


def take_meta(params: Members) -> tuple[Members, Raw | None]:
    """Take ``_meta`` out of params: what goes on of it, and the progress token if there is one.

    Raises:
        Malformed: It cannot be read, or in two ways.
    """
    raw = params.pop("_meta", None)
    if raw is None or bytes(raw) == b"null":
        return {}, None
    meta = jsonrpc.members(raw, jsonrpc.META_KEYS)
    if not modern.ENVELOPE.isdisjoint(meta):
        translate.strip_envelope(meta)
    token = meta.pop("progressToken", None)
    if token is not None:
        try:
            _token(token)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = '"progressToken" must be a string or a whole number'
            raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, text) from None
    return meta, token
