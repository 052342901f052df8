"""A container's standard streams over the Docker Engine's own connection: HTTP that turns into frames.

Source: docs.docker.com, Engine API, *Attach to a container*: a header of eight bytes (stream, three zeros, the size as
a big-endian number) before each piece of what the container writes; what it reads is sent as it is.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from toolman.upstreams import Failure
from toolman.upstreams.lines import MAX_BACKLOG

if TYPE_CHECKING:
    import ssl

STDOUT = 1
STDERR = 2

_HEADER = struct.Struct(">BxxxL")
_MAX_HEAD = 64 * 1024
_OPENED = (b"101", b"200")


class Address(NamedTuple):
    """Where the engine listens: a unix socket's ``path``, or ``host`` and ``port``; ``tls`` if it wants that."""

    path: str = ""
    host: str = ""
    port: int = 0
    tls: ssl.SSLContext | None = None


class Streams(Protocol):
    """Who takes what a container writes."""

    def wrote(self, stream: int, data: bytes) -> None:
        """Take some of :data:`STDOUT` or :data:`STDERR`."""

    def closed(self) -> None:
        """Learn that nothing follows: it has ended, or the engine is gone. Called once."""


class Frames:
    """Cut a stream into the pieces of what each output got, however it arrives. Pure."""

    def __init__(self) -> None:
        self._head = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take bytes; give pieces, none of them empty."""
        pieces = []
        position = 0
        while position < len(data):
            if not self._left:
                missing = _HEADER.size - len(self._head)
                self._head += data[position : position + missing]
                position += missing
                if len(self._head) < _HEADER.size:
                    break
                self._stream, self._left = _HEADER.unpack(self._head)
                self._head = b""
                continue
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            pieces.append((self._stream, piece))
        return pieces


class Attachment(asyncio.Protocol):
    """One connection to one container's streams. Made by :func:`attach`."""

    def __init__(self, request: bytes, streams: Streams) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._streams = streams
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._frames = Frames()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the streams."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take the answer to that, then frames."""
        if not self.opened.done():
            self._head += data
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end and len(self._head) < _MAX_HEAD:
                return
            status = head.partition(b"\r\n")[0].split(b" ")
            if len(status) < 2 or status[1] not in _OPENED:  # noqa: PLR2004 - version, status, reason
                self._refused(data or head)
                return
            self._head = b""
            self.opened.set_result(None)
        for stream, piece in self._frames.feed(data):
            self._streams.wrote(stream, piece)

    def connection_lost(self, _: Exception | None) -> None:
        """Learn that it is over."""
        if not self.opened.done():
            self._refused(b"it closed the connection")
        elif not self.opened.cancelled() and self.opened.exception() is None:
            self._streams.closed()

    def write(self, line: bytes) -> bool:
        """Send one line, given without its end; False if too much is waiting already or the container is gone."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > MAX_BACKLOG:
            return False
        transport.write(line + b"\n")
        return True

    def end_input(self) -> None:
        """Let the container read the end of its input, where the connection can do that."""
        if self._transport is not None and not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Let go of the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _refused(self, why: bytes) -> None:
        if not self.opened.done():
            text = why[:500].decode(errors="backslashreplace").strip()
            self.opened.set_exception(Failure(f"the Docker Engine does not give its streams: {text}"))
        self.close()


async def attach(address: Address, version: str, container: str, streams: Streams, limit: float) -> Attachment:
    """Connect to the streams of a container that has not been started yet.

    Args:
        address: The engine's.
        version: Of its API.
        container: The container's identifier.
        streams: Takes what it writes.
        limit: Seconds to wait for the engine.

    Raises:
        Failure: The engine cannot be reached, or refuses.
    """
    path = f"/v{version}/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    request = (
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
    attachment = Attachment(request.encode(), streams)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit):
            if address.path:
                await loop.create_unix_connection(lambda: attachment, address.path)
            else:
                await loop.create_connection(lambda: attachment, address.host, address.port, ssl=address.tls)
            await attachment.opened
    except TimeoutError:
        attachment.close()
        raise Failure(f"the Docker Engine did not answer within {limit:g} s") from None
    except asyncio.CancelledError:
        attachment.close()
        raise
    except OSError as problem:
        raise Failure(f"the Docker Engine cannot be reached: {problem.strerror or problem}") from None
    return attachment
