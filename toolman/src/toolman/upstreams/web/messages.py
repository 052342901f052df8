"""An exchange whose response carries JSON-RPC messages: one body of JSON, or events one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolman.upstreams.web.connection import Broken, Exchange
from toolman.upstreams.web.eventstream import EventParser, EventTooLong

if TYPE_CHECKING:
    from toolman.upstreams.web.eventstream import Event
    from toolman.upstreams.web.response import Response

JSON = b"application/json"
EVENTS = b"text/event-stream"
OK = 200

_MESSAGE = b"message"


class Messages(Exchange):
    """Takes a response apart. What is made of it overrides the last methods.

    Args:
        limit: Bytes of one message.

    Attributes:
        response: The head, None before it came.
        events: Reads the stream, None if the response is none.
    """

    __slots__ = ("_parts", "_size", "events", "limit", "response")

    def __init__(self, request: bytes, limit: int, *, is_repeatable: bool) -> None:
        super().__init__(request, is_repeatable=is_repeatable)
        self.limit = limit
        self.response: Response | None = None
        self.events: EventParser | None = None
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def status(self) -> int:
        """The HTTP status, 0 before it came."""
        return 0 if self.response is None else self.response.status

    def begun(self, response: Response) -> None:
        """Take the head."""
        self.response = response
        if response.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            self._give_up("its answer is compressed, which it was asked not to do")
            return
        length = response.headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:19]) > self.limit:
            self._give_up(f"its answer has more than {self.limit} bytes")
        elif response.status == OK and response.media_type == EVENTS:
            self.events = EventParser(self.limit)

    def received(self, data: bytes) -> None:
        """Take some of the body."""
        if self.events is None:
            self._size += len(data)
            self._parts.append(data)
            if self._size > self.limit:
                self._give_up(f"its answer has more than {self.limit} bytes")
            return
        try:
            found = self.events.feed(data)
        except EventTooLong:
            self._give_up(f"one of its events has more than {self.limit} bytes")
            return
        for event in found:
            if event.data and not self.is_over:
                self.event(event)

    def ended(self) -> None:
        """Learn that the response is complete."""
        if self.events is not None:
            self.cut(None)
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        self.answered(body)

    def failed(self, problem: Broken) -> None:
        """Learn that there is no response, or only a part of one."""
        self.cut(problem)

    def event(self, event: Event) -> None:
        """Take an event of the stream."""
        if event.name == _MESSAGE:
            self.taken(event.data)

    def taken(self, data: bytes) -> None:
        """Take a message of the stream."""

    def answered(self, body: bytes) -> None:
        """Take the body of a response that is no stream."""

    def cut(self, problem: Broken | None) -> None:
        """Learn that the stream is over, or that something went wrong: then ``problem`` says what."""

    def _give_up(self, why: str) -> None:
        self._parts = []
        self.abort()
        self.cut(Broken(why, is_sent=True, is_lost=False))
