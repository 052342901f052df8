"""``subscriptions/listen``: a request that stays open, over any number of connections.

The specification knows no replay. When toolman goes away and comes back, the bridge listens again under the same id,
and tells the agent of a change in everything that it listens to: something may have changed while nobody could tell,
and looking again does no harm. The agent notices nothing else. A server that restarts in order ends its subscriptions
with their results, so that is no reason to give up either, unless it does so again and again.
"""

from __future__ import annotations

from time import monotonic

from mcp_wrapper.call import SERVICE_UNAVAILABLE
from mcp_wrapper.jsonrpc import NOTIFICATION
from mcp_wrapper.lean import quoted
from mcp_wrapper.listener import FIRST_DELAY, MAX_DELAY, SERVER_ERROR
from mcp_wrapper.modern import ModernRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mcp_wrapper import jsonrpc
    from mcp_wrapper.bridge import Bridge
    from mcp_wrapper.spool import Raw
    from mcp_wrapper.toolbook import Toolbook

LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
SUBSCRIPTION_META = b"io.modelcontextprotocol/subscriptionId"
LISTS = {
    "toolsListChanged": b"notifications/tools/list_changed",
    "promptsListChanged": b"notifications/prompts/list_changed",
    "resourcesListChanged": b"notifications/resources/list_changed",
}
TOO_MANY_REQUESTS = 429
MAX_ENDS = 3
"""In a row, soon after the beginning and without a notification: then the server does not want to be listened to."""
LASTING_SECONDS = 60.0
"""After this time an end is not one of a row any more."""


class Subscription(ModernRequest):
    """Listens until the agent or the server ends it."""

    is_listening = True

    def __init__(self, bridge: Bridge, message: jsonrpc.Message, book: Toolbook) -> None:
        super().__init__(bridge, message, book)
        self._honoured: dict[str, Any] | None = None
        self._delay = FIRST_DELAY
        self._ends = 0
        self._began = 0.0

    def take(self, message: jsonrpc.Message) -> None:
        """Pass on what is said, except what the agent knows."""
        if message.method == ACKNOWLEDGED:
            self._acknowledged(message)
        else:
            if message.kind == NOTIFICATION:
                self._delay = FIRST_DELAY
                self._ends = 0
            super().take(message)

    def finish(self, line: Raw, message: jsonrpc.Message | None = None) -> None:
        """Listen again when the server ended it in order; anything else is the end."""
        if message is None or "result" not in message.body or self._honoured is None or self._done:
            super().finish(line, message)
            return
        self._ends = self._ends + 1 if monotonic() - self._began < LASTING_SECONDS else 1
        if self._ends > MAX_ENDS:
            super().finish(line, message)
        else:
            self.bridge.pool.cancel(self)
            self._again("the server ended it")

    def answered(self, status: int, body: Raw) -> None:
        """Listen again where a server's trouble may pass; an error is an end."""
        passing = status > SERVER_ERROR or status == TOO_MANY_REQUESTS
        if passing and status != SERVICE_UNAVAILABLE and self._honoured is not None and not self.messages(body):
            self._again(f"HTTP {status}")
        else:
            super().answered(status, body)

    def lost(self, reason: str, *, delivered: bool) -> None:
        """Listen again."""
        if self._honoured is None:
            super().lost(reason, delivered=delivered)
        else:
            self._again(reason)

    def _again(self, reason: str) -> None:
        if self._done:
            return
        self.bridge.log.trace(f"{self!r} was interrupted ({reason}); again in {self._delay:g} s")
        self.bridge.loop.after(self._delay, self._listen)
        self._delay = min(self._delay * 2, MAX_DELAY)

    def _listen(self) -> None:
        self._answered = False
        self.send()

    def _acknowledged(self, message: jsonrpc.Message) -> None:
        honoured = message.params.get("notifications")
        honoured = honoured if isinstance(honoured, dict) else {}
        before, self._honoured = self._honoured, honoured
        self.is_patient = True
        self._began = monotonic()
        if honoured != before:
            self.bridge.to_agent(message.raw)
        if before is not None:
            for line in self._news(honoured):
                self.bridge.to_agent(line)

    def _news(self, honoured: dict[str, Any]) -> list[bytes]:
        key = self.message.key.encode()
        uris = honoured.get("resourceSubscriptions")
        changed = [(method, b"") for name, method in LISTS.items() if honoured.get(name) is True]
        changed += [
            (b"notifications/resources/updated", b'"uri":%b,' % quoted(uri))
            for uri in (uris if isinstance(uris, list) else ())
            if isinstance(uri, str)
        ]
        return [
            b'{"jsonrpc":"2.0","method":"%b","params":{%b"_meta":{"%b":%b}}}' % (method, extra, SUBSCRIPTION_META, key)
            for method, extra in changed
        ]
