"""Reading one HTTP/1.1 response: framing by httptools, everything around the body bounded.

The server may be hostile: heads and trailers without an end and answers behind the answer are noticed.
"""

from __future__ import annotations

from collections.abc import Mapping

import httptools
import msgspec

MAX_HEAD = 64 * 1024
"""Bytes of a response's head, and of anything else that is not its body, such as trailers."""

MAX_INTERIM = 8
"""Responses with a status below 200 before the final one."""

_OK = 200
_BODILESS = frozenset({204, 304})
_MAX_DIGITS = 6


class BadResponse(Exception):  # noqa: N818 - reads as what it says
    """It cannot be read; the text says why."""


class Response(msgspec.Struct, frozen=True):
    """The head of a response. Names of headers are in lower case; of equal ones the last counts."""

    status: int
    headers: Mapping[bytes, bytes]

    @property
    def media_type(self) -> bytes:
        """The content type without its parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


class ResponseReader:
    """Takes the bytes of one response; the methods ``on_...`` are for the parser.

    Attributes:
        response: The head, None before it is complete.
        is_announced: For who reads: whether the head was handed on.
        is_begun: Whether anything came.
        is_until_end: Whether the body ends with the connection.
        is_complete: Whether the response is.
        is_kept: Whether the connection can be used again after it.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_interim",
        "_parser",
        "_quiet",
        "is_announced",
        "is_begun",
        "is_complete",
        "is_kept",
        "is_until_end",
        "response",
    )

    def __init__(self) -> None:
        self.response: Response | None = None
        self.is_announced = False
        self.is_begun = False
        self.is_until_end = False
        self.is_complete = False
        self.is_kept = False
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._quiet = 0
        self._interim = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes; give what they have of the body.

        Raises:
            BadResponse: It is not HTTP/1.1, or its head has no end.
        """
        if self._parser is None:
            self.is_begun = True
            self._parser = httptools.HttpResponseParser(self)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._parser = None
            raise BadResponse("its answer is not HTTP/1.1") from None
        if self.is_complete:
            self._parser = None  # the two hold each other
        if self._body:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = []
            self._quiet = 0
            return body
        self._quiet += len(data)
        if self._quiet > MAX_HEAD or self._interim > MAX_INTERIM:
            self._parser = None
            raise BadResponse(f"the head of its answer is over {MAX_HEAD} bytes")
        return b""

    @property
    def keep(self) -> float | None:
        """Seconds that the server keeps the connection: ``Keep-Alive: timeout=5``; None if it does not say."""
        header = self._headers.get(b"keep-alive")
        for part in header.lower().split(b",") if header is not None else ():
            name, _, value = part.strip().partition(b"=")
            if name == b"timeout" and value.isdigit() and len(value) <= _MAX_DIGITS:
                return float(value)
        return None

    def on_message_begin(self) -> None:
        """Notice a second response, which nobody asked for: the connection is not used again."""
        if self.is_complete:
            self.is_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are not."""
        if self.response is None:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note what the head says, unless it is an interim one."""
        if self.response is not None or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < _OK:
            self._headers = {}
            return
        self.response = Response(status, self._headers)
        is_framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        self.is_until_end = not is_framed and status not in _BODILESS

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body until the parser is through with what came."""
        if not self.is_complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Note that the response is complete, unless it was an interim one."""
        if self.response is None:
            self._interim += 1
        elif not self.is_complete and self._parser is not None:
            self.is_complete = True
            self.is_kept = self._parser.should_keep_alive()
