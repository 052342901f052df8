"""Greet an MCP server that runs elsewhere: at an address that was checked, and nowhere else, within bounds.

Its name is resolved once and every address that it has is judged before the first byte goes out; the connection then
goes to one of those very addresses. So neither a redirect nor another answer of the name's server leads anywhere else.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from mcp_operator import conditions
from mcp_operator.images import http_client, http_probe, redact, sandbox
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.handshake import HandshakeError
from toolman import addresses

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from http.client import HTTPResponse

    from mcp_operator.images.contract import Transport
    from mcp_operator.images.http_probe import Found

SECONDS: Final = 20.0
"""For the whole conversation: what takes longer would keep agents waiting, too."""
CONNECT_SECONDS: Final = 5.0
"""For one address."""
MAX_ADDRESSES: Final = 8
"""A name has some; each costs a wait when it leads nowhere."""
_PIECE: Final = 65536
_PORTS: Final = {"http": 80, "https": 443}
_MASKED: Final = 4
"""Characters of a secret's shortest part that is looked for in what a server says."""

INSIDE: Final = (".svc", ".cluster.local", ".local", ".localhost", ".internal", ".localdomain")
"""Ends of names that mean something only inside: of Services, of machines, of a cloud's own network."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to greet.

    Attributes:
        url: Of its endpoint.
        transport: How it is spoken to.
        headers: Sent with every request; secrets.
        authorities: PEM of whom to trust instead of the usual ones; empty for those.
        inside: An admin has named its host: it may be in this cluster, or the network around it.
        networks: Further networks that count as inside: of Pods, Services and nodes with public addresses.
    """

    url: str
    transport: Transport
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authorities: str = ""
    inside: bool = False
    networks: tuple[str, ...] = ()


def resolve(host: str, port: int) -> list[str]:
    """Give the addresses of a name.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def greet(
    target: Target,
    cancelled: threading.Event | None = None,
    look_up: Callable[[str, int], Sequence[str]] = resolve,
) -> Found:
    """Shake hands with a server and list its tools. Blocks.

    Args:
        target: Whom.
        cancelled: Set when nobody wants to know any more.
        look_up: Gives the addresses of a name.

    Raises:
        BuildError: ``AddressRefused``, ``RemoteUnreachable`` or ``RemoteRefused``; no header is in its text.
        BuildCancelled: ``cancelled`` was set.
    """
    where = _Endpoint.of(target.url)
    found = _places(where.host, where.port, target, look_up)
    budget = Budget(SECONDS, cancelled)
    with contextlib.ExitStack() as opened:
        dial = _Dial(found, where, _trust(target) if where.is_secure else None, opened)
        web = _Web(dial, where.port, {**target.headers, "Host": where.authority})
        try:
            return http_probe.ask(web, target.transport, where.path, budget)
        except http_client.Refused as error:
            budget.check(Step.VERIFY)
            raise _silent(error, dial, target) from None
        except HandshakeError as error:
            raise _said(str(error), target) from None
        except OSError as error:
            raise _unreachable(error, target) from None


class _Endpoint(NamedTuple):
    """A URL, taken apart. ``path`` has the query, ``authority`` is what ``Host`` says."""

    is_secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> _Endpoint:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):  # a port that is none, half an IPv6 address, another scheme
            host, port = None, 0
        if not host:
            raise _error(conditions.REMOTE_REFUSED, "its URL cannot be used", "Correct spec.source.remote.url.")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme == "https", host, port, path)

    @property
    def authority(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == _PORTS["https" if self.is_secure else "http"] else f"{name}:{self.port}"


def _places(host: str, port: int, target: Target, look_up: Callable[[str, int], Sequence[str]]) -> list[str]:
    """Give the addresses of a host, all of which may be used."""
    if not target.inside and _is_inside_name(host.rstrip(".").lower()):
        raise _refused(f"{host} is a name of this cluster or of the network around it")
    try:
        found = list(look_up(host, port))[:MAX_ADDRESSES]
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else "it is no name"
        raise _error(
            conditions.REMOTE_UNREACHABLE,
            f"{redact.line(host)} has no address: {said}",
            "Check the host in spec.source.remote.url; it is asked again by itself.",
            transient=True,
        ) from None
    for address in found:  # one that may not be used is enough: which one is connected to is up to chance
        _judge(host, address, target)
    return found


def _is_inside_name(host: str) -> bool:
    is_address = ":" in host or host.replace(".", "").isdigit()
    return not is_address and ("." not in host or host.endswith(INSIDE))


def _judge(host: str, address: str, target: Target) -> None:
    place = addresses.place(address)
    where = f"{host} leads to {address}, which" if host != address else host
    if place == "own":
        raise _refused(f"{where} is this machine or a cloud's metadata", final=True)
    is_inside = place == "private" or addresses.within(address, target.networks)
    if is_inside and not target.inside:
        raise _refused(f"{where} is inside of the cluster or the network around it")


def _trust(target: Target) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=target.authorities or None)
    except (ssl.SSLError, ValueError):
        hint = "Put PEM certificates there, each between its BEGIN and END lines."
        raise _error(conditions.SECRET_INVALID, "caRef holds no certificates", hint) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


class _Channel:
    """A connection as :mod:`mcp_operator.images.http_client` wants it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes, budget: Budget) -> None:
        """Send."""
        self._connection.settimeout(max(0.1, budget.remaining()))
        self._connection.sendall(data)

    def read(self, budget: Budget) -> bytes:
        """Give what comes next; one read at a time, so that nobody can hold us with a byte now and then."""
        budget.check(Step.VERIFY)
        self._connection.settimeout(max(0.1, budget.remaining()))
        data = self._connection.recv(_PIECE)
        if not data:
            raise sandbox.Ended
        return data


class _Dial:
    """Connects to one of some addresses, the first that answers."""

    def __init__(
        self, places: Sequence[str], where: _Endpoint, trust: ssl.SSLContext | None, opened: contextlib.ExitStack
    ) -> None:
        self._places = places
        self._port = where.port
        self._host = where.host
        self._trust = trust
        self._opened = opened
        self.problem: OSError | None = None
        """Why the last attempt failed."""

    def __call__(self) -> _Channel:
        for place in self._places:
            try:
                connection = socket.create_connection((place, self._port), CONNECT_SECONDS)
            except OSError as error:
                self.problem = error
                continue
            self._opened.callback(connection.close)
            try:
                secured = self._secured(connection)
            except OSError as error:
                self.problem = error
                raise ConnectionError(str(error)) from error
            self.problem = None
            self._opened.callback(secured.close)
            return _Channel(secured)
        raise ConnectionError(str(self.problem))

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self._trust.wrap_socket(connection, server_hostname=self._host) if self._trust else connection


class _Web(http_client.Web):
    """Sends some headers with every request."""

    def __init__(self, dial: _Dial, port: int, headers: Mapping[str, str]) -> None:
        super().__init__(dial, port)
        self._headers = headers

    @contextlib.contextmanager
    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, budget: Budget
    ) -> Iterator[HTTPResponse]:
        """See :meth:`mcp_operator.images.http_client.Web.request`."""
        with super().request(method, path, {**headers, **self._headers}, body, budget) as response:
            yield response


def _silent(error: http_client.Refused, dial: _Dial, target: Target) -> BuildError:
    if dial.problem is not None:
        return _unreachable(dial.problem, target)
    if error.status == 0:
        return _unreachable(TimeoutError(0, "it ended the connection, or took too long"), target)
    if error.status >= 500:  # noqa: PLR2004 - HTTP's own line between whose fault it is
        return _unreachable(ConnectionError(0, f"it answers with HTTP status {error.status}"), target)
    return _said(str(error), target)


def _unreachable(problem: OSError, target: Target) -> BuildError:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return _error(
            conditions.REMOTE_REFUSED,
            f"its certificate is not trusted: {redact.line(problem.verify_message)}",
            "Name its authority with spec.source.remote.caRef, or correct the host in the URL.",
        )
    said = redact.line(_masked(str(problem.strerror or problem) or "no answer", target))
    return _error(
        conditions.REMOTE_UNREACHABLE,
        f"it cannot be reached: {said}",
        "Check the URL, and that this cluster may connect to it; it is asked again by itself.",
        transient=True,
    )


def _said(text: str, target: Target) -> BuildError:
    return _error(
        conditions.REMOTE_REFUSED,
        redact.line(_masked(text, target)),
        "Check url, transport and headers in spec.source.remote.",
    )


def _masked(text: str, target: Target) -> str:
    """Take out of a server's words what it was sent in secret."""
    words = {word for value in target.headers.values() for word in (value, *value.split()) if len(word) >= _MASKED}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, redact.MASK)
    return text


def _refused(message: str, *, final: bool = False) -> BuildError:
    hint = "Use the server's public address, or ask whoever administers the policies to name its host in sources.allow."
    return _error(conditions.ADDRESS_REFUSED, message, "Use another address." if final else hint)


def _error(reason: str, message: str, hint: str, *, transient: bool = False) -> BuildError:
    return BuildError(reason, message, step=Step.VERIFY, hint=hint, transient=transient)
