"""What every request to toolman has in common: its head, and telling a stream of messages from a single body."""

from __future__ import annotations

from mcp_wrapper import jsonrpc, wire
from mcp_wrapper.credentials import CredentialsError
from mcp_wrapper.eventstream import MAX_EVENT_BYTES, EventStream, EventTooLongError
from mcp_wrapper.spool import Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.session import Established
    from mcp_wrapper.spool import Raw

POST, GET, DELETE = b"POST", b"GET", b"DELETE"
STREAM_TYPE = b"text/event-stream"
JSON_TYPE = b"application/json"
MAX_BODY_BYTES = MAX_EVENT_BYTES

NOT_FOUND, SERVICE_UNAVAILABLE = 404, 503


class Call:
    """One HTTP request and the reading of its response. What the response means is for the subclasses to say.

    Attributes:
        verb: HTTP method.
        body: What is POSTed; empty without.
        session: The session that the latest request named, None if it named none.
        response: Status and headers of the latest response; None before.
        stream: The latest response's events, when it is a stream.
    """

    is_patient = False
    """Waits for toolman without an end."""
    is_urgent = False
    """Need not wait until one of many calls is done: one of those may be waiting for it."""
    in_session = True

    def __init__(self, bridge: Bridge, body: Raw = b"", verb: bytes = POST) -> None:
        self.bridge = bridge
        self.verb = verb
        self.body = body
        self.session: Established | None = None
        self.response: wire.Response | None = None
        self.stream: EventStream | None = None
        self._spool = Spool()

    def send(self) -> None:
        """Send, or send again."""
        self.bridge.pool.send(self)

    @property
    def is_settled(self) -> bool:
        """Tell whether nobody waits for the answer any more: it need not be sent."""
        return False

    def extra_headers(self) -> bytes:
        """Give headers of this kind of call, each with its line end."""
        return b"Accept: application/json, text/event-stream\r\n"

    def accepted(self) -> None:
        """Hear of each sign of life."""

    def event(self, data: Raw) -> None:
        """Hear of a message on the stream."""

    def stream_ended(self, reason: str) -> None:
        """Hear that the stream is over."""

    def answered(self, status: int, body: Raw) -> None:
        """Hear of a response that is not a stream."""

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Hear that there will be no response; ``delivered`` if the request may have been acted on."""

    def request(self) -> tuple[bytes, Raw]:
        """Write head and body with the headers of the session as it is now."""
        bridge = self.bridge
        self.session = bridge.session.current if self.in_session else None
        headers = bridge.common_headers + self.extra_headers()
        if self.session:
            headers += self.session.headers
        try:
            headers += bridge.token.header()
        except CredentialsError as error:
            # Without it toolman says 401, which the agent hears of; the log has the cause.
            bridge.log.note(str(error))
        endpoint = bridge.endpoint
        length = len(self.body) if self.verb == POST else None
        return wire.request_head(self.verb, endpoint.target, endpoint.authority, headers, length), self.body

    def head(self, response: wire.Response) -> None:
        """Take status and headers."""
        self.response = response
        self._spool.clear()
        self.stream = None
        if response.is_success and response.content_type == STREAM_TYPE:
            self.stream = EventStream()
        else:
            self._spool.expect(min(response.length, MAX_BODY_BYTES))
        if response.status != SERVICE_UNAVAILABLE:
            self.bridge.pool.reached(self)
        self.accepted()

    def data(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self.accepted()
        if self.stream is None:
            self._spool.add(jsonrpc.flat(piece))
            if self._spool.size > MAX_BODY_BYTES:
                self._too_long()
            return
        try:
            events = self.stream.feed(piece)
        except EventTooLongError:
            self._too_long()
            return
        for event in events:
            if event.kind == b"message" and event.data:  # without data it only marks where to resume
                self.event(event.data)

    def end(self) -> None:
        """Take note that the response is complete."""
        if self.stream is not None:
            self.stream_ended("the stream ended without an answer")
        elif self.response is not None:
            self.answered(self.response.status, self._spool.take())

    def failed(self, reason: str, *, delivered: bool) -> None:
        """Take note that the connection broke, or that there will be none."""
        if self.stream is not None and delivered:
            self.stream_ended(reason)
        else:
            self.lost(reason, delivered=delivered)

    def messages(self, body: Raw) -> list[jsonrpc.Message]:
        """Read the messages of a body: none if it holds something else."""
        if self.response is None or self.response.content_type != JSON_TYPE:
            return []
        text = jsonrpc.one_line(body)
        try:
            return [jsonrpc.parse(part) for part in (jsonrpc.batch(text) if jsonrpc.is_batch(text) else (text,))]
        except jsonrpc.MessageError:
            return []

    def _too_long(self) -> None:
        self._spool.clear()
        self.stream = None
        self.bridge.pool.cancel(self)
        self.lost(f"the answer is longer than {MAX_BODY_BYTES >> 20} MiB", delivered=True)
