"""What each message of a legacy client does. The decision about a call falls here, before anything is forwarded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from toolman import jsonrpc
from toolman.audit import MAX_NAME, Record, milliseconds, now
from toolman.calls import ToolCall
from toolman.protocol import legacy
from toolman.upstreams import Failure
from toolman.upstreams.peer import UNAVAILABLE

if TYPE_CHECKING:
    from toolman.answer import Answer
    from toolman.audit import Audit
    from toolman.gateway import Gateway
    from toolman.sessions import Session

_CALL = legacy.CALL_TOOL.encode()
_EMPTY = jsonrpc.result(b"{}")
_UNKNOWN_METHOD = jsonrpc.error(jsonrpc.METHOD_NOT_FOUND, "Method not found")
_ID_IN_USE = jsonrpc.error(jsonrpc.INVALID_REQUEST, "a request with this id is still on its way: give each its own id")


class _Cancelled(msgspec.Struct):
    requestId: int | str  # noqa: N815 - the wire's name
    reason: msgspec.Raw = msgspec.Raw()


_cancelled = msgspec.json.Decoder(_Cancelled).decode


class Dispatcher:
    """Serves the messages of sessions."""

    def __init__(self, gateway: Gateway, audit: Audit) -> None:
        self._gateway = gateway
        self._audit = audit

    async def request(self, session: Session, message: jsonrpc.Message) -> Answer | jsonrpc.Outcome:
        """Serve a request: an outcome at once, or an answer that is still to come.

        Raises:
            Malformed: Its params cannot be read.
        """
        match message.method:
            case legacy.CALL_TOOL:
                return await self._call(session, message)
            case legacy.LIST_TOOLS:
                return await self._list(session, message)
            case legacy.PING:
                return _EMPTY
        return _UNKNOWN_METHOD

    def notification(self, session: Session, message: jsonrpc.Message) -> None:
        """Take a notification or a response; what cannot be read or is not known is dropped, as JSON-RPC has it."""
        if message.method != legacy.CANCELLED:
            return
        try:
            cancelled = _cancelled(message.params or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        call = session.calls.get(cancelled.requestId)
        if call is not None:
            call.cancel(cancelled.reason or None)

    async def _list(self, session: Session, message: jsonrpc.Message) -> jsonrpc.Outcome:
        if message.params is not None and "cursor" in jsonrpc.members(message.params, jsonrpc.LIST_KEYS):
            return jsonrpc.error(jsonrpc.INVALID_PARAMS, "Invalid cursor")  # the list is one page: none was given out
        if not self._gateway.is_introduced:
            await self._gateway.introduced()
        session.listed = self._gateway.generation
        return jsonrpc.result(self._gateway.view.listing)

    async def _call(self, session: Session, message: jsonrpc.Message) -> Answer | jsonrpc.Outcome:
        started = time.perf_counter()
        name, params = jsonrpc.parse_call(message.params)
        route = self._gateway.view.routes.get(name)
        if route is None and not self._gateway.is_introduced:
            await self._gateway.introduced()
            route = self._gateway.view.routes.get(name)
        if route is None:
            self._record_denied(session, name, started)
            return jsonrpc.error(jsonrpc.INVALID_PARAMS, f"Unknown tool: {name}")
        if message.key is None or message.key in session.calls:
            return _ID_IN_USE
        supervisor = self._gateway.supervisor(route.server)
        call = ToolCall(self._audit, session, message.key, name, route, params, supervisor.server.timeouts.call)
        session.calls[message.key] = call
        try:
            await supervisor.call(call.upstream, _CALL, call.params)
        except Failure as problem:
            call.finish(jsonrpc.error(UNAVAILABLE, str(problem)))
        return call.answer

    def _record_denied(self, session: Session, name: str, started: float) -> None:
        hidden = self._gateway.view.hidden.get(name)
        self._audit.write(
            Record(
                time=now(),
                session=session.label,
                tool=name[:MAX_NAME],
                server=hidden.server if hidden else "",
                decision="denied",
                reason=hidden.reason if hidden else "Unknown",
                layer=hidden.source if hidden else "",
                outcome="refused",
                ms=milliseconds(time.perf_counter() - started),
            )
        )
