"""Getting to know a server behind HTTP: which era it speaks, and in the legacy one the session that it opens.

``server/discover`` is tried first. An answer of JSON-RPC or a refusal of the request means an older server, which gets
``initialize``; what is wrong with the credentials, the network or the server itself is an error and never taken for an
older server. Source: modelcontextprotocol.io/specification/2026-07-28, *Versioning*.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from toolman import jsonrpc
from toolman.exchange import Call, Outgoing
from toolman.protocol import legacy, modern, outgoing
from toolman.upstreams import Failure, incoming, welcome
from toolman.upstreams.inflight import OWN
from toolman.upstreams.web import requests
from toolman.upstreams.web.messages import OK, Messages
from toolman.upstreams.web.session import Session

if TYPE_CHECKING:
    from toolman.config import Server
    from toolman.exchange import Era
    from toolman.jsonrpc import Outcome
    from toolman.upstreams import Hello
    from toolman.upstreams.web.client import Client
    from toolman.upstreams.web.connection import Broken
    from toolman.upstreams.web.response import Response

SESSION_HEADER = b"mcp-session-id"

UNAUTHORIZED, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, TOO_MANY = 401, 403, 404, 405, 429
_REDIRECTION, _BAD_REQUEST, _SERVER_ERROR = 300, 400, 500
_ACCEPTED = frozenset({200, 202, 204})

FAREWELL = 2.0
"""Seconds that the end of a session may take."""

_IDENTIFIER = re.compile(rb"[\x21-\x7e]{1,4096}")
_SHOWN = 500
_NUMBER = 1
"""Of each request: there is only one at a time."""


class Greeting(NamedTuple):
    """What came of it."""

    session: Session
    hello: Hello


class _Answer(NamedTuple):
    """Of a request: the head, and the outcome if the body has one."""

    response: Response
    outcome: Outcome | None


_OUTDATED = Session("legacy", legacy.LATEST, b"")


class Greeter:
    """Greets one server as often as it is needed.

    Args:
        server: Its part of the configuration.
        client: Sends.
        capabilities: What clients can do, as far as the server may know it; a raw JSON object.
        era: In which it was spoken with the last time, None if that is not known.
    """

    def __init__(self, server: Server, client: Client, capabilities: bytes, era: Era | None) -> None:
        self._limit = server.max_message
        self._patience = server.timeouts.start
        self._client = client
        self._capabilities = capabilities
        self._era = era

    async def greet(self) -> Greeting:
        """Find out the era, and begin.

        Raises:
            Failure: The server cannot be reached, or there is no revision that both speak.
        """
        if self._era == "legacy":
            answer = await self._ask(legacy.INITIALIZE, legacy.initialize_params(self._capabilities), _OUTDATED)
            if answer.outcome is not None and answer.outcome[0] is jsonrpc.RESULT:
                return await self._open(answer)
        found = await self._discover()
        if found is None:
            answer = await self._ask(legacy.INITIALIZE, legacy.initialize_params(self._capabilities), _OUTDATED)
            found = await self._open(answer)
        self._era = found.hello.era
        return found

    async def _discover(self) -> Greeting | None:
        """Try the modern era; None if the server is of the legacy one."""
        headers = b"%b: %b\r\n" % (modern.VERSION_HEADER, modern.VERSION.encode())
        session = Session("modern", modern.VERSION, headers)
        sent = Outgoing(modern.DISCOVER, {}, capabilities=self._capabilities, client_info=outgoing.CLIENT_INFO)
        call = Call(sent, self._patience, OWN)
        call.number = _NUMBER
        answer = await self._send(requests.call(self._client.destination, session, call))
        hello = None if answer.outcome is None else welcome.discovered(answer.outcome)
        return None if hello is None else Greeting(session, hello)

    async def _open(self, answer: _Answer) -> Greeting:
        """Open the session that ``initialize`` was answered with."""
        if answer.outcome is None:
            raise Failure(
                f"it does not answer {legacy.INITIALIZE}: {describe(answer.response)}{_hint(answer.response)}"
            )
        hello = welcome.initialized(answer.outcome)
        identifier = answer.response.headers.get(SESSION_HEADER)
        headers = b"%b: %b\r\n" % (modern.VERSION_HEADER, hello.version.encode())
        if identifier is not None:
            if not _IDENTIFIER.fullmatch(identifier):
                raise Failure("its session identifier is not visible ASCII")
            headers += b"%b: %b\r\n" % (SESSION_HEADER, identifier)
        session = Session("legacy", hello.version, headers, has_identifier=identifier is not None)
        confirmed = await self._send(self._written(session, legacy.INITIALIZED_MESSAGE))
        if confirmed.response.status not in _ACCEPTED:
            raise Failure(f"it does not take {legacy.INITIALIZED}: {describe(confirmed.response)}")
        return Greeting(session, hello)

    async def farewell(self, session: Session) -> None:
        """End a session, if the server lets it be ended."""
        with contextlib.suppress(Failure, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._send(requests.farewell(self._client.destination, session))

    async def _ask(self, method: str, params: bytes, session: Session) -> _Answer:
        return await self._send(self._written(session, jsonrpc.request(b"%d" % _NUMBER, method.encode(), params)))

    def _written(self, session: Session, body: bytes) -> bytes:
        return requests.message(self._client.destination, session, body)

    async def _send(self, request: bytes) -> _Answer:
        """Send something and wait for what comes.

        Raises:
            Failure: Nothing came, or a status that says that something is wrong.
        """
        ask = _Ask(request, self._limit)
        self._client.send(ask)
        try:
            async with asyncio.timeout(self._patience):
                answer = await ask.answer
        except TimeoutError:
            raise Failure(f"it did not answer within {self._patience:g} s") from None
        finally:
            ask.abort()
        status = answer.response.status
        if status in {UNAUTHORIZED, FORBIDDEN, TOO_MANY} or status >= _SERVER_ERROR or is_redirect(status):
            raise Failure(describe(answer.response))
        return answer


class _Ask(Messages):
    """One request whose answer is waited for."""

    __slots__ = ("answer",)

    def __init__(self, request: bytes, limit: int) -> None:
        super().__init__(request, limit, is_repeatable=True)
        self.answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()

    def taken(self, data: bytes) -> None:
        """Take the answer from a stream; whatever else is on it is of no call."""
        self._settle(data, is_last=False)

    def answered(self, body: bytes) -> None:
        """Take the answer."""
        self._settle(body, is_last=True)

    def cut(self, problem: Broken | None) -> None:
        """Fail."""
        if not self.answer.done():
            self.answer.set_exception(problem or Failure("it closed the stream without an answer"))
            self.answer.exception()  # who waited may be gone

    def _settle(self, data: bytes, *, is_last: bool) -> None:
        outcome = read_outcome(data, _NUMBER)
        if self.response is not None and (is_last or outcome is not None) and not self.answer.done():
            self.answer.set_result(_Answer(self.response, outcome))


def read_outcome(data: bytes, number: int) -> Outcome | None:
    """Read the answer to a request; an error without an id counts. None if it is none."""
    message = incoming.read(incoming.utf8(data)) if data else None
    if message is None or message.method is not UNSET:
        return None
    is_own = incoming.integer(message.id) == number
    if message.result is not UNSET:
        return jsonrpc.result(message.result) if is_own else None
    if message.error is not UNSET and (is_own or message.id is UNSET or bytes(message.id) == b"null"):
        return jsonrpc.ERROR, message.error
    return None


def is_redirect(status: int) -> bool:
    """Tell whether a status sends elsewhere."""
    return _REDIRECTION <= status < _BAD_REQUEST


def describe(response: Response) -> str:
    """Say what a response that is no answer means, for a person. Nothing of its body is shown: it may hold secrets."""
    status = response.status
    if status == UNAUTHORIZED:
        return "it refuses toolman's credentials (HTTP 401): check its headers"
    if status == FORBIDDEN:
        return "it forbids toolman to use it (HTTP 403): check its headers and its list of allowed hosts"
    if is_redirect(status):
        place = response.headers.get(b"location", b"").partition(b"?")[0][:_SHOWN].decode("ascii", "backslashreplace")
        return f"it redirects to {place!r} (HTTP {status}), and redirects are not followed: make that its url"
    if status == OK:
        kind = response.media_type[:_SHOWN].decode("ascii", "backslashreplace")
        return f"its answer of type {kind!r} is no JSON-RPC message"
    return f"it answered with HTTP {status}"


def _hint(response: Response) -> str:
    is_old = response.status in {NOT_FOUND, NOT_ALLOWED}
    return "; if it speaks the older HTTP+SSE transport, its kind is sse (on the command line, --sse)" if is_old else ""
