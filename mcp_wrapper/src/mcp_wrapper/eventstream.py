"""Server-sent events, parsed piece by piece (HTML Living Standard, section 9.2.6)."""

from __future__ import annotations

from mcp_wrapper.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.spool import Raw

MAX_EVENT_BYTES = 256 * 1024 * 1024
"""Four times the longest line that an agent may send: a stream without an end must not fill the memory."""


_NAME_BYTES = 16
"""More than any field's name has."""


class EventTooLongError(Exception):
    """One event is longer than MAX_EVENT_BYTES."""


class Event:
    """One event.

    Attributes:
        kind: ``message`` unless the server says otherwise.
        data: Lines joined by a line feed.
    """

    __slots__ = ("data", "kind")

    def __init__(self, kind: bytes, data: Raw) -> None:
        self.kind = kind
        self.data = data


class EventStream:
    """Takes pieces of a stream and gives whole events.

    Work is linear in the length of the stream, however it is cut: unfinished lines are kept as pieces.

    Attributes:
        last_id: The latest event id, to resume after; empty for none.
        retry: Seconds to wait before connecting again, as the server last said; None if it did not.
    """

    __slots__ = ("_after_return", "_data", "_id", "_kind", "_partial", "_size", "last_id", "retry")

    def __init__(self, last_id: bytes = b"") -> None:
        self.last_id = last_id
        self.retry: float | None = None
        self._id = last_id
        self._kind = b""
        self._data: list[Raw] = []
        self._partial = Spool()
        self._size = 0
        self._after_return = False

    def feed(self, piece: bytes) -> list[Event]:
        """Take the next piece; give the events that it completes.

        Raises:
            EventTooLongError: One event does not end.
        """
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._size += len(piece)
        if self._size > MAX_EVENT_BYTES:
            raise EventTooLongError
        lines = piece.split(b"\n")
        rest = lines.pop()
        events: list[Event] = []
        for line in lines:
            whole: Raw = line
            if self._partial.size:
                self._partial.add(line)
                whole = self._partial.take()
            if whole:
                self._field(whole)
            else:
                self._dispatch(events)
        if lines:
            self._size = len(rest) + sum(map(len, self._data))
        if rest:
            self._partial.add(rest)
        return events

    def _field(self, line: Raw) -> None:
        name, colon, _ = bytes(line[:_NAME_BYTES]).partition(b":")
        value = line[len(name) + len(colon) :]
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._kind = bytes(value)
        elif name == b"id" and b"\0" not in bytes(value):
            self._id = bytes(value)
        elif name == b"retry" and bytes(value).isdigit():
            # More digits than any waiting time has: the server wants us never to return. A year will do.
            self.retry = int(value[:10]) / 1000

    def _dispatch(self, events: list[Event]) -> None:
        self.last_id = self._id
        if self._data:
            # An event without data is not one, but its id counts: it marks where to resume.
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Event(self._kind or b"message", data))
        self._data = []
        self._kind = b""
