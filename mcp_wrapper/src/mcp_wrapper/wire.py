"""HTTP/1.1, the client's half: writes a request's head, reads a response from pieces. No I/O.

``http.client`` would bring the email package, ssl and blocking reads: three times the memory that the process may use.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Receiver(Protocol):
        """Hears of a response while it arrives."""

        def head(self, response: Response) -> None:
            """Status and headers are there."""

        def data(self, piece: bytes) -> None:
            """A piece of the body is there; never empty."""


MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 4096
MAX_DIGITS = 15
"""Of a body's size: enough for anything, and quick to convert."""
SWITCHING_PROTOCOLS, NO_CONTENT, NOT_MODIFIED = 101, 204, 304
SUCCESS, REDIRECTION = 200, 300
_TOKEN_CHARACTERS = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_HEXADECIMAL = frozenset(b"0123456789abcdefABCDEF")

# What is expected next.
_HEAD, _LENGTH, _CHUNK_SIZE, _CHUNK, _CHUNK_END, _TRAILERS, _UNTIL_CLOSED, _DONE = range(8)


class MalformedResponseError(Exception):
    """The peer does not speak HTTP/1.1; the text says where it went wrong."""


class Response:
    """One response.

    Attributes:
        status: Status code; 0 until known. Interim (1xx) responses are passed over.
        headers: Names in lower case; of a repeated header, the last value.
        length: Bytes of the body; 0 if that is not known beforehand.
        reusable: The connection can carry another request when this one is done.
    """

    __slots__ = ("_buffer", "_remaining", "_state", "headers", "length", "reusable", "status")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.length = 0
        self.reusable = True
        self._buffer = b""
        self._remaining = 0
        self._state = _HEAD

    @property
    def content_type(self) -> bytes:
        """Media type in lower case, without parameters."""
        return self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()

    @property
    def is_success(self) -> bool:
        """Tell whether the status is one of success."""
        return SUCCESS <= self.status < REDIRECTION

    def feed(self, piece: bytes, receiver: Receiver) -> bool:
        """Take the next piece; tell whether the response is complete.

        The receiver is not kept: it keeps the response, and the two would outlive their use until the collector runs.

        Raises:
            MalformedResponseError: This is not HTTP, or more than one response.
        """
        if self._buffer:
            piece = self._buffer + piece
            self._buffer = b""
        while piece or self._state == _DONE:
            state = self._state
            if state == _DONE:
                if piece:
                    raise MalformedResponseError("more than the answer")
                return True
            if state in {_LENGTH, _CHUNK}:
                piece = self._body(piece, receiver)
            elif state == _UNTIL_CLOSED:
                receiver.data(piece)
                return False
            else:
                rest = self._head(piece, receiver) if state == _HEAD else self._chunk_line(piece)
                if rest is None:
                    self._buffer = piece
                    return False
                piece = rest
        return False

    def close(self) -> bool:
        """Take note that the peer closed the connection; tell whether the response is complete."""
        self.reusable = False
        return self._state in {_UNTIL_CLOSED, _DONE}

    def _body(self, piece: bytes, receiver: Receiver) -> bytes:
        size = len(piece)
        if size <= self._remaining:
            self._remaining -= size
            rest = b""
        else:
            rest = piece[self._remaining :]
            piece = piece[: self._remaining]
            self._remaining = 0
        if not self._remaining:
            self._state = _DONE if self._state == _LENGTH else _CHUNK_END
        receiver.data(piece)
        return rest

    def _chunk_line(self, piece: bytes) -> bytes | None:
        line, found, rest = piece.partition(b"\n")
        if not found:
            if len(piece) > MAX_CHUNK_LINE_BYTES:
                raise MalformedResponseError("a chunk's size is too long")
            return None
        line = line.strip()
        if self._state == _CHUNK_END:
            if line:
                raise MalformedResponseError("a chunk is longer than it says")
            self._state = _CHUNK_SIZE
        elif self._state == _TRAILERS:
            if not line:
                self._state = _DONE
        else:
            self._remaining = _chunk_size(line)
            self._state = _CHUNK if self._remaining else _TRAILERS
        return rest

    def _head(self, piece: bytes, receiver: Receiver) -> bytes | None:
        end = piece.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(piece) > MAX_HEAD_BYTES or not b"HTTP/1.".startswith(piece[:7]):
                raise MalformedResponseError("the peer does not speak HTTP/1.1")
            return None
        lines = piece[:end].split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        code = rest[:3]
        if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or rest[3:4].strip():
            raise MalformedResponseError("the peer does not speak HTTP/1.1")
        status = int(code)
        if status == SWITCHING_PROTOCOLS:
            raise MalformedResponseError("the peer wants another protocol")
        if status >= SUCCESS:
            self.status = status
            self.headers = _headers(lines[1:])
            self._frame(http_1_0=version == b"HTTP/1.0")
            receiver.head(self)
        return piece[end + 4 :]

    def _frame(self, *, http_1_0: bool) -> None:
        headers = self.headers
        self.reusable = not http_1_0 and b"close" not in headers.get(b"connection", b"").lower()
        coding = headers.get(b"transfer-encoding", b"").lower()
        length = headers.get(b"content-length")
        if self.status in {NO_CONTENT, NOT_MODIFIED}:
            self._state = _DONE
        elif coding == b"chunked":
            self._state = _CHUNK_SIZE
        elif coding:
            raise MalformedResponseError(f"unknown transfer encoding {coding.decode('latin-1')}")
        elif length is None:
            self._state = _UNTIL_CLOSED
            self.reusable = False
        elif not length.isdigit() or len(length) > MAX_DIGITS:
            raise MalformedResponseError("the content's length is not a number")
        else:
            self._remaining = self.length = int(length)
            self._state = _LENGTH if self._remaining else _DONE


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not _HEXADECIMAL.issuperset(digits) or not 0 < len(digits) <= MAX_DIGITS:
        raise MalformedResponseError("a chunk's size is not a number")
    return int(digits, 16)


def _headers(lines: list[bytes]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not _TOKEN_CHARACTERS.issuperset(name) or not name:
            raise MalformedResponseError("a header is not one")
        if name in headers and name in {b"content-length", b"transfer-encoding"}:
            raise MalformedResponseError(f"two {name.decode()} headers")
        headers[name] = value.strip()
    return headers


def request_head(method: bytes, target: str, authority: str, headers: bytes, length: int | None) -> bytes:
    """Write a request's head.

    Args:
        method: GET, POST or DELETE.
        target: Path and query.
        authority: Value of the Host header.
        headers: Further headers, each with its line end.
        length: Bytes of the body; None without one.
    """
    content = b"" if length is None else b"Content-Type: application/json\r\nContent-Length: %d\r\n" % length
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b\r\n" % (method, target.encode(), authority.encode(), headers, content)
