"""What HTTP requests must look like before anything is read from their body: DNS rebinding, media types.

A page in a browser can send requests to localhost under a name of its own, so ``Host`` and ``Origin`` must name this
machine. Verdicts depend on four headers that a client sends again and again, and are remembered.
"""

from __future__ import annotations

import functools
from typing import NamedTuple
from urllib.parse import urlsplit

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
JSON = "application/json"
EVENTS = "text/event-stream"


class Refusal(NamedTuple):
    """An HTTP status and a sentence that says what to change."""

    status: int
    text: str


class Rules:
    """Checks for one configuration.

    Args:
        hosts: Host names accepted besides localhost and the address that was connected to.
        origins: Origins accepted besides those of localhost, such as ``https://app.example.com``.
    """

    def __init__(self, hosts: tuple[str, ...], origins: tuple[str, ...]) -> None:
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self.caller = functools.lru_cache(maxsize=256)(self._caller)

    def _caller(self, host: bytes | None, origin: bytes | None, address: str) -> Refusal | None:
        """Check Host and Origin; ``address`` is the local end of the connection."""
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


@functools.lru_cache(maxsize=256)
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


@functools.lru_cache(maxsize=256)
def is_json(content_type: bytes | None) -> bool:
    """Tell whether a body is declared as JSON: a page cannot send that to another origin without being asked first."""
    return content_type is not None and content_type.partition(b";")[0].strip().lower() == b"application/json"
