"""Where the requests for one server go: its URL, the headers that the configuration adds, whom TLS trusts.

Values of headers may be secrets: no error and no log line has them, nor anything of the URL behind its host, where
people put keys, too.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import msgspec

from toolman import __version__, addresses
from toolman.config import Http, Secret, Sse
from toolman.upstreams import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from toolman.config import Upstream

RESERVED = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that toolman writes itself, and those that start with ``mcp-``."""

LOOK_AGAIN = 1.0
"""Seconds between looks at the files of secrets."""

_MAX_SECRET = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")
_TARGET = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}


class Address(msgspec.Struct, frozen=True):
    """A parsed URL.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name or an address, without brackets.
        port: TCP port.
        target: Path and query as a request line has them.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the ``Host`` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """What may be shown of the URL."""
        return f"{self.scheme}://{self.authority}"

    def is_same_origin(self, other: Address) -> bool:
        """Whether both are of one scheme, host and port."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)


def parse(url: str) -> Address:
    """Read a URL.

    Raises:
        ValueError: It cannot be used; the text says why, and shows nothing behind its host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as problem:
        raise ValueError(f"its url is not one: {problem}") from None
    if parts.scheme not in _PORTS or not host:
        raise ValueError("its url must begin with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ValueError("its url holds a user or a password: put them into headers.Authorization, from a file")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target) or not _TARGET.fullmatch(host):
        raise ValueError("its url has characters that must be percent-encoded")
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], target)


class Destination:
    """A server's address, kept ready for writing requests.

    Args:
        upstream: As configured, of a kind that has a URL.

    Raises:
        Failure: It is of another kind, the configuration cannot be used, or a secret cannot be read.
    """

    def __init__(self, upstream: Upstream) -> None:
        if not isinstance(upstream, Http | Sse):
            raise Failure("it is not reached over HTTP")
        self._url = upstream.url
        try:
            self.address = parse(upstream.url)
        except ValueError as problem:
            raise Failure(str(problem)) from None
        self._ca = upstream.ca
        self._reach = upstream.reach
        self._headers = _check_names(upstream.headers)
        self._bearer = upstream.token
        if self._bearer is not None:
            if any(name.lower() == "authorization" for name in self._headers):
                raise Failure("it has both a token and the header Authorization: leave one out")
            self._headers = {**self._headers, "Authorization": self._bearer}
        self._trust: ssl.SSLContext | None = None
        self._trusted: tuple[int, ...] | None = None
        self._looked = 0.0
        self._stamps: tuple[tuple[int, ...], ...] = ()
        self._values: dict[str, str] = {}
        self._block = b""
        self.refresh()

    def beside(self, place: str) -> Address:
        """Read a URL that may be relative to this one.

        Raises:
            ValueError: It cannot be used.
        """
        return parse(urljoin(self._url, place))

    def check(self, places: Iterable[str]) -> None:
        """Refuse addresses at which the server may not be: a name's owner decides what it leads to, at any time.

        Raises:
            Failure: One is such an address. Which one of them is connected to would be up to chance.
        """
        if self._reach == "any":
            return
        allowed = {"public"} if self._reach == "public" else {"public", "private"}
        for address in places:
            if addresses.place(address) not in allowed:
                raise Failure("its host leads to where no server may be", f" ({address}; its reach is {self._reach})")

    def head(self, method: bytes, address: Address | None = None) -> bytes:
        """Write the first lines of a request, up to the last header that is the same in all of them."""
        now = time.monotonic()
        if now - self._looked > LOOK_AGAIN:
            with contextlib.suppress(Failure):  # while a file is being replaced the old value is the best there is
                self.refresh()
        target = (address or self.address).target.encode()
        return b"%b %b HTTP/1.1\r\n%b" % (method, target, self._block)

    def refresh(self) -> None:
        """Read the secrets again if their files have changed.

        Raises:
            Failure: One cannot be read.
        """
        self._looked = time.monotonic()
        files = [(name, value.file) for name, value in self._headers.items() if isinstance(value, Secret)]
        stamps = tuple(_stamp(name, file) for name, file in files)
        if self._block and stamps == self._stamps:
            return
        texts = {name: value for name, value in self._headers.items() if isinstance(value, str)}
        read = {name: _read(name, file) for name, file in files}
        if self._bearer is not None:
            read["Authorization"] = f"Bearer {read['Authorization']}"
        self._block = self._written(texts | read)
        self._stamps = stamps

    def is_outdated(self, request: bytes) -> bool:
        """Read the secrets again now, and tell whether a POST was written with others."""
        with contextlib.suppress(Failure):
            self.refresh()
        return not request.startswith(self.head(b"POST"))

    def trust(self) -> ssl.SSLContext | None:
        """Make what TLS needs: the configured authorities, or those of the system; None for plain HTTP.

        ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace the system's. It is made once, and again when the file changes:
        the system's authorities take megabytes and every session may have a connection of its own.

        Raises:
            Failure: The file of the authorities cannot be read.
        """
        if self.address.scheme != "https":
            return None
        try:
            stamp = None if self._ca is None else _identity(self._ca)
            if self._trust is not None and stamp == self._trusted:
                return self._trust
            context = ssl.create_default_context(cafile=self._ca)
        except (OSError, ssl.SSLError) as problem:
            raise Failure(f"its ca cannot be read: {problem.strerror}", f" ({self._ca})") from None
        context.set_alpn_protocols(["http/1.1"])
        self._trust, self._trusted = context, stamp
        return context

    def _written(self, values: dict[str, str]) -> bytes:
        """Write the configured headers and toolman's own; ``User-Agent`` may be the configuration's."""
        for name, value in values.items():
            if not _VALUE.fullmatch(value):
                raise Failure(f"the value of the header {name} has line breaks or other characters that no header has")
        own = {"Host": self.address.authority, "User-Agent": f"toolman/{__version__}", "Accept-Encoding": "identity"}
        names = {name.lower() for name in values}
        lines = {name: value for name, value in own.items() if name.lower() not in names} | values
        return "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")


def _check_names(headers: Mapping[str, str | Secret]) -> Mapping[str, str | Secret]:
    seen = set()
    for name in headers:
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise Failure(f"{name!r} is not the name of a header")
        if lower in RESERVED or lower.startswith("mcp-"):
            raise Failure(f"the header {name} is written by toolman itself: remove it")
        if lower in seen:
            raise Failure(f"the header {name} is there twice")
        seen.add(lower)
    return headers


def _stamp(name: str, file: str) -> tuple[int, ...]:
    try:
        return _identity(file)
    except OSError as problem:
        raise Failure(f"the file of the header {name} cannot be read: {problem.strerror}", f" ({file})") from None


def _identity(file: str) -> tuple[int, ...]:
    found = os.stat(file)  # noqa: PTH116 - Path costs as much as a call itself
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(name: str, file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_MAX_SECRET).decode("latin-1").strip("\r\n\t ")
    except OSError as problem:
        raise Failure(f"the file of the header {name} cannot be read: {problem.strerror}", f" ({file})") from None
