"""Where a request goes: what is checked by its headers alone, and which era it belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from toolman import jsonrpc
from toolman.front.bearer import LABEL, Bearer
from toolman.front.legacy import Legacy
from toolman.front.modern import Modern
from toolman.front.refusals import Rejected, refuse, reject
from toolman.protocol import headers, legacy, modern
from toolman.protocol.headers import Refusal, Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolman.config import Config
    from toolman.front.connection import Connection
    from toolman.front.core import Core, Surroundings
    from toolman.front.population import Population
    from toolman.front.requests import Request
    from toolman.sessions import Sessions

METHODS = b"GET, POST, DELETE"

_VERSION = modern.VERSION_HEADER
_LEGACY = frozenset(version.encode() for version in legacy.UPSTREAM_VERSIONS)
_ALLOW = b"Allow: %b\r\n" % METHODS

_NOT_FOUND = Refusal(404, "nothing is here: toolman's endpoint has another path")
_NOT_ALLOWED = Refusal(405, "only GET, POST and DELETE", _ALLOW)
_NOT_MODERN = Refusal(405, "this revision has POST alone", b"Allow: POST\r\n")
_NOT_JSON = Refusal(415, "Content-Type must be application/json")
_NOT_ACCEPTED = Refusal(406, "Accept must list application/json and text/event-stream")


class Place(NamedTuple):
    """What a path leads to: all servers, or one."""

    server: str | None


class _Settings:
    """What the configuration in force says about listening, ready to be used."""

    def __init__(self, config: Config, clock: Callable[[], float], before: _Settings | None) -> None:
        listen = config.listen
        self.config = config
        self.listen = listen
        root = listen.path.encode()
        self.below = root.rstrip(b"/") + b"/"
        self.places = {root: Place(None)}
        self.places |= {root + b"/" + server.name.encode(): Place(server.name) for server in config.servers}
        self.rules: Rules = Rules(listen.allowed_hosts, listen.allowed_origins)
        self.bearer: Bearer | None = Bearer(listen.token, clock) if listen.token is not None else None
        if before is not None and before.listen == listen:
            self.rules, self.bearer = before.rules, before.bearer

    def place(self, target: bytes) -> Place | None:
        """Find what a request's target leads to; a query and a slash at the end change nothing."""
        place = self.places.get(target)
        if place is not None:
            return place
        try:
            return self.places.get(urlsplit(target).path.rstrip(b"/"))
        except ValueError:
            return None


class Endpoint:
    """Serves all requests of the front; implements :class:`toolman.front.connection.Endpoint`.

    Args:
        core: Says what messages do.
        gateway: Knows the configuration in force.
        sessions: Of the legacy era.
        connections: Those whose clients wait.
        clock: Seconds, monotonic.
        principal: Names whoever sends requests here, where that is known already.
    """

    def __init__(
        self,
        core: Core,
        gateway: Surroundings,
        sessions: Sessions,
        connections: Population,
        clock: Callable[[], float],
        principal: str = "",
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._principal = principal
        self._legacy = Legacy(core, sessions, connections)
        self._modern = Modern(core, connections, gateway.is_stateless_for)
        self._settings = _Settings(gateway.config, clock, None)

    @property
    def max_connections(self) -> int:
        """How many connections may be open."""
        return self._current().listen.max_connections

    def admit(self, request: Request, address: str) -> Refusal | None:
        """Look at a request whose headers are there; ``address`` is the local end of its connection."""
        settings = self._current()
        place = settings.place(request.target)
        if place is None and not request.target.startswith(settings.below):
            return _NOT_FOUND
        request.scope = place
        request.limit = settings.listen.max_body
        found = request.headers
        if request.method not in {b"POST", b"GET", b"DELETE"}:
            return _NOT_ALLOWED
        if request.repeated in headers.SINGLE:
            return Refusal(400, f"the header {request.repeated.decode()} must appear once")
        refusal: Refusal | None = settings.rules.caller(found.get(b"host"), found.get(b"origin"), address)
        if refusal is None and settings.bearer is not None:
            refusal = settings.bearer.check(found.get(b"authorization"))
        if refusal is None and place is None:
            return _NOT_FOUND  # only now: the names of servers are not for everybody
        if refusal is None and request.method == b"POST":
            refusal = _check_post(request)
        return refusal

    def serve(self, request: Request, connection: Connection) -> None:
        """Answer a request, now or later."""
        if request.refusal is not None:
            refuse(connection, request.refusal, is_head=request.method == b"HEAD")
            return
        try:
            self._serve(request, connection)
        except Rejected as problem:
            reject(connection, problem)
        except jsonrpc.Malformed as problem:
            reject(connection, Rejected(400, jsonrpc.error(problem.code, problem.text), problem.identifier))

    def _serve(self, request: Request, connection: Connection) -> None:
        version = request.headers.get(_VERSION)
        server = request.scope.server if isinstance(request.scope, Place) else None
        is_modern = version is not None and version not in _LEGACY
        if request.method == b"POST":
            if is_modern:
                principal = LABEL if self._settings.bearer else self._principal
                self._modern.post(request, connection, server, principal)
            else:
                self._legacy.post(request, connection, server)
        elif is_modern:
            refuse(connection, _NOT_MODERN, is_head=False)
        elif request.method == b"GET":
            self._legacy.get(request, connection, server)
        else:
            self._legacy.delete(request, connection, server)

    def _current(self) -> _Settings:
        config = self._gateway.config
        if config is not self._settings.config:
            self._settings = _Settings(config, self._clock, self._settings)
        return self._settings


def _check_post(request: Request) -> Refusal | None:
    if not headers.is_json(request.headers.get(b"content-type")):
        return _NOT_JSON
    if not any(headers.media(request.headers.get(b"accept"))):
        return _NOT_ACCEPTED
    return None
