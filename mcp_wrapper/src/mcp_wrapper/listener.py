"""The GET stream: what the server says unasked, such as that its tools changed."""

from __future__ import annotations

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import GET, NOT_FOUND, SERVICE_UNAVAILABLE, Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.loop import Timer
    from mcp_wrapper.spool import Raw

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
"""Between tries; it doubles until the stream says something."""
SERVER_ERROR = 500


class Listener(Call):
    """Listens for as long as the session lasts, over any number of connections."""

    is_patient = True

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge, verb=GET)
        self._last_id = b""
        self._delay = FIRST_DELAY
        self._closed = False
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return "<Listener>"

    def extra_headers(self) -> bytes:
        """Ask for what was missed."""
        resume = b"Last-Event-ID: %b\r\n" % self._last_id if self._last_id else b""
        return b"Accept: text/event-stream\r\n" + resume

    def event(self, data: Raw) -> None:
        """Pass a message on."""
        self._delay = FIRST_DELAY
        for message in self.bridge.incoming(data):
            if message.kind == jsonrpc.RESPONSE:
                self.bridge.log.note(f"dropped an answer to {message.key} on the stream that has none")
            else:
                self.bridge.to_agent(message.raw)

    def stream_ended(self, reason: str) -> None:
        """Listen again."""
        retry = None
        if self.stream is not None:
            self._last_id = self.stream.last_id or self._last_id
            retry = self.stream.retry
            self.stream = None
        self._again(reason, retry)

    def answered(self, status: int, body: Raw) -> None:
        """Give up, unless the server may think better of it. Most servers have no such stream, and say 405."""
        del body
        if self._closed:
            return
        if status == NOT_FOUND and self.session and self.session.identity:
            self.bridge.session.lost(self.session)
        elif status == SERVICE_UNAVAILABLE or status > SERVER_ERROR:
            self._again(f"HTTP {status}", None)
        else:
            self.bridge.log.trace(f"no stream of notifications (HTTP {status})")

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Listen again."""
        del delivered
        self._again(reason, None)

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.bridge.pool.cancel(self)

    def _again(self, reason: str, retry: float | None) -> None:
        if self._closed:
            return
        delay = max(self._delay, retry or 0.0)
        self.bridge.log.trace(f"the stream of notifications ended ({reason}); again in {delay:g} s")
        self._delay = min(self._delay * 2, MAX_DELAY)
        self._timer = self.bridge.loop.after(delay, self.send)
