"""What a server's outcome becomes on its way to a client: between eras, with tasks noted, with questions decided on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core import asking
from toolman.core.context import UNAVAILABLE
from toolman.exchange import REFUSED
from toolman.protocol import legacy, modern, translate

if TYPE_CHECKING:
    from toolman.core.calls import ClientCall
    from toolman.core.context import Context
    from toolman.jsonrpc import Members, Outcome
    from toolman.protocol.translate import InputRequired
    from toolman.upstreams import Hello

MODERN_PARAMS = frozenset({"inputResponses", "requestState"})
"""Members of params that go on with a request that was answered with ``input_required``."""

_NOT_ASKED = jsonrpc.error(UNAVAILABLE, "the server asks its client for something that it may not ask for")
_STRANGE = jsonrpc.error(UNAVAILABLE, "the server answered with a kind of result that this client does not know")


def look(call: ClientCall, outcome: Outcome, hello: Hello, context: Context) -> Outcome | InputRequired:
    """Give what the client gets, or what it is to be asked before the call goes on.

    Args:
        call: What is answered.
        outcome: The server's.
        hello: What the server is.
        context: What all share.

    Raises:
        Malformed: The result could be read in two ways.
    """
    method = call.outgoing.method
    if outcome[0] == jsonrpc.ERROR:
        return _error(call, outcome, hello, context) if method == legacy.READ_RESOURCE else outcome
    if call.caller.era == "modern" and hello.era == "modern":
        return _between_modern(call, outcome, context)
    if hello.era == "modern":
        return _to_legacy(call, outcome)
    if call.caller.era == "modern":
        return jsonrpc.result(translate.to_modern(outcome[1], method, hello.server_info))
    return context.tasks.noted(call, outcome) if call.is_about_task else outcome


def _error(call: ClientCall, outcome: Outcome, hello: Hello, context: Context) -> Outcome:
    """Give an error verbatim, unless it says that a resource is not there.

    That has a code of its own in each era, and must look like what is not allowed where nothing but the name is known.
    """
    caller, uri = call.caller, call.used.shown
    gone = jsonrpc.INVALID_PARAMS if hello.era == "modern" else legacy.RESOURCE_NOT_FOUND
    if jsonrpc.error_code(outcome[1]) not in {gone, legacy.RESOURCE_NOT_FOUND}:
        return outcome
    if caller.era == hello.era and uri in context.gateway.view(caller).resources:
        return outcome
    return translate.resource_not_found(caller.era, uri)


def _between_modern(call: ClientCall, outcome: Outcome, context: Context) -> Outcome:
    """Look only where something may have to be decided: untouched otherwise, and untouched if it is allowed."""
    value = outcome[1]
    if translate.may_be(value, b'"input_required"', b'"task"', b'"inputRequests"') or call.is_about_task:
        found = translate.read_result(value)
        kind = translate.result_type(found)
        if kind == "input_required" or "inputRequests" in found:
            refused = _decided(call, translate.read_input_required(found))
            if refused is not None:
                return refused
        if kind == "task" and not translate.declares_extension(
            context.permission.shown(call.caller, call.server), modern.TASKS
        ):
            return _STRANGE
        if kind == "task" or call.is_about_task:
            return context.tasks.noted(call, outcome)
    return outcome


def _to_legacy(call: ClientCall, outcome: Outcome) -> Outcome | InputRequired:
    found: Members = translate.read_result(outcome[1])
    kind = translate.result_type(found)
    if kind == "input_required":
        required = translate.read_input_required(found)
        return _decided(call, required) or required
    return jsonrpc.result(translate.to_legacy(found)) if kind == "complete" else _STRANGE


def _decided(call: ClientCall, required: InputRequired) -> Outcome | None:
    """Decide on everything that a server asks; one thing that may not be asked ends the whole."""
    for request in required.requests.values():
        refused = asking.refusal(call, request)
        if refused is not None:
            return _NOT_ASKED if refused is REFUSED else refused
    return None


def is_failure(outcome: Outcome) -> bool:
    """Tell whether an outcome is an error, or the result of a tool that failed."""
    if outcome[0] == jsonrpc.ERROR:
        return True
    return bytes(translate.read_result(outcome[1]).get("isError", b"false")) == b"true"
