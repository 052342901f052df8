"""Where toolman is: its URL, taken apart, and the addresses to try in order."""

from __future__ import annotations

from mcp_wrapper.lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Address: TypeAlias = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
    """Address family and socket address."""

LOCALHOST = "localhost"
LOOPBACK_NAMES = (LOCALHOST, "127.0.0.1", "::1")
DEFAULT_PORTS = {"http": 80, "https": 443}
MAX_PORT = 65535
_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_URL_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F))) - {"#"}
_IPV6_CHARACTERS = frozenset("0123456789abcdefABCDEF:.")


class EndpointError(ValueError):
    """The URL cannot be used; the text says why and what to give instead."""


class Endpoint:
    """An HTTP endpoint.

    Attributes:
        url: As it was given.
        is_secure: What is sent is encrypted, and the other end has a certificate.
        host: Name or address, without brackets.
        port: TCP port.
        authority: Value of the Host header.
        target: Path and query of the request line.
    """

    __slots__ = ("authority", "host", "is_secure", "port", "target", "url")

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        scheme = scheme.lower()
        if not separator or scheme not in DEFAULT_PORTS:
            raise EndpointError(f"{url!r} is not a URL: give one such as http://localhost:3000/mcp")
        if not _URL_CHARACTERS.issuperset(url):
            raise EndpointError(f"{url!r}: blanks, fragments and characters outside ASCII must be percent-encoded")
        self.url = url
        before, question, query = rest.partition("?")
        self.authority, _, path = before.partition("/")
        self.target = f"/{path}{question}{query}"
        self.is_secure = scheme == "https"
        self.host, self.port = _host_and_port(url, self.authority, DEFAULT_PORTS[scheme])

    @property
    def is_loopback(self) -> bool:
        """Tell whether what is sent stays on this machine."""
        return self.host in LOOPBACK_NAMES

    def addresses(self) -> list[Address]:
        """List the addresses to try, best first.

        ``localhost`` is not looked up: images without a hosts file have no answer, and many lists put ::1 first,
        where a stranger may listen when toolman serves 127.0.0.1 alone.

        Raises:
            OSError: The name is unknown.
        """
        if self.host == LOCALHOST:
            return [(socket.AF_INET, ("127.0.0.1", self.port)), (socket.AF_INET6, ("::1", self.port, 0, 0))]
        # Bytes, since a str would load the tables of international names.
        found = socket.getaddrinfo(self.host.encode(), self.port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]  # only INET families


def _host_and_port(url: str, authority: str, default: int) -> tuple[str, int]:
    if "@" in authority:
        # The text goes to a log: it must not repeat a password.
        raise EndpointError("the URL must not hold credentials: use MCP_WRAPPER_TOKEN_FILE")
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or ":" not in host or not _IPV6_CHARACTERS.issuperset(host) or rest[:1] not in {"", ":"}:
            raise EndpointError(f"{url!r}: an IPv6 address must look like [::1] or [::1]:3000")
        return host, _port(url, rest[1:], default)
    host, _, port = authority.lower().partition(":")
    if not host or not _HOST_CHARACTERS.issuperset(host):
        raise EndpointError(f"{url!r}: {host!r} is not a host name")
    return host, _port(url, port, default)


def _port(url: str, text: str, default: int) -> int:
    if not text:
        return default
    # The URL is ASCII: no digits that int() would not take, and few enough to be quick.
    port = int(text) if text.isdigit() and len(text) <= len(str(MAX_PORT)) else 0
    if not 0 < port <= MAX_PORT:
        raise EndpointError(f"{url!r}: the port must be a number from 1 to {MAX_PORT}")
    return port
