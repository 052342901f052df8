"""HTTP/1.1 requests, read from pieces within limits. No I/O: bytes in, requests out.

The grammar is llhttp's, in its strict mode: what could be read in two ways (both lengths, a blank before a colon, bare
line feeds) is refused there. Here are the limits, and what becomes of upgrades: they are not wanted, so such a request
is served as if it had not asked for one (RFC 9110, section 7.8); Java's client asks for HTTP/2 in every first request.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

import httptools

from toolman.protocol.headers import Refusal, is_single

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_HEAD = 64 * 1024
"""Bytes of a request's target and headers together. Arguments that headers mirror may be long texts."""

MAX_HEADERS = 128
"""Header lines of a request, roughly: each counts as so many bytes that more would be too many."""

_LINE = MAX_HEAD // MAX_HEADERS

MAX_TARGET = 8 * 1024
"""Bytes of a request's target."""

MAX_WAITING = 128
"""Requests of one connection that were sent ahead of the answer to an earlier one."""

Headers = dict[bytes, bytes]


class Request:
    """One request.

    Attributes:
        method: Such as ``POST``.
        target: Path and query, or whatever stands there.
        headers: By name in lower case; what may be repeated is joined with commas.
        body: All of it.
        repeated: A header that must not appear twice and does, None if there is none.
        refusal: Why it is not served, None if it is.
        limit: Bytes that its body may have.
        scope: What its target leads to, as the one who admits it leaves it.
        is_last: Whether the connection ends after it.
        is_cut: Whether the rest of it has not been read.
        is_old: Whether it is one of HTTP/1.0, whose clients know no chunks.
    """

    __slots__ = (
        "body",
        "headers",
        "is_cut",
        "is_last",
        "is_old",
        "limit",
        "method",
        "refusal",
        "repeated",
        "scope",
        "target",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: Headers = {}
        self.body = b""
        self.repeated: bytes | None = None
        self.refusal: Refusal | None = None
        self.limit = 0
        self.scope: object = None
        self.is_last = False
        self.is_cut = False
        self.is_old = False


class _RefusedError(Exception):
    """Ends the parsing; nothing behind it can be trusted to be the beginning of a request."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


class Reader:
    """Reads the requests of one connection. Methods that begin with ``on_`` are the parser's.

    Args:
        admit: Called with a request when its headers are complete; may refuse it and sets its ``limit``.
        go_on: Called when a client waits for a word before it sends the body.

    Attributes:
        ready: Complete requests, the oldest first.
        is_midway: Whether a part of a request is here.
        is_in_head: Whether that part ends within its headers.
        size: Bytes kept of a body that is not complete.
        is_ended: Whether nothing more will be read.
    """

    def __init__(self, admit: Callable[[Request], Refusal | None], go_on: Callable[[], None]) -> None:
        self.ready: deque[Request] = deque()
        self.is_midway = False
        self.is_in_head = False
        self.is_ended = False
        self.size = 0
        self._admit = admit
        self._go_on = go_on
        self._parser = httptools.HttpRequestParser(self)
        self._request = Request()
        self._parts: list[bytes] = []
        self._head = self._held = 0
        self._is_upgrade = False
        self._plain = 0  # bytes of a body that come past the parser

    def feed(self, data: bytes) -> None:
        """Take what came. Never raises: what cannot be read becomes a request with a refusal, the last one."""
        had_head = self.is_in_head
        try:
            rest = self._feed(data)
            while rest and not self.is_ended:
                rest = self._feed(rest)
        except (httptools.HttpParserError, _RefusedError) as problem:
            if not self.is_ended:
                self._cut(_explain(problem))
        if self.is_in_head and had_head:
            self._held += len(data)  # a header that is not complete is known to the parser alone
            if self._held > MAX_HEAD:
                self._cut(_TOO_LARGE)

    def end(self) -> None:
        """Read no more; a part of a request is forgotten."""
        self.is_ended, self.is_midway, self.is_in_head = True, False, False
        self._parts, self.size = [], 0

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self.is_ended:
            raise _RefusedError(_TOO_LARGE)  # nobody is told: it comes behind the last one
        self._request = Request()
        self._head = self._held = self.size = 0
        self._is_upgrade = False
        self.is_midway = self.is_in_head = True

    def on_url(self, piece: bytes) -> None:
        """Take a piece of the target."""
        self._request.target += piece
        self._head += len(piece)
        if self._head > MAX_TARGET:
            raise _RefusedError(Refusal(414, f"the target has more than {MAX_TARGET} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which nobody asked for."""
        self._head += len(name) + len(value) + _LINE
        if self._head > MAX_HEAD:
            raise _RefusedError(_TOO_LARGE)
        if not self.is_in_head:
            return
        request = self._request
        name, value = name.lower(), value.rstrip(b" \t")
        if name not in request.headers:
            request.headers[name] = value
        elif is_single(name):
            request.repeated = name
        else:
            request.headers[name] += b", " + value

    def on_headers_complete(self) -> None:
        """Decide about the request as far as its headers say."""
        self.is_in_head = False
        request = self._request
        request.method = self._parser.get_method()
        self._is_upgrade = self._parser.should_upgrade()
        request.is_last = not self._parser.should_keep_alive()
        if request.is_last or b"connection" in request.headers:  # others are of HTTP/1.1
            self._look_at_version(request)
        request.refusal = self._admit(request)
        waits = request.headers.get(b"expect", b"").lower() == b"100-continue" and not request.is_old
        length = request.headers.get(b"content-length", b"")
        if request.refusal is None and length.isdigit() and int(length) > request.limit:
            self._cut(_too_big(request))
        elif request.refusal is not None and waits:
            self._cut(request.refusal)
        elif waits:
            self._go_on()

    def _look_at_version(self, request: Request) -> None:
        version = self._parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise _RefusedError(Refusal(505, "HTTP/1.1 is spoken here"))
        if version == "1.0":
            request.is_old = request.is_last = True

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body; that of a request that is refused is not kept."""
        if self.is_ended or self._request.refusal is not None:
            return
        self._parts.append(piece)
        self.size += len(piece)
        if self.size > self._request.limit:
            self._cut(_too_big(self._request))

    def on_message_complete(self) -> None:
        """End a request."""
        if self._is_upgrade or self.is_ended:
            return
        request, parts = self._request, self._parts
        request.body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts, self.size, self.is_midway = [], 0, False
        if len(self.ready) >= MAX_WAITING:
            raise _RefusedError(Refusal(429, f"at most {MAX_WAITING} requests may be sent ahead of their answers"))
        self.ready.append(request)
        self.is_ended = request.is_last

    def _feed(self, data: bytes) -> bytes:
        """Take what came; give the part that is still to be taken."""
        if self._plain:
            return self._feed_plain(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade()
            return data[upgrade.args[0] :]
        return b""

    def _ignore_upgrade(self) -> None:
        """Go on with HTTP/1.1. The parser takes everything behind the headers for another protocol: also a body."""
        request = self._request
        self._parser = httptools.HttpRequestParser(self)
        self._is_upgrade = False
        if request.method == b"CONNECT" or b"transfer-encoding" in request.headers:
            self._cut(request.refusal or Refusal(400, "this request cannot be combined with an upgrade"))
            return
        self._plain = int(request.headers.get(b"content-length", b"0"))
        if not self._plain:
            self.on_message_complete()

    def _feed_plain(self, data: bytes) -> bytes:
        piece = data[: self._plain]
        self._plain -= len(piece)
        self.on_body(piece)
        if not self._plain:
            self.on_message_complete()
        return data[len(piece) :]

    def _cut(self, refusal: Refusal) -> None:
        """Refuse a request of which not everything was read, and read no more."""
        request = self._request if self.is_midway else Request()
        request.refusal, request.is_last, request.is_cut = refusal, True, True
        self.end()
        self.ready.append(request)


_TOO_LARGE = Refusal(431, f"the headers have more than {MAX_HEAD} bytes or {MAX_HEADERS} lines")


def _too_big(request: Request) -> Refusal:
    return Refusal(413, f"a message may have {request.limit} bytes at most")


def _explain(problem: Exception) -> Refusal:
    cause = problem.__context__ if isinstance(problem, httptools.HttpParserCallbackError) else problem
    if isinstance(cause, _RefusedError):
        return cause.refusal
    if isinstance(problem, httptools.HttpParserCallbackError):
        log.error("a request could not be examined", exc_info=problem)
        return Refusal(500, "an error in toolman: see its log")
    return Refusal(400, f"not HTTP/1.1: {problem}")
