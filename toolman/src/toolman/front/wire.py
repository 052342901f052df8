"""HTTP/1.1 responses as bytes. Pure.

Source: RFC 9110 and 9112; for event streams the HTML Living Standard, section 9.2.
"""

from __future__ import annotations

import http
from typing import TYPE_CHECKING

from toolman import jsonrpc

if TYPE_CHECKING:
    from msgspec import Raw

Piece = bytes | memoryview

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"Connection: close\r\n"
COMMENT = b": keep-alive\n\n"
LAST_CHUNK = b"0\r\n\r\n"

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

BIG = 64 * 1024
"""Bytes from which on a value is sent as it is, instead of being copied behind its head."""

_STREAM = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache, no-transform\r\n"
    b"X-Accel-Buffering: no\r\n"
)
_NO_CONTENT = 204

_STATUS = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in http.HTTPStatus}
_OK_JSON = _STATUS[200] + b"Content-Type: " + JSON + b"\r\nContent-Length: "


def json_response(identifier: bytes, outcome: jsonrpc.Outcome, lines: bytes = b"", status: int = 200) -> list[Piece]:
    """Write a response that holds one JSON-RPC response, in one piece or, if it is big, in three."""
    value = outcome[1]
    size = len(identifier) + len(outcome[0]) + len(value) + _ENVELOPE
    head = _OK_JSON if status == 200 else _STATUS[status] + _JSON_LENGTH  # noqa: PLR2004 - what nearly all are
    parts: list[bytes | Raw] = [head, b"%d\r\n" % size, lines, b'\r\n{"jsonrpc":"2.0","id":', identifier, outcome[0]]
    if size < BIG:
        return [b"".join((*parts, value, b"}"))]
    return [b"".join(parts), memoryview(value), b"}"]


def json_array(responses: list[bytes], lines: bytes = b"") -> bytes:
    """Write a response that holds the responses to a batch."""
    body = b"[%b]" % b",".join(responses)
    return b"%b%d\r\n%b\r\n%b" % (_OK_JSON, len(body), lines, body)


def document(body: bytes, lines: bytes = b"") -> bytes:
    """Write a response that holds JSON which is no JSON-RPC."""
    return b"%b%d\r\n%b\r\n%b" % (_OK_JSON, len(body), lines, body)


def empty(status: int, lines: bytes = b"") -> bytes:
    """Write a response without a body."""
    length = b"" if status == _NO_CONTENT else b"Content-Length: 0\r\n"
    return b"%b%b%b\r\n" % (_STATUS[status], length, lines)


def text(status: int, body: bytes, lines: bytes = b"", *, is_head: bool = False) -> bytes:
    """Write a response for people; with ``is_head`` only what announces it."""
    head = b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n" % (_STATUS[status], TEXT, len(body), lines)
    return head if is_head else head + body


def stream(lines: bytes = b"", *, is_chunked: bool) -> bytes:
    """Write the head of an event stream; one that is not chunked ends with its connection."""
    return b"%b%b%b\r\n" % (_STREAM, b"Transfer-Encoding: chunked\r\n" if is_chunked else CLOSE, lines)


def chunk(data: bytes) -> bytes:
    """Write a piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(message: bytes, identifier: bytes | None = None) -> bytes:
    """Write a message as an event. A line break in it, legal between JSON tokens, would end it and begin another."""
    line = jsonrpc.on_one_line(message)
    if identifier is None:
        return b"event: message\ndata: %b\n\n" % line
    return b"id: %b\nevent: message\ndata: %b\n\n" % (identifier, line)


def priming(identifier: bytes, retry: int) -> bytes:
    """Write the event that a stream of 2025-11-25 begins with: an id to come back with, and when (milliseconds)."""
    return b"id: %b\nretry: %d\ndata: \n\n" % (identifier, retry)


_ENVELOPE = len(b'{"jsonrpc":"2.0","id":}')
_JSON_LENGTH = b"Content-Type: " + JSON + b"\r\nContent-Length: "
