"""Requests of 2026-07-28 over HTTP: the checks before they are served, in the order that the specification has.

What a client says twice, in headers and in the body, must be the same: whatever stands between reads headers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from toolman import jsonrpc
from toolman.front import wire
from toolman.front.answers import ModernAnswer
from toolman.front.refusals import Rejected, rejected
from toolman.protocol import headers, modern

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from toolman.exchange import Era
    from toolman.front.connection import Connection
    from toolman.front.core import Core
    from toolman.front.population import Population
    from toolman.front.requests import Headers, Request
    from toolman.jsonrpc import Message
    from toolman.protocol.modern import Envelope

NEEDS_SESSION = "servers here have a process for each session: send initialize"
"""Said where there is no modern era, so that clients begin a session."""

_METHOD = modern.METHOD_HEADER
_NAME = modern.NAME_HEADER
_VERSION = modern.VERSION_HEADER
_PARAM = modern.PARAM_PREFIX
_BETWEEN = frozenset({b"via", b"forwarded", b"x-forwarded-for", b"x-real-ip"})
"""Headers of whatever stands between: it may send the requests of several clients on one connection."""

_NOTHING: Mapping[str, bytes] = {}
_ACCEPTED = wire.empty(202)


class Client:
    """Who sent one request; implements :class:`toolman.exchange.Caller`.

    Nothing but its connection tells a client from others, and not even that where one stands between.

    Attributes:
        owner: The connection that it came on, or the request itself.
        label: ``token`` for one that has shown it, ``-`` for any other.
        principal: The same, or nothing.
        server: The only server that it sees, None for all.
        mirrored: Values of its ``Mcp-Param-*`` headers.
    """

    __slots__ = ("_envelope", "label", "mirrored", "owner", "principal", "server")
    era: ClassVar[Era] = "modern"

    def __init__(self, envelope: Envelope, principal: str, server: str | None, mirrored: Mapping[str, bytes]) -> None:
        self._envelope = envelope
        self.principal = principal
        self.label = principal or "-"
        self.server = server
        self.mirrored = mirrored
        self.owner: Hashable = self

    @property
    def version(self) -> str:
        """Revision of the protocol."""
        return self._envelope.version

    @property
    def capabilities(self) -> bytes:
        """The client's, for this request."""
        return self._envelope.capabilities

    @property
    def client_info(self) -> bytes | None:
        """The client's name and version."""
        return self._envelope.client_info

    @property
    def log_level(self) -> str | None:
        """From which level on it wants log messages on this request."""
        return self._envelope.log_level


class Modern:
    """Serves the requests.

    Args:
        core: Says what they do.
        connections: Those whose clients wait.
        is_stateless_for: Tells whether an endpoint can be served without sessions.
    """

    def __init__(self, core: Core, connections: Population, is_stateless_for: Callable[[str | None], bool]) -> None:
        self._core = core
        self._connections = connections
        self._is_stateless_for = is_stateless_for

    def post(self, request: Request, connection: Connection, server: str | None, principal: str) -> None:
        """Serve a POST.

        Raises:
            Rejected: The request is refused.
            Malformed: Its body is no message.
        """
        message = jsonrpc.parse(request.body)
        request.body = b""  # a call may take long, and a body be big
        identifier = message.identifier
        if identifier is None:
            connection.respond((_accepted(connection),))
            return
        if message.method is None:
            raise rejected(400, "this revision has no responses of clients", identifier)
        if not self._is_stateless_for(server):
            raise Rejected(404, jsonrpc.error(jsonrpc.METHOD_NOT_FOUND, NEEDS_SESSION), identifier)
        try:
            client = _examine(request, message.method, message, principal, server)
        except jsonrpc.Malformed as problem:
            raise Rejected(400, jsonrpc.error(problem.code, problem.text), identifier) from None
        if _BETWEEN.isdisjoint(request.headers):
            client.owner = connection.client
        takes_json, takes_events = headers.media(request.headers.get(b"accept"))
        answer = connection.responder = ModernAnswer(
            connection, self._connections, identifier, takes_json, takes_events
        )
        self._serve(client, message, answer)

    def _serve(self, client: Client, message: Message, answer: ModernAnswer) -> None:
        try:
            cancel = self._core.request(client, message, answer)
        except jsonrpc.Malformed as problem:
            answer.finish(jsonrpc.error(problem.code, problem.text))
            return
        if answer.is_done:
            return
        answer.cancel = cancel
        self._connections.wait(answer)


def _examine(request: Request, method: str, message: Message, principal: str, server: str | None) -> Client:
    """Check what must agree and make the caller.

    Raises:
        Malformed: The envelope is not complete.
        Rejected: Something does not agree.
    """
    given = request.headers
    shown = given.get(_VERSION, b"").decode("latin-1")
    if request.repeated is not None:
        raise _mismatch(message, f"the header {request.repeated.decode()} must appear once")
    if shown not in modern.VERSIONS and not modern.is_enveloped(message.params):
        raise Rejected(400, modern.unsupported_version(shown), message.identifier)
    envelope = modern.read_envelope(method, message.params)
    problem = _difference(given, shown, method, envelope)
    if problem is not None:
        raise _mismatch(message, problem)
    if shown not in modern.VERSIONS:
        raise Rejected(400, modern.unsupported_version(shown), message.identifier)
    mirrored = _NOTHING
    if method == "tools/call":
        mirrored = {name[len(_PARAM) :].decode("latin-1"): given[name] for name in given if name.startswith(_PARAM)}
    return Client(envelope, principal, server, mirrored)


def _difference(given: Headers, shown: str, method: str, envelope: Envelope) -> str | None:
    """Tell where headers and body disagree."""
    if envelope.version != shown:
        return f"MCP-Protocol-Version differs from {modern.META_VERSION} in params._meta"
    if given.get(_METHOD, b"") != method.encode():
        return "Mcp-Method is missing or differs from the method"
    if envelope.name is not None and (_NAME not in given or modern.decode_header(given[_NAME]) != envelope.name):
        return f"Mcp-Name is missing or differs from params.{modern.NAMED[method]}"
    return None


def _mismatch(message: Message, text: str) -> Rejected:
    return Rejected(400, jsonrpc.error(modern.HEADER_MISMATCH, text), message.identifier)


def _accepted(connection: Connection) -> bytes:
    line = connection.closing_line()
    return wire.empty(202, line) if line else _ACCEPTED
