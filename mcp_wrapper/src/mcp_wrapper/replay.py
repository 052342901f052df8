"""Beginning a session again as the agent began it, without the agent."""

from __future__ import annotations

from mcp_wrapper import jsonrpc
from mcp_wrapper.call import NOT_FOUND, SERVICE_UNAVAILABLE, Call
from mcp_wrapper.lean import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.spool import Raw

LISTED = ("tools", "prompts", "resources")


class Standing:
    """What the agent asked for that lasts as long as a session: a log level, and resources to hear of."""

    __slots__ = ("_level", "_subscriptions")

    def __init__(self) -> None:
        self._level: jsonrpc.Message | None = None
        self._subscriptions: dict[str, jsonrpc.Message] = {}

    def take(self, message: jsonrpc.Message) -> None:
        """Take note of a request that succeeded."""
        uri = message.params.get("uri")
        if message.method == "logging/setLevel":
            self._level = message
        elif not isinstance(uri, str):
            return
        elif message.method == "resources/subscribe":
            self._subscriptions[uri] = message
        elif message.method == "resources/unsubscribe":
            self._subscriptions.pop(uri, None)

    def messages(self) -> list[jsonrpc.Message]:
        """List what must be said again in a new session."""
        return [*([self._level] if self._level else ()), *self._subscriptions.values()]

    def news(self, answer: jsonrpc.Message) -> list[bytes]:
        """Tell the agent to look again at what may have changed while nobody could tell it.

        Args:
            answer: To ``initialize``; says which lists the server would tell of.
        """
        result = answer.body.get("result")
        capabilities = result.get("capabilities") if isinstance(result, dict) else None
        if not isinstance(capabilities, dict):
            return []
        changing = [name for name in LISTED if isinstance(capabilities.get(name), dict)]
        return [
            b'{"jsonrpc":"2.0","method":"notifications/%b/list_changed"}' % name.encode()
            for name in changing
            if capabilities[name].get("listChanged") is True
        ] + [
            b'{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%b}}' % quoted(uri)
            for uri in self._subscriptions
        ]


class Replay(Call):
    """``initialize`` once more; its answer is not the agent's business."""

    in_session = False

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self._taken = False

    def event(self, data: Raw) -> None:
        """Take the answer from a stream."""
        for message in self.bridge.incoming(data):
            if message.kind == jsonrpc.RESPONSE and not self._taken:
                self._take(message)

    def stream_ended(self, reason: str) -> None:
        """Give up, unless the answer was there."""
        if not self._taken:
            self.bridge.session.restore_failed(reason)

    def answered(self, status: int, body: Raw) -> None:
        """Take the answer from a body."""
        if status == SERVICE_UNAVAILABLE:
            self.bridge.pool.postpone(self, "toolman is not ready (HTTP 503)")
            return
        for message in self.messages(body):
            if message.kind == jsonrpc.RESPONSE:
                self._take(message)
                return
        self.bridge.session.restore_failed(f"initialize was answered with HTTP {status}")

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

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)

    def answered(self, status: int, body: Raw) -> None:
        """Go on, or give up."""
        del body
        if self.response is not None and self.response.is_success:
            self.bridge.session.acknowledged()
        else:
            self.bridge.session.restore_failed(f"notifications/initialized was answered with HTTP {status}")

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Give up."""
        del delivered
        self.bridge.session.restore_failed(reason)


class ReplayStanding(Call):
    """A log level or a subscription once more. What the server refuses now is gone, and only the log hears of it."""

    def __init__(self, bridge: Bridge, message: jsonrpc.Message) -> None:
        super().__init__(bridge, message.raw)
        self._message = message
        self._problem = "no answer"

    def event(self, data: Raw) -> None:
        """Take the answer from a stream."""
        for message in self.bridge.incoming(data):
            self._take(message)

    def stream_ended(self, reason: str) -> None:
        """Go on."""
        del reason
        self._end()

    def answered(self, status: int, body: Raw) -> None:
        """Go on, unless the new session is gone as well."""
        if status == NOT_FOUND and not self.messages(body):
            self.bridge.session.restore_failed("toolman forgot the new session at once")
            return
        for message in self.messages(body):
            self._take(message)
        self._end()

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Give up: toolman is gone again."""
        del delivered
        self.bridge.session.restore_failed(reason)

    def _take(self, message: jsonrpc.Message) -> None:
        if message.kind == jsonrpc.RESPONSE:
            self._problem = "" if "result" in message.body else "an error"

    def _end(self) -> None:
        if self._problem:
            self.bridge.log.note(f"{self._message!r} was answered with {self._problem} in the new session")
        self.bridge.session.stands(self)
