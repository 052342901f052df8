"""Writing HTTP responses: small ones in one piece, big values without copying them, event streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman import jsonrpc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Send

Header = tuple[bytes, bytes]

COMMENT = b": keep-alive\n\n"

_JSON: Header = (b"content-type", b"application/json")
_EVENTS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
_BIG = 64 * 1024


async def send_empty(send: Send, status: int, headers: Iterable[Header] = ()) -> None:
    """Answer without a body."""
    length = () if status == 204 else ((b"content-length", b"0"),)  # noqa: PLR2004 - No Content has none by definition
    await send({"type": "http.response.start", "status": status, "headers": [*length, *headers]})
    await send({"type": "http.response.body"})


async def send_outcome(
    send: Send, identifier: bytes, outcome: jsonrpc.Outcome, headers: Iterable[Header] = (), status: int = 200
) -> None:
    """Answer a request with JSON."""
    value = outcome[1]
    pieces: list[bytes | memoryview]
    if len(value) < _BIG:
        pieces = [jsonrpc.response(identifier, outcome)]
    else:
        head = jsonrpc.response(identifier, (outcome[0], b""))
        pieces = [head[:-1], memoryview(value), head[-1:]]
    length = b"%d" % sum(map(len, pieces))
    await send(
        {"type": "http.response.start", "status": status, "headers": [_JSON, (b"content-length", length), *headers]}
    )
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": pieces[-1]})


async def send_error(send: Send, status: int, identifier: bytes, error: jsonrpc.Outcome) -> None:
    """Answer with an error; after a refusal the rest of a body may still come, so the connection ends."""
    headers = ((b"connection", b"close"),) if status == 413 else ()  # noqa: PLR2004 - Content Too Large
    await send_outcome(send, identifier, error, headers, status)


class EventStream:
    """A response of server-sent events."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def open(self) -> None:
        """Send the head."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_EVENTS)})

    async def send(self, message: bytes) -> None:
        """Send one message. A line break in it, legal between JSON tokens, would end the event and begin another."""
        await self._write(b"event: message\ndata: %b\n\n" % jsonrpc.on_one_line(message))

    async def comment(self, comment: bytes) -> None:
        """Send something that clients ignore."""
        await self._write(comment)

    async def close(self) -> None:
        """End the response."""
        await self._send({"type": "http.response.body"})

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
