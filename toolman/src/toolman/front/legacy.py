"""Sessions over HTTP, as the revisions up to 2025-11-25 have them.

Source: modelcontextprotocol.io/specification, *Transports* of 2025-03-26, 2025-06-18 and 2025-11-25.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from toolman import jsonrpc
from toolman.front import wire
from toolman.front.answers import EventSink, LegacyAnswer
from toolman.front.batches import MAX_BATCH, Batch
from toolman.front.refusals import Rejected, refuse, reject, rejected
from toolman.protocol import headers, legacy, modern
from toolman.protocol.headers import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from toolman.front.connection import Connection
    from toolman.front.core import Core
    from toolman.front.population import Population
    from toolman.front.requests import Request
    from toolman.jsonrpc import Message
    from toolman.sessions import Session, Sessions
    from toolman.streams import Stream

log = logging.getLogger(__name__)

MAX_HELLO = 32 * 1024
"""Bytes of what a client says of itself in ``initialize``: it is kept as long as the session."""

_SESSION = b"mcp-session-id"
_SESSION_LINE = b"Mcp-Session-Id: %b\r\n"
_LAST_EVENT = b"last-event-id"
_ACCEPTED = wire.empty(202)
_REMEMBERED = frozenset({legacy.SET_LEVEL, legacy.SUBSCRIBE, legacy.UNSUBSCRIBE})
"""Methods after which the store has to hear of the session again."""

_GONE = Refusal(400, "what came after that event is not kept any more: send the request again")
_BUG = jsonrpc.error(-32603, "Internal error: see toolman's log")


class Listening(EventSink):
    """Carries a stream on the response to a GET, until one of both ends.

    Args:
        connection: Serves the GET.
        connections: Those whose clients wait.
        version: The session's revision.
    """

    __slots__ = ("_connections", "stream")

    def __init__(self, connection: Connection, connections: Population, version: str) -> None:
        super().__init__(connection, version)
        self.stream: Stream | None = None
        self._connections = connections
        connections.wait(self)

    def keep_alive(self) -> None:
        """Show that there is life."""
        self.comment()

    def disconnected(self) -> None:
        """Learn that the connection broke."""
        self._connections.answered(self)
        if self.stream is not None:
            self.stream.detach(self)

    def close(self) -> None:
        """End the response."""
        self._connections.answered(self)
        super().close()


class Legacy:
    """Serves the requests.

    Args:
        core: Says what messages do.
        sessions: All of them.
        connections: Those whose clients wait.
    """

    def __init__(self, core: Core, sessions: Sessions, connections: Population) -> None:
        self._core = core
        self._sessions = sessions
        self._connections = connections
        self._tasks: set[asyncio.Task[None]] = set()

    def post(self, request: Request, connection: Connection, server: str | None) -> None:
        """Serve a POST.

        Raises:
            Rejected: The request is refused.
            Malformed: Its body is no message.
        """
        if request.repeated is not None:
            raise rejected(400, f"the header {request.repeated.decode()} must appear once")
        batch = jsonrpc.split_batch(request.body)
        if batch is not None:
            self._in_session(
                request, connection, server, None, lambda found: self._batch(found, batch, request, connection)
            )
            return
        message = jsonrpc.parse(request.body)
        request.body = b""  # a call may take long, and a body be big
        if message.method == legacy.INITIALIZE and message.identifier is not None:
            self._initialize(message, message.identifier, connection, server)
            return
        session = self._find(request, server, message)
        if session is not None:
            self._deliver(session, message, request, connection)
        else:
            self._in_session(
                request, connection, server, message, lambda found: self._deliver(found, message, request, connection)
            )

    def get(self, request: Request, connection: Connection, server: str | None) -> None:
        """Serve a GET: listen to a session, or come back for the rest of a stream.

        Raises:
            Rejected: The request is refused.
        """
        if _SESSION not in request.headers:
            raise rejected(405, "a stream needs the Mcp-Session-Id that initialize gave")
        if not headers.media(request.headers.get(b"accept"))[1]:
            raise rejected(406, "Accept must list text/event-stream")
        self._in_session(request, connection, server, None, lambda session: self._listen(session, request, connection))

    def delete(self, request: Request, connection: Connection, server: str | None) -> None:
        """Serve a DELETE: end a session.

        Raises:
            Rejected: The request is refused.
        """
        self._in_session(request, connection, server, None, lambda session: self._end(session, connection))

    def _deliver(self, session: Session, message: Message, request: Request, connection: Connection) -> None:
        identifier = message.identifier
        if message.method is None:
            self._core.response(session, message)
        elif identifier is None:
            self._core.notification(session, message)
        else:
            takes_json, takes_events = headers.media(request.headers.get(b"accept"))
            answer = connection.responder = LegacyAnswer(
                connection, self._connections, session, identifier, takes_json, takes_events
            )
            try:
                self._core.request(session, message, answer)
            except jsonrpc.Malformed as problem:
                answer.finish(jsonrpc.error(problem.code, problem.text))
            if not answer.is_done:
                self._connections.wait(answer)
            if message.method in _REMEMBERED:
                self._sessions.save(session)
            return
        line = connection.closing_line()
        connection.respond((wire.empty(202, line) if line else _ACCEPTED,))

    def _batch(self, session: Session, batch: list[bytes], request: Request, connection: Connection) -> None:
        if session.version != legacy.BATCHING:
            raise rejected(400, f"{session.version} has no batches: send one message per request")
        if len(batch) > MAX_BATCH:
            raise rejected(400, f"a batch may have {MAX_BATCH} messages at most")
        messages = [jsonrpc.parse(each) for each in batch]
        takes_events = headers.media(request.headers.get(b"accept"))[1]
        found = connection.responder = Batch(connection, self._connections, session, takes_events=takes_events)
        for message in messages:
            if message.method is None:
                self._core.response(session, message)
            elif message.identifier is None:
                self._core.notification(session, message)
        found.serve(self._core, [message for message in messages if message.method is not None])

    def _listen(self, session: Session, request: Request, connection: Connection) -> None:
        last = request.headers.get(_LAST_EVENT)
        if last and not session.streams.can_resume(last):
            refuse(connection, _GONE, is_head=False)
            return
        listening = connection.responder = Listening(connection, self._connections, session.version)
        streams = session.streams
        listening.stream = streams.resume(last, listening) if last else streams.open("get", listening)

    def _end(self, session: Session, connection: Connection) -> None:
        self._sessions.end(session)
        connection.respond((wire.empty(200, connection.closing_line()),))

    def _initialize(self, message: Message, identifier: bytes, connection: Connection, server: str | None) -> None:
        try:
            opening = legacy.open_session(message.params)
        except jsonrpc.Malformed as problem:
            raise Rejected(200, jsonrpc.error(problem.code, problem.text), identifier) from None
        if len(opening.capabilities) + len(opening.client_info or b"") > MAX_HELLO:
            raise rejected(400, f"capabilities and clientInfo may have {MAX_HELLO} bytes", identifier)
        session = self._sessions.create(opening.version, server, opening.capabilities, opening.client_info)
        self._start(self._welcome(session, identifier, connection), connection)

    async def _welcome(self, session: Session, identifier: bytes, connection: Connection) -> None:
        outcome = await self._core.initialize(session)
        if outcome[0] is jsonrpc.ERROR or connection.is_gone:
            self._sessions.end(session)
            line = b""
        else:
            self._sessions.save(session)
            log.debug("session %s: MCP %s", session.label, session.version)
            line = _SESSION_LINE % session.identifier.encode()
        connection.respond(wire.json_response(identifier, outcome, line + connection.closing_line()))

    def _in_session(
        self,
        request: Request,
        connection: Connection,
        server: str | None,
        message: Message | None,
        work: Callable[[Session], None],
    ) -> None:
        """Do something in the session that a request names, which may have to be brought back first."""
        session = self._find(request, server, message)
        if session is None:
            shown = request.headers[_SESSION].decode("latin-1")
            self._start(self._bring_back(shown, connection, server, message, work), connection)
        else:
            work(session)

    async def _bring_back(
        self,
        shown: str,
        connection: Connection,
        server: str | None,
        message: Message | None,
        work: Callable[[Session], None],
    ) -> None:
        session = await self._sessions.restore(shown)
        if connection.is_gone:
            return
        try:
            if session is None or session.server != server:
                raise _not_found(message)
            work(session)
        except Rejected as problem:
            reject(connection, problem)
        except jsonrpc.Malformed as problem:
            reject(connection, Rejected(400, jsonrpc.error(problem.code, problem.text), problem.identifier))

    def _find(self, request: Request, server: str | None, message: Message | None) -> Session | None:
        """Give the session that a request names; None if it is not here and may be in the store."""
        shown = request.headers.get(_SESSION)
        if shown is None:
            raise _without_session(request, message)
        session = self._sessions.get(shown.decode("latin-1"))
        if session is None and self._sessions.has_store:
            return None
        if session is None or session.server != server:
            raise _not_found(message)
        return session

    def _start(self, work: Coroutine[None, None, None], connection: Connection) -> None:
        task = asyncio.create_task(_guarded(work, connection), name="front")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _guarded(work: Coroutine[None, None, None], connection: Connection) -> None:
    try:
        await work
    except Exception:  # whatever it is, the client must not wait for ever
        log.exception("a request could not be served")
        reject(connection, Rejected(500, _BUG))


def _not_found(message: Message | None) -> Rejected:
    identifier = message.identifier if message is not None and message.method is not None else None
    return rejected(404, "Session not found: send initialize again", identifier)


def _without_session(request: Request, message: Message | None) -> Rejected:
    identifier = message.identifier if message is not None and message.method is not None else None
    if message is not None and modern.VERSION_HEADER not in request.headers and modern.is_enveloped(message.params):
        text = "MCP-Protocol-Version is missing: it must be what params._meta says"
        return Rejected(400, jsonrpc.error(modern.HEADER_MISMATCH, text), identifier)
    return rejected(400, "Mcp-Session-Id is missing: send initialize first", identifier)
