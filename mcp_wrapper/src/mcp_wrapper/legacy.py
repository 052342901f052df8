"""Requests of the revisions up to 2025-11-25: in a session, with streams that are resumed when they end early."""

from __future__ import annotations

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import GET, NOT_FOUND
from mcp_wrapper.exchange import MAX_TRIES, Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.spool import Raw

MAX_EMPTY_RESUMES = 5
"""In a row, without one event. Servers may end a stream whenever they like, but they must get on."""
RESUME_SECONDS = 1.0
"""Before a stream is resumed when the server did not say how long to wait."""
CANCELLED_SECONDS = 10.0
"""For a cancelled request's response to end by itself."""


class LegacyRequest(Exchange):
    """A request that belongs to a session."""

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message)
        self._replays = 0
        self._empty_resumes = 0
        self._resume_after = b""

    def extra_headers(self) -> bytes:
        """Ask for the rest of a stream when there is one."""
        if self.verb == GET:
            return b"Accept: text/event-stream\r\nLast-Event-ID: %b\r\n" % self._resume_after
        return super().extra_headers()

    def event(self, data: Raw) -> None:
        """Pass a message of the stream on."""
        self._empty_resumes = 0
        super().event(data)

    def stream_ended(self, reason: str) -> None:
        """Ask for the rest of the stream, if it can be had."""
        if self._done or self._answered or self.stream is None:
            return
        retry, self._resume_after = self.stream.retry, self.stream.last_id or self._resume_after
        if not self._resume_after or self._empty_resumes >= MAX_EMPTY_RESUMES:
            super().stream_ended(reason)
            return
        self.stream = None
        self._empty_resumes += 1
        self.verb, self.body = GET, b""
        self.bridge.loop.after(RESUME_SECONDS if retry is None else retry, self.send)

    def answered(self, status: int, body: Raw) -> None:
        """Begin the session again when it is gone; otherwise make the answer of the body."""
        if self._done:
            return
        in_session = self.session is not None and self.session.identity
        if status == NOT_FOUND and in_session and not self._says_unknown_method(body):
            self._session_lost()
        else:
            super().answered(status, body)

    def finish(self, line: Raw, message: jsonrpc.Message | None = None) -> None:
        """Remember what the session must have when it has to be begun again."""
        if message is not None and not self._done and "result" in message.body:
            self.bridge.session.standing.take(self.message)
        super().finish(line, message)

    def cancelled(self) -> bool:
        """Take note that the agent cancelled it.

        It must not run later if it did not leave yet; if it did, it may end without an answer, but end it must.
        """
        self.bridge.loop.after(CANCELLED_SECONDS, self._hang_up)
        return super().cancelled()

    def timed_out(self) -> None:
        """Cancel: that the connection closes says nothing in these revisions."""
        super().timed_out()
        self.bridge.cancel_upstream(self.message.key)

    def _hang_up(self) -> None:
        self.bridge.pool.cancel(self)

    def _says_unknown_method(self, body: Raw) -> bool:
        return any(jsonrpc.error_code(message) == jsonrpc.METHOD_NOT_FOUND for message in self.messages(body))

    def _session_lost(self) -> None:
        self._replays += 1
        if self.session is None or self._replays >= MAX_TRIES:
            self.fail(f"toolman at {self.bridge.endpoint.url} forgets every session at once (HTTP 404)")
        elif self.verb == GET:
            self.lost("toolman forgot the session", delivered=True)
            self.bridge.session.lost(self.session)
        else:
            self.bridge.session.lost(self.session, self)


class Initialize(LegacyRequest):
    """The first request of a session. All others wait for its answer."""

    in_session = False

    def send(self) -> None:
        """Begin a session, and forget the one before."""
        if self.is_settled:
            return
        self.bridge.session.opening(self.message)
        super().send()

    def finish(self, line: Raw, message: jsonrpc.Message | None = None) -> None:
        """Keep what the server says of the session."""
        if self._done:
            return
        super().finish(line)
        identity = self.response.headers.get(b"mcp-session-id", b"") if self.response else b""
        self.bridge.session.opened(message, identity)

    def cancelled(self) -> bool:
        """Go on: the specification forbids to cancel it, and all others wait for its answer."""
        return False

    def timed_out(self) -> None:
        """Hang up, and say nothing: there is no session yet in which to say it."""
        self.bridge.pool.cancel(self)
