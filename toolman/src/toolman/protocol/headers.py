"""What HTTP requests must look like before anything is read from their body: DNS rebinding, media types.

A page in a browser can send requests to localhost under a name of its own, so ``Host`` and ``Origin`` must name this
machine. Verdicts depend on four headers that a client sends again and again, and are remembered, unless these are so
long that remembering them would cost memory.
"""

from __future__ import annotations

import functools
from typing import NamedTuple
from urllib.parse import urlsplit

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
JSON = "application/json"
EVENTS = "text/event-stream"

LONG = 1024
"""Bytes of headers from which on what is found out about them is not remembered."""

SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type", b"origin"})
"""Headers that may appear once: what stands before toolman and toolman itself must not read different ones."""

ROUTING = (b"mcp-", b"last-event-id")
"""Beginnings of headers of MCP, for which the same holds."""


class Refusal(NamedTuple):
    """An HTTP status, a sentence that says what to change, and header lines that the answer has besides."""

    status: int
    text: str
    lines: bytes = b""


class Rules:
    """Checks for one configuration.

    Args:
        hosts: Host names accepted besides localhost and the address that was connected to.
        origins: Origins accepted besides those of localhost, such as ``https://app.example.com``.
    """

    def __init__(self, hosts: tuple[str, ...], origins: tuple[str, ...]) -> None:
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._verdict = functools.lru_cache(maxsize=256)(self._caller)

    def caller(self, host: bytes | None, origin: bytes | None, address: str) -> Refusal | None:
        """Check Host and Origin; ``address`` is the local end of the connection."""
        if len(host or b"") + len(origin or b"") > LONG:
            return self._caller(host, origin, address)
        return self._verdict(host, origin, address)

    def _caller(self, host: bytes | None, origin: bytes | None, address: str) -> Refusal | None:
        name = _host_name(host)
        if host is None or name is None:
            return Refusal(400, "bad or missing Host header")
        if name not in LOCAL and name != address and not self._hosts & {name, host.decode("latin-1")}:
            return Refusal(403, "Host is not this machine: connect to 127.0.0.1, or add it to listen.allowedHosts")
        if origin is not None and not self._is_origin_accepted(origin.decode("latin-1")):
            return Refusal(403, "Origin is not accepted: add it to listen.allowedOrigins")
        return None

    def _is_origin_accepted(self, origin: str) -> bool:
        if origin in self._origins:
            return True
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in {"http", "https"} and parts.hostname in LOCAL


def _host_name(host: bytes | None) -> str | None:
    """Take the port and the brackets of an IPv6 address away."""
    try:
        parts = urlsplit("//" + (host or b"").decode("ascii"))
        return parts.hostname if parts.netloc == parts.netloc.rpartition("@")[2] and not parts.path else None
    except ValueError:
        return None


def is_single(name: bytes) -> bool:
    """Tell whether a header, its name in lower case, may appear once only."""
    return name in SINGLE or name.startswith(ROUTING)


def accepts(header: bytes | None, media_type: str) -> bool:
    """Tell whether an Accept header (None = anything) admits a media type; ``q=0`` and wildcards are understood."""
    if header is None:
        return True
    wanted = {media_type, media_type.partition("/")[0] + "/*", "*/*"}
    for part in header.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name in wanted and not any(piece.replace(" ", "") in {"q=0", "q=0.0"} for piece in parameters):
            return True
    return False


def media(accept: bytes | None) -> tuple[bool, bool]:
    """Tell whether an Accept header admits JSON, and whether it admits event streams."""
    return _media.__wrapped__(accept) if accept is not None and len(accept) > LONG else _media(accept)


@functools.lru_cache(maxsize=256)
def _media(accept: bytes | None) -> tuple[bool, bool]:
    return accepts(accept, JSON), accepts(accept, EVENTS)


def is_json(content_type: bytes | None) -> bool:
    """Tell whether a body is declared as JSON: a page cannot send that to another origin without being asked first."""
    return content_type is not None and content_type.partition(b";")[0].strip().lower() == b"application/json"
