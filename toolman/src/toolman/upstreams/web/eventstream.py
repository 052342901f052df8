"""Reading ``text/event-stream`` as the HTML standard has it: bytes go in as they come, events come out.

Only line feed, carriage return and the two together end a line: U+2028, U+2029 and U+0085 are legal inside JSON
strings. Whoever writes the stream is not trusted: an event has a largest size. Pure: no I/O.

Source: html.spec.whatwg.org, *Server-sent events*, *Interpreting an event stream*.
"""

from __future__ import annotations

import re

import msgspec

MAX_RETRY = 60_000
"""Milliseconds. A stream cannot ask for a longer wait before it is opened again."""

_IDENTIFIER = re.compile(rb"[\x20-\x7e\x80-\xff]{0,1024}")
"""It is sent back in a header; one that cannot be is as good as none."""

_MARK = b"\xef\xbb\xbf"
_MAX_DIGITS = 9


class EventTooLong(Exception):  # noqa: N818 - reads as what it says
    """One event is larger than allowed."""


class Event(msgspec.Struct, frozen=True):
    """One event; ``data`` is empty where the stream only names a place to come back to."""

    name: bytes
    data: bytes


class EventParser:
    """Cuts a stream of bytes into events, touching each byte a constant number of times.

    Args:
        limit: Bytes of one event.

    Attributes:
        last: Identifier of the last event, for ``Last-Event-ID``; empty if the stream gives none.
        retry: Milliseconds to wait before the stream is opened again, None if it does not say.
    """

    def __init__(self, limit: int) -> None:
        self.last = b""
        self.retry: int | None = None
        self._limit = limit
        self._is_first = True
        self._is_return_last = False
        self._parts: list[bytes] = []
        self._unfinished = 0
        self._size = 0
        self._name = b""
        self._identifier = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Take bytes; give the events that are complete now.

        Raises:
            EventTooLong: The event that is under way is over the limit.
        """
        if self._is_return_last and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._is_return_last = False
        if not chunk:
            return []
        self._is_return_last = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        rest = b"" if chunk.endswith((b"\n", b"\r")) else lines.pop()
        if lines and self._parts:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts, self._unfinished = [], 0
        events: list[Event] = []
        for line in lines:
            if not line:
                self._dispatch(events)
            else:
                self._take(line)
        if rest:
            self._parts.append(rest)
            self._unfinished += len(rest)
            self._check()
        return events

    def _take(self, line: bytes) -> None:
        if self._is_first:
            self._is_first = False
            line = line.removeprefix(_MARK)
        if line.startswith(b"data: "):
            self._append(line[6:])
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._append(value)
        elif field == b"event":
            self._name = value
        elif field == b"id":
            if b"\0" not in value:
                self._identifier = value if _IDENTIFIER.fullmatch(value) else b""
        elif field == b"retry" and value.isdigit():
            self.retry = min(int(value[:_MAX_DIGITS]), MAX_RETRY)

    def _dispatch(self, events: list[Event]) -> None:
        self._is_first = False
        self.last = self._identifier
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append(Event(self._name or b"message", data))
            self._data = []
        self._name = b""
        self._size = 0

    def _append(self, value: bytes) -> None:
        self._size += len(value) + 1
        self._data.append(value)
        self._check()

    def _check(self) -> None:
        if self._size + self._unfinished > self._limit:
            self._parts, self._data = [], []
            raise EventTooLong
