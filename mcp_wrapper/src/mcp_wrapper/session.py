"""The handshake of the revisions up to 2025-11-25: begun by the agent, and begun again without it when it is lost.

Later revisions have no session. Their requests pass this module by.
"""

from __future__ import annotations

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import JSON_TYPE, SERVICE_UNAVAILABLE, Call
from mcp_wrapper.listener import Listener

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.exchange import Exchange
    from mcp_wrapper.loop import Timer
    from mcp_wrapper.notice import Notice

RESTORE_SECONDS = 30.0
"""For a server that accepts the handshake but never answers it; each step of it has the pool's patience besides."""
LISTED = ("tools", "prompts", "resources")


class Established:
    """What every request of a session carries.

    Attributes:
        identity: Of the session; empty if the server keeps none.
        version: Negotiated protocol version.
        headers: Both as headers, each with its line end.
    """

    __slots__ = ("headers", "identity", "version")

    def __init__(self, identity: bytes, version: bytes) -> None:
        self.identity = identity
        self.version = version
        self.headers = b"MCP-Protocol-Version: %b\r\n" % version if version else b""
        if identity:
            self.headers += b"Mcp-Session-Id: %b\r\n" % identity


class Session:
    """Begins, announces, restores and forgets sessions.

    Attributes:
        current: The session that requests belong to; None before the first.
        is_settling: A handshake is under way: other messages must wait.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.current: Established | None = None
        self.is_settling = False
        self._bridge = bridge
        self._initialize: jsonrpc.Message | None = None
        self._initialized: jsonrpc.Message | None = None
        self._returned: list[Exchange | Notice] = []
        self._listener: Listener | None = None
        self._limit: Timer | None = None
        self._restoring: Call | None = None

    def opening(self, message: jsonrpc.Message) -> None:
        """Take note that the agent's ``initialize`` is on its way."""
        self._stop_listening()
        self.current = None
        self._initialize, self._initialized = message, None
        self.is_settling = True

    def opened(self, answer: jsonrpc.Message | None, identity: bytes) -> None:
        """Take note of its answer; None or an error response if there is no session."""
        self.current = _established(answer, identity)
        self.is_settling = False
        if self.current is None:
            self._initialize = None
            self._bridge.fail_held("initialize failed")
        self._bridge.release()

    def announcing(self, message: jsonrpc.Message) -> None:
        """Take note that the agent's ``notifications/initialized`` is on its way."""
        self._initialized = message
        self.is_settling = True

    def announced(self) -> None:
        """Take note that it was acknowledged, or refused: then requests will be, too, and say why."""
        self.is_settling = False
        self._listen()
        self._bridge.release()

    def lost(self, session: Established, call: Exchange | Notice | None = None) -> None:
        """Begin the session again, since the server does not know it any more.

        Args:
            session: Which one.
            call: What is to be sent again in the new one.
        """
        if call is not None:
            self._returned.append(call)
        if self._restoring is not None:
            return
        if self.current is not session or self._initialize is None:
            if self.is_settling:
                # The agent itself began another session; what it asked in the old one is void.
                self.restore_failed("the agent began another session", settled=False)
            else:
                self._resend()
        else:
            self._bridge.log.note("toolman forgot the session; starting a new one")
            self._stop_listening()
            self.is_settling = True
            self._limit = self._bridge.loop.after(RESTORE_SECONDS, self._out_of_time)
            self._restoring = Replay(self._bridge, self._initialize)
            self._restoring.send()

    def replayed(self, answer: jsonrpc.Message, identity: bytes) -> None:
        """Take the new session."""
        established = _established(answer, identity)
        if established is None:
            self.restore_failed("initialize was answered with an error")
            return
        if self.current and self.current.version != established.version:
            self._bridge.log.note("toolman came back with another protocol version; the agent may not understand it")
        self.current = established
        if self._initialized is None:
            self._restored(answer)
            return
        self._restoring = ReplayInitialized(self._bridge, self._initialized, answer)
        self._restoring.send()

    def acknowledged(self, answer: jsonrpc.Message) -> None:
        """Take note that the new session is complete."""
        self._listen()
        self._restored(answer)

    def restore_failed(self, reason: str, *, settled: bool = True) -> None:
        """Give up. The next message tries again, since it still names the session that is gone."""
        if settled:
            self._end_restoring()
        returned, self._returned = self._returned, []
        for call in returned:
            call.session_failed(reason)
        self._bridge.release()

    def close(self) -> None:
        """Stop listening."""
        self._stop_listening()

    def _out_of_time(self) -> None:
        if self._restoring is not None:
            self._bridge.pool.cancel(self._restoring)
        self.restore_failed(f"no answer within {RESTORE_SECONDS:g} s")

    def _end_restoring(self) -> None:
        self._restoring = None
        self.is_settling = False
        if self._limit is not None:
            self._limit.cancel()

    def _restored(self, answer: jsonrpc.Message) -> None:
        self._end_restoring()
        for line in _news(answer):
            self._bridge.to_agent(line)
        self._resend()
        self._bridge.release()

    def _resend(self) -> None:
        returned, self._returned = self._returned, []
        for call in returned:
            call.send()

    def _listen(self) -> None:
        if self.current is not None:
            self._stop_listening()
            self._listener = Listener(self._bridge)
            self._listener.send()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None


class Replay(Call):
    """``initialize`` once more; its answer is not the agent's business."""

    in_session = False

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self._taken = False

    def event(self, data: bytes) -> None:
        """Take the answer from a stream."""
        message = self.bridge.incoming(data)
        if message is not None and message.kind == jsonrpc.RESPONSE and not self._taken:
            self._take(message)

    def stream_ended(self, reason: str) -> None:
        """Give up, unless the answer was there."""
        if not self._taken:
            self.bridge.session.restore_failed(reason)

    def answered(self, status: int, body: bytes) -> None:
        """Take the answer from a body."""
        if status == SERVICE_UNAVAILABLE:
            self.bridge.pool.postpone(self, "toolman is not ready (HTTP 503)")
            return
        is_json = self.response is not None and self.response.content_type == JSON_TYPE
        message = self.bridge.incoming(body) if is_json else None
        if message is None or message.kind != jsonrpc.RESPONSE:
            self.bridge.session.restore_failed(f"initialize was answered with HTTP {status}")
        else:
            self._take(message)

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Give up, or try again when toolman went away once more."""
        if delivered:
            self.bridge.pool.postpone(self, reason)
        else:
            self.bridge.session.restore_failed(reason)

    def _take(self, message: jsonrpc.Message) -> None:
        self._taken = True
        identity = self.response.headers.get(b"mcp-session-id", b"") if self.response else b""
        self.bridge.session.replayed(message, identity)


class ReplayInitialized(Call):
    """``notifications/initialized`` once more."""

    def __init__(self, bridge: Bridge, message: jsonrpc.Message, answer: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self._answer = answer

    def answered(self, status: int, body: bytes) -> None:
        """Go on, or give up."""
        del body
        if self.response is not None and self.response.is_success:
            self.bridge.session.acknowledged(self._answer)
        else:
            self.bridge.session.restore_failed(f"notifications/initialized was answered with HTTP {status}")

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Give up."""
        del delivered
        self.bridge.session.restore_failed(reason)


def _established(answer: jsonrpc.Message | None, identity: bytes) -> Established | None:
    result = answer.body.get("result") if answer is not None else None
    if not isinstance(result, dict):
        return None
    version = result.get("protocolVersion")
    # It becomes a header: nothing but a date-like word may get there.
    if not isinstance(version, str) or isinstance(version, jsonrpc.Number) or not version.isascii():
        version = ""
    return Established(identity, version.encode() if version.replace("-", "").isalnum() else b"")


def _news(answer: jsonrpc.Message) -> list[bytes]:
    """Tell the agent to look again at lists that may have changed while nobody could tell it."""
    result = answer.body.get("result")
    capabilities = result.get("capabilities") if isinstance(result, dict) else None
    if not isinstance(capabilities, dict):
        return []
    changing = [name for name in LISTED if isinstance(capabilities.get(name), dict)]
    return [
        b'{"jsonrpc":"2.0","method":"notifications/%b/list_changed"}' % name.encode()
        for name in changing
        if capabilities[name].get("listChanged") is True
    ]
