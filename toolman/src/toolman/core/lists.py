"""What toolman says of itself and lists: answered here, from what the gateway knows, without asking any server."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.core.catalog import META
from toolman.core.context import Pending, session_of
from toolman.core.routes import UNKNOWN_METHOD
from toolman.protocol import legacy, modern

if TYPE_CHECKING:
    from toolman.core.context import Cancel
    from toolman.core.forwarding import Forwarder, Request
    from toolman.core.verdicts import Kind
    from toolman.exchange import Caller
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import ListKind

MOMENT = 1.0
"""Seconds that the answer to a greeting waits for servers that are starting; clients give up on it after ten."""

_KINDS: dict[str, Kind] = {
    legacy.LIST_TOOLS: "tools",
    legacy.LIST_PROMPTS: "prompts",
    legacy.LIST_RESOURCES: "resources",
    legacy.LIST_TEMPLATES: "templates",
}
_COUNTED: dict[Kind, ListKind] = {
    "tools": "tools",
    "prompts": "prompts",
    "resources": "resources",
    "templates": "resources",
}
_DONE = jsonrpc.result(b"{}")
_NO_CURSOR = jsonrpc.error(jsonrpc.INVALID_PARAMS, "Invalid cursor")
"""Every list is one page, so no cursor was given out."""


class Lists:
    """Serves what is known here.

    Args:
        forwarder: Answers.
    """

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._gateway = forwarder.context.gateway

    def serve(self, request: Request) -> Cancel | None:
        """Serve ``tools/list`` and its kin."""
        params = request.params()
        if "cursor" in params and bytes(params["cursor"]) != b"null":
            return self._forwarder.finish(request, _NO_CURSOR)
        if not self._gateway.is_introduced(request.caller):
            return self._forwarder.when_introduced(request, self._list)
        return self._list(request)

    def ping(self, request: Request) -> None:
        """Serve ``ping``."""
        self._forwarder.finish(request, _DONE)

    def set_level(self, request: Request) -> None:
        """Serve ``logging/setLevel``."""
        level = jsonrpc.text(request.params(), "level")
        if level not in legacy.LEVELS:
            raise jsonrpc.Malformed(jsonrpc.INVALID_PARAMS, f'"level" must be one of {", ".join(legacy.LEVELS)}')
        session = session_of(request.caller)
        self._gateway.hub.set_log_level(session, level)
        self._gateway.sessions.save(session)
        self._forwarder.finish(request, _DONE)

    def discover(self, request: Request) -> Cancel | None:
        """Serve ``server/discover``. Where clients need a session it is an unknown method: they fall back to one."""
        if not self._gateway.is_stateless_for(request.caller.server):
            return self._forwarder.finish(request, UNKNOWN_METHOD)
        if self._gateway.is_introduced(request.caller):
            return self._forwarder.finish(request, self._discovered(request.caller))
        pending = Pending(self._forwarder.context, request.caller, request.message, request.reply)

        async def wait() -> Outcome:
            await self._moment(request.caller)
            return self._discovered(request.caller)

        return pending.run(wait())

    async def initialize(self, caller: Caller) -> Outcome:
        """Answer ``initialize`` of a session that was just made."""
        if not self._gateway.is_introduced(caller):
            await self._moment(caller)
        hello = self._gateway.hello(caller)
        result = legacy.initialize_result(caller.version, hello.capabilities, hello.instructions)
        self._forwarder.context.ledger.answered(caller, legacy.INITIALIZE, "ok")
        return jsonrpc.result(result)

    def serves(self, caller: Caller, capability: str) -> bool:
        """Tell whether a client was told of a capability."""
        return capability in _names(self._gateway.hello(caller).capabilities)

    def _list(self, request: Request) -> Cancel | None:
        caller = request.caller
        kind = _KINDS[request.message.method or ""]
        view = self._gateway.view(caller)
        if caller.era == "modern":
            return self._forwarder.finish(request, jsonrpc.result(view.modern_listing(kind)))
        counted = _COUNTED[kind]
        session_of(caller).listed[counted] = view.generation[counted]
        return self._forwarder.finish(request, jsonrpc.result(view.listing(kind)))

    def _discovered(self, caller: Caller) -> Outcome:
        hello = self._gateway.hello(caller)
        instructions = b"" if hello.instructions is None else b',"instructions":' + jsonrpc.encode(hello.instructions)
        return jsonrpc.result(
            b'{"resultType":"complete","supportedVersions":%b,"capabilities":%b%b,"ttlMs":%d,"cacheScope":"private","_meta":%b}'
            % (
                jsonrpc.encode(modern.VERSIONS),
                hello.capabilities,
                instructions,
                self._gateway.view(caller).ttl,
                META,
            )
        )

    async def _moment(self, caller: Caller) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MOMENT):
                await self._gateway.introduced(caller)


@functools.lru_cache(maxsize=64)
def _names(capabilities: bytes) -> frozenset[str]:
    return frozenset(jsonrpc.members(capabilities, frozenset()))
