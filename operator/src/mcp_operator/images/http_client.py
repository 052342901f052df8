"""Speak HTTP over channels that somebody else opens, with the standard library's client: bounded, events as well."""

from __future__ import annotations

import contextlib
import http.client
import io
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol, cast

from mcp_operator.images import handshake
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.handshake import HandshakeError
from mcp_operator.images.sandbox import Ended

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.handshake import Channel

ANSWER_SECONDS = 15
"""For one request: the server runs already."""
MAX_BODY = handshake.MAX_LINE
_ACCEPTED = 202


class Refused(HandshakeError):  # noqa: N818 - an answer
    """An answer that is no MCP: nothing of the kind is at this path."""

    def __init__(self, status: int, location: str = "") -> None:
        super().__init__(f"it answers with HTTP status {status}")
        self.status = status
        self.location = location


class Dial(Protocol):
    """Makes connections to the server."""

    def __call__(self) -> Channel:
        """Give a new one."""


class _Reader(io.RawIOBase):
    """A channel as a file."""

    def __init__(self, channel: Channel, budget: Callable[[], Budget]) -> None:
        super().__init__()
        self._channel = channel
        self._budget = budget
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - as the base class has it
        if not self._left:
            with contextlib.suppress(Ended):
                self._left = self._channel.read(self._budget())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


class _Pipe:
    """What the standard library's HTTP client needs of a socket, on a channel. Closed by who dialled."""

    def __init__(self, channel: Channel, budget: Callable[[], Budget]) -> None:
        self._channel = channel
        self._budget = budget

    def sendall(self, data: bytes) -> None:
        self._channel.write(data, self._budget())

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._channel, self._budget))

    def close(self) -> None:
        """Leave it open: an answer may still be read."""


class _Connection(http.client.HTTPConnection):
    """A connection that is made where the server is."""

    def __init__(self, dial: Dial, port: int, budget: Budget) -> None:
        # The name that checks against DNS rebinding expect.
        super().__init__("127.0.0.1", port)
        self._dial = dial
        self.budget = budget

    def connect(self) -> None:
        self.sock = cast("socket.socket", _Pipe(self._dial(), lambda: self.budget))


class Web:
    """Requests to one port; connections are used again where the server allows it."""

    def __init__(self, dial: Dial, port: int) -> None:
        self._dial = dial
        self._port = port
        self._idle: list[_Connection] = []

    @contextlib.contextmanager
    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, budget: Budget
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a request; its answer is for the block to read.

        Raises:
            Refused: The connection ends, the answer takes too long or is no HTTP.
        """
        short = budget.at_most(ANSWER_SECONDS)
        connection = self._idle.pop() if self._idle else _Connection(self._dial, self._port, short)
        connection.budget = short
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            try:
                yield response
            finally:
                # Read to its end, even if it was not what was hoped for: each connection costs a container.
                if response.isclosed() and not response.will_close:
                    self._idle.append(connection)
        except (http.client.HTTPException, Ended, TimeoutError, ConnectionError) as error:
            raise Refused(0) from error
        except BuildError as error:
            budget.check(Step.VERIFY)
            raise Refused(0) from error


def answers(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """Give the messages of an answer, whatever its form; nothing if it is not of MCP."""
    if is_stream(response):
        for _, data in events(response):
            yield message_of(data)
    else:
        message = message_of(body_of(response).decode(errors="replace"))
        if message.get("jsonrpc") == "2.0":
            yield message


def is_stream(response: http.client.HTTPResponse) -> bool:
    """Tell whether an answer is a stream of events."""
    return response.getheader("Content-Type", "").partition(";")[0].strip().lower() == "text/event-stream"


def body_of(response: http.client.HTTPResponse) -> bytes:
    """Read the body of an answer.

    Raises:
        HandshakeError: It is too large.
    """
    if response.status == _ACCEPTED and response.length is None and not response.chunked:
        return b""  # nothing says where its body ends, because it has none
    body = response.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise HandshakeError(f"an answer has more than {MAX_BODY // 2**20} MiB")
    return body


def events(response: http.client.HTTPResponse) -> Iterator[tuple[str, str]]:
    """Give name and data of the events of a stream."""
    name, data, size = "message", deque[str](), 0
    while line := response.readline(MAX_BODY):
        size += len(line)
        if size > MAX_BODY:
            raise HandshakeError(f"a stream of events has more than {MAX_BODY // 2**20} MiB")
        text = line.decode(errors="replace").rstrip("\r\n")
        field, _, value = text.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif not text and data:
            yield name, "\n".join(data)
            name, data = "message", deque()


def message_of(text: str) -> dict[str, Any]:
    """Give the object that a text is; an empty one if it is none."""
    try:
        message = handshake.parsed(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
