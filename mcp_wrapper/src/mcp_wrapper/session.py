"""The handshake of the revisions up to 2025-11-25: begun by the agent, and begun again without it when it is lost.

Later revisions have no session. Their requests pass this module by.
"""

from __future__ import annotations

from mcp_wrapper import jsonrpc
from mcp_wrapper.listener import Listener
from mcp_wrapper.replay import Replay, ReplayInitialized, ReplayStanding, Standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.call import Call
    from mcp_wrapper.exchange import Exchange
    from mcp_wrapper.loop import Timer
    from mcp_wrapper.notice import Notice

RESTORE_SECONDS = 30.0
"""For a server that accepts the handshake but never answers it; each step of it has the pool's patience besides."""


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
        standing: What the agent asked for that lasts as long as the session.
    """

    def __init__(self, bridge: Bridge) -> None:
        self.current: Established | None = None
        self.is_settling = False
        self.standing = Standing()
        self._bridge = bridge
        self._initialize: jsonrpc.Message | None = None
        self._initialized: jsonrpc.Message | None = None
        self._returned: list[Exchange | Notice] = []
        self._listener: Listener | None = None
        self._limit: Timer | None = None
        self._restoring: set[Call] = set()
        self._answer: jsonrpc.Message | None = None

    @property
    def version(self) -> str:
        """The negotiated version; while that is under way, the one that the agent asked for."""
        if self.current is not None:
            return self.current.version.decode()
        asked = self._initialize.params.get("protocolVersion") if self._initialize else ""
        return asked if isinstance(asked, str) else ""

    def opening(self, message: jsonrpc.Message) -> None:
        """Take note that the agent's ``initialize`` is on its way."""
        self._stop_listening()
        self.current = None
        self._initialize, self._initialized = message, None
        self.standing = Standing()
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
        if self._restoring:
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
            self._restore(Replay(self._bridge, self._initialize))

    def replayed(self, answer: jsonrpc.Message, identity: bytes) -> None:
        """Take the new session."""
        established = _established(answer, identity)
        if established is None:
            self.restore_failed("initialize was answered with an error")
            return
        if self.current and self.current.version != established.version:
            self._bridge.log.note("toolman came back with another protocol version; the agent may not understand it")
        self.current = established
        self._answer = answer
        if self._initialized is None:
            self._restored()
        else:
            self._restore(ReplayInitialized(self._bridge, self._initialized))

    def acknowledged(self) -> None:
        """Take note that the new session is complete: listen, and ask again for what lasts."""
        self._listen()
        wanted = [ReplayStanding(self._bridge, message) for message in self.standing.messages()]
        if wanted:
            self._restore(*wanted)
        else:
            self._restored()

    def stands(self, call: Call) -> None:
        """Take note that one of the things that last was asked for again."""
        self._restoring.discard(call)
        if not self._restoring:
            self._restored()

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
        self.restore_failed(f"no answer within {RESTORE_SECONDS:g} s")

    def _restore(self, *calls: Call) -> None:
        self._restoring = set(calls)
        for call in calls:
            call.send()

    def _end_restoring(self) -> None:
        for call in self._restoring:
            self._bridge.pool.cancel(call)
        self._restoring = set()
        self.is_settling = False
        if self._limit is not None:
            self._limit.cancel()

    def _restored(self) -> None:
        self._end_restoring()
        for line in self.standing.news(self._answer) if self._answer else ():
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


def _established(answer: jsonrpc.Message | None, identity: bytes) -> Established | None:
    result = answer.body.get("result") if answer is not None else None
    if not isinstance(result, dict):
        return None
    version = result.get("protocolVersion")
    # It becomes a header: nothing but a date-like word may get there.
    if not isinstance(version, str) or isinstance(version, jsonrpc.Number) or not version.isascii():
        version = ""
    # The same with what the server calls the session: visible ASCII, says the specification.
    visible = identity.isascii() and identity.decode().isprintable() and b" " not in identity
    return Established(identity if visible else b"", version.encode() if version.replace("-", "").isalnum() else b"")
