"""The MCP endpoint: streamable HTTP as a raw ASGI application, because every call goes through it.

Source: modelcontextprotocol.io/specification/2025-11-25/basic/transports (and 2025-06-18, 2025-03-26).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.answer import KEEP_ALIVE
from toolman.protocol import headers as rules
from toolman.protocol import legacy
from toolman.replies import COMMENT, EventStream, send_empty, send_error, send_outcome

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from toolman.answer import Answer
    from toolman.dispatch import Dispatcher
    from toolman.gateway import Gateway
    from toolman.sessions import Session, Stream

log = logging.getLogger(__name__)

MAX_BODY = 4 * 1024 * 1024
"""Bytes of one message from a client, as the official SDKs have it."""

Headers = dict[bytes, bytes]

_SESSION = b"mcp-session-id"
_VERSION = b"mcp-protocol-version"
_VERSIONS = frozenset(version.encode() for version in legacy.VERSIONS)
_INVALID = (jsonrpc.PARSE_ERROR, jsonrpc.INVALID_REQUEST)


class Refused(Exception):  # noqa: N818 - reads as what it says
    """The request is answered with an HTTP status and a JSON-RPC error."""

    def __init__(self, status: int, text: str, identifier: bytes = b"null") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.identifier = identifier


class Endpoint:
    """Serves ``/mcp``."""

    def __init__(self, gateway: Gateway, dispatcher: Dispatcher) -> None:
        self._gateway = gateway
        self._dispatcher = dispatcher
        self._rules: rules.Rules | None = None
        self._rules_of: object = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        headers: Headers = dict(scope["headers"])
        try:
            self._check_caller(scope, headers)
            match scope["method"]:
                case "POST":
                    await self._post(headers, receive, send)
                case "GET":
                    await self._get(headers, receive, send)
                case "DELETE":
                    self._gateway.sessions.end(self._session(headers))
                    await send_empty(send, 204)
                case _:
                    await send_empty(send, 405, ((b"allow", b"GET, POST, DELETE"),))
        except Refused as refused:
            error = jsonrpc.error(jsonrpc.INVALID_REQUEST, refused.text)
            await send_error(send, refused.status, refused.identifier, error)
        except jsonrpc.Malformed as problem:
            await send_error(send, 400, problem.identifier, jsonrpc.error(problem.code, problem.text))

    def _check_caller(self, scope: Scope, headers: Headers) -> None:
        listen = self._gateway.config.listen
        if self._rules is None or self._rules_of is not listen:
            self._rules, self._rules_of = rules.Rules(listen.allowed_hosts, listen.allowed_origins), listen
        server = scope.get("server")
        problem = self._rules.caller(headers.get(b"host"), headers.get(b"origin"), server[0] if server else "")
        if problem is not None:
            raise Refused(problem.status, problem.text)

    async def _post(self, headers: Headers, receive: Receive, send: Send) -> None:
        if not rules.is_json(headers.get(b"content-type")):
            raise Refused(415, "Content-Type must be application/json")
        accept = headers.get(b"accept")
        if not rules.accepts(accept, rules.JSON):
            raise Refused(406, "Accept must list application/json and text/event-stream")
        message = jsonrpc.parse(await _body(headers, receive))
        if message.method == legacy.INITIALIZE and message.identifier is not None:
            await self._initialize(message, message.identifier, send)
            return
        session = self._session(headers, message.identifier)
        if message.method is None or message.identifier is None:
            self._dispatcher.notification(session, message)
            await send_empty(send, 202)
            return
        try:
            answer = await self._dispatcher.request(session, message)
        except jsonrpc.Malformed as problem:
            status = 400 if problem.code in _INVALID else 200
            await send_error(send, status, message.identifier, jsonrpc.error(problem.code, problem.text))
            return
        if isinstance(answer, tuple):
            await send_outcome(send, message.identifier, answer)
        else:
            await _relay(send, message.identifier, answer, can_stream=rules.accepts(accept, rules.EVENTS))

    async def _initialize(self, message: jsonrpc.Message, identifier: bytes, send: Send) -> None:
        try:
            version = legacy.negotiate(message.params)
        except jsonrpc.Malformed as problem:
            await send_error(send, 200, identifier, jsonrpc.error(problem.code, problem.text))
            return
        session = self._gateway.sessions.create(version)
        log.debug("session %s: MCP %s", session.label, version)
        result = jsonrpc.result(legacy.initialize_result(version))
        await send_outcome(send, identifier, result, ((_SESSION, session.identifier.encode()),))

    def _session(self, headers: Headers, identifier: bytes | None = None) -> Session:
        """Find the session that a request belongs to.

        Clients of the modern era ask without one, and fall back to ``initialize`` on any refusal below 500.
        """
        about = identifier or b"null"
        shown = headers.get(_SESSION)
        version = headers.get(_VERSION)
        if shown is None:
            if version is not None and version not in _VERSIONS:
                raise Refused(400, _unsupported(version), about)
            raise Refused(400, "Mcp-Session-Id is missing: send initialize first", about)
        session = self._gateway.sessions.get(shown.decode("latin-1"))
        if session is None:
            raise Refused(404, "Session not found: send initialize again", about)
        if version is not None and version not in _VERSIONS:
            raise Refused(400, _unsupported(version), about)
        return session

    async def _get(self, headers: Headers, receive: Receive, send: Send) -> None:
        if _SESSION not in headers:
            raise Refused(405, "a stream needs the Mcp-Session-Id that initialize gave")
        session = self._session(headers)
        if not rules.accepts(headers.get(b"accept"), rules.EVENTS):
            raise Refused(406, "Accept must list text/event-stream")
        stream = session.open_stream()
        if session.listed and session.listed != self._gateway.generation:
            stream.notify()  # it changed between the client's list and now
        try:
            await _follow(stream, receive, EventStream(send))
        finally:
            session.close_stream(stream)


async def _body(headers: Headers, receive: Receive) -> bytes:
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > MAX_BODY:
        raise Refused(413, f"a message may have {MAX_BODY} bytes at most")
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise Refused(413, f"a message may have {MAX_BODY} bytes at most")
    return b"".join(parts)


async def _relay(send: Send, identifier: bytes, answer: Answer, *, can_stream: bool) -> None:
    """Answer with JSON, or with a stream as soon as something has to go before the outcome."""
    stream: EventStream | None = None
    while (note := await answer.next()) is not None:
        if can_stream:
            if stream is None:
                stream = EventStream(send)
                await stream.open()
            await stream.send(note) if note else await stream.comment(COMMENT)
    if answer.outcome is None:
        raise RuntimeError("an answer ended without an outcome")
    if stream is None:
        await send_outcome(send, identifier, answer.outcome)
    else:
        await stream.send(jsonrpc.response(identifier, answer.outcome))
        await stream.close()


async def _follow(stream: Stream, receive: Receive, events: EventStream) -> None:
    """Carry notifications until the client goes or the stream is ended."""
    await events.open()
    gone = asyncio.ensure_future(_disconnected(receive))
    gone.add_done_callback(lambda _: stream.end())
    try:
        await events.comment(COMMENT)
        while not stream.is_ended:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    await stream.wake.wait()
            except TimeoutError:
                await events.comment(COMMENT)
                continue
            stream.wake.clear()
            if stream.is_changed:
                stream.is_changed = False
                await events.send(legacy.TOOLS_CHANGED_MESSAGE)
    finally:
        gone.cancel()
    await events.close()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _unsupported(version: bytes) -> str:
    wanted = version.decode("latin-1")
    return f"Unsupported MCP-Protocol-Version {wanted!r}; served are {', '.join(legacy.VERSIONS)}"
