"""What the agent says without wanting an answer: notifications, and its answers to the server's requests."""

from __future__ import annotations

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import DELETE, NOT_FOUND, SERVICE_UNAVAILABLE, Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.spool import Raw


class Notice(Call):
    """A message that is POSTed and acknowledged with 202. When it cannot be delivered, only the log hears of it.

    Attributes:
        message: What is said.
    """

    is_urgent = True

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self.message = message
        self._replayed = False

    def __repr__(self) -> str:
        return f"<Notice {self.message!r}>"

    def stream_ended(self, reason: str) -> None:
        """A stream is no acknowledgement, but neither is it a refusal."""
        del reason
        self.done()

    def answered(self, status: int, body: Raw) -> None:
        """Take the acknowledgement."""
        if status == SERVICE_UNAVAILABLE:
            self.bridge.pool.postpone(self, "toolman is not ready (HTTP 503)")
            return
        if status == NOT_FOUND and self.session and self.session.identity:
            # An answer belongs to a request of the session that is gone; a notification is still news.
            again = self.message.kind == jsonrpc.NOTIFICATION and not self._replayed
            self._replayed = True
            self.bridge.session.lost(self.session, self if again else None)
            if not again:
                self.done()
            return
        if self.response is not None and not self.response.is_success:
            self.bridge.log.note(f"{self.message!r} was refused with HTTP {status}: {str(body[:200], 'latin-1')}")
        self.done()

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Log it."""
        del delivered
        self.bridge.log.note(f"{self.message!r} may not have been delivered: {reason}")
        self.done()

    def session_failed(self, reason: str) -> None:
        """Log it."""
        self.lost(reason, delivered=False)

    def done(self) -> None:
        """Let go of it."""
        self.bridge.settled(self)


class Initialized(Notice):
    """Ends the handshake. What follows waits for its acknowledgement: the server must not see it overtaken."""

    def send(self) -> None:
        """Hold the others back."""
        self.bridge.session.announcing(self.message)
        super().send()

    def done(self) -> None:
        """Let the others go."""
        super().done()
        self.bridge.session.announced()


class Farewell(Call):
    """Ends the session at the server, which need not agree."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge, verb=DELETE)

    def stream_ended(self, reason: str) -> None:
        """Leave."""
        del reason
        self.bridge.leave()

    def answered(self, status: int, body: Raw) -> None:
        """Leave."""
        del status, body
        self.bridge.leave()

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Leave."""
        del reason, delivered
        self.bridge.leave()
